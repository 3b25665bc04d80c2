// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package s3test starts an S3 server for tests. Only tests import it.
package s3test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/ukdump/ukdump/pkg/target/servertest"
)

// What clients of the server have to know.
const (
	Access = "ukdump"
	Secret = "not much of a secret"
	Bucket = "dumps"
	// Credentials is a file that has them.
	Credentials = "[default]\naws_access_key_id = " + Access + "\naws_secret_access_key = " + Secret + "\n"
)

// program is where vmtest/fetch puts the server, below the module's folder.
const program = "build/tools/bin/versitygw"

// Server is Versity's gateway, an S3 server that keeps objects as files.
type Server struct {
	*servertest.Process
	Store string // has the buckets
}

// New starts a server, with a bucket, until the test ends, or skips.
func New(t testing.TB, store string, args ...string) *Server {
	t.Helper()
	s := &Server{servertest.NewProcess(t), store}
	// File systems for temporary files may have no extended attributes.
	sidecar := s.Path("sidecar")
	for _, dir := range []string{sidecar, filepath.Join(store, Bucket)} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.Args = append([]string{find(t), "--access", Access, "--secret", Secret, "--port", s.Address(), "--keep-alive"}, args...)
	s.Args = append(s.Args, "posix", "--sidecar", sidecar, store)
	s.Env = []string{"GOMAXPROCS=1"}
	t.Cleanup(s.Stop)
	s.Start(t)
	return s
}

// find returns where the server's program is, or skips.
func find(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("versitygw"); err == nil {
		return path
	}
	dir, err := os.Getwd() // of the package that is tested
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		path := filepath.Join(dir, program)
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skip("no versitygw (vmtest/fetch server s3)")
	return ""
}

// Read returns an object as it lies on the server's disk.
func (s *Server) Read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.Store, Bucket, name))
}
