// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package servertest starts servers that dumps can go to, for the tests of more
// than one package: servers that nobody here wrote, on loopback, each with a
// directory of its own. OpenSSH's and one of S3 are in packages sshdtest and s3test.
package servertest

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Server is a program of this machine that serves until the test ends.
type Server struct {
	Dir   string // its configuration, keys and log
	Store string // what it keeps for others, and nothing else
	Port  int
	// Pin is curl's hash of the key of its certificate, which is cert.pem in Dir.
	Pin string

	args []string
	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// New makes the directories of a server, and its certificate, or skips. A size, as
// mount takes it, makes its store a file system of that size.
func New(t testing.TB, size string) *Server {
	t.Helper()
	dir := t.TempDir()
	s := &Server{Dir: dir, Store: filepath.Join(dir, "store"), Port: freePort(t)}
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

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
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

// Path returns the path of a file in the server's directory.
func (s *Server) Path(name string) string { return filepath.Join(s.Dir, name) }

// Write makes a file in it.
func (s *Server) Write(t testing.TB, name, format string, args ...any) {
	t.Helper()
	if err := os.WriteFile(s.Path(name), fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Run starts the program, or skips if there is none.
func (s *Server) Run(t testing.TB, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(args[0]); err != nil {
		t.Skip(err)
	}
	s.args = args
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("%s says:\n%s", args[0], s.log())
		}
	})
	s.Start(t)
}

func (s *Server) log() []byte {
	text, _ := os.ReadFile(s.Path("log"))
	return text
}

// Start starts the server again, and waits until it takes connections.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(s.Path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd, gone := exec.Command(s.args[0], s.args[1:]...), make(chan struct{})
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(gone)
	}()
	s.cmd, s.gone = cmd, gone
	for deadline := time.After(time.Minute); ; {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-gone:
			t.Fatalf("%s has ended", s.args[0])
		case <-deadline:
			t.Fatalf("%s takes no connections: %v", s.args[0], err)
		}
	}
}

// Stop kills the server, as far as it runs.
func (s *Server) Stop() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		<-s.gone
		s.cmd = nil
	}
}

// Signal sends a signal to the server.
func (s *Server) Signal(signal syscall.Signal) { s.cmd.Process.Signal(signal) }

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
