// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package servertest starts servers that dumps can go to, for the tests of more
// than one package: servers that nobody here wrote, on loopback, each with a
// directory of its own. OpenSSH's and one of S3 are in packages sshdtest and s3test.
package servertest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Server is a program that serves until the test ends. It has a certificate.
type Server struct {
	*Process
	Store string // what it keeps for others, and nothing else
	// Pin is curl's hash of the key of its certificate, which is cert.pem in Dir.
	Pin string
}

// New makes the directories of a server, and its certificate, or skips. A size, as
// mount takes it, makes its store a file system of that size.
func New(t testing.TB, size string) *Server {
	t.Helper()
	p := NewProcess(t)
	s := &Server{Process: p, Store: p.Path("store")}
	if err := os.Mkdir(s.Store, 0o700); err != nil {
		t.Fatal(err)
	}
	s.certify(t)
	if size == "" {
		return s
	}
	if err := unix.Mount("tmpfs", s.Store, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(s.Store, unix.MNT_DETACH) })
	return s
}

// certify has openssl make key.pem and cert.pem. The addresses in it are those that
// the host and a machine in QEMU know loopback by.
func (s *Server) certify(t testing.TB) {
	t.Helper()
	run := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Skipf("%s %q: %v", name, args, err)
		}
		return strings.TrimSpace(string(out))
	}
	run("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=dumps",
		"-addext", "subjectAltName=IP:10.0.2.2,IP:127.0.0.1", "-keyout", s.Path("key.pem"), "-out", s.Path("cert.pem"))
	s.Pin = "sha256//" + run("sh", "-c",
		`openssl pkey -in "$0" -pubout -outform der | openssl dgst -sha256 -binary | openssl enc -base64`, s.Path("key.pem"))
}

// Run starts the program, or skips if there is none.
func (s *Server) Run(t testing.TB, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skip(err)
	}
	s.Args = args
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("%s says:\n%s", args[0], s.Said())
		}
	})
	s.Start(t)
}

// Stored returns how many bytes there are in a store, complete files or not.
func Stored(store string) int64 {
	var sum int64
	_ = filepath.WalkDir(store, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // files come and go
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
