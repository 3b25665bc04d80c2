// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package s3test starts an S3 server for tests. Only tests import it.
package s3test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What clients of the server have to know.
const (
	Access = "ukdump"
	Secret = "not much of a secret"
	Bucket = "dumps"
)

// program is where vmtest/fetch puts the server, below the module's folder.
const program = "build/tools/bin/versitygw"

// enough is for waits that should end long before.
const enough = time.Minute

// Server is Versity's gateway, an S3 server that keeps objects as files.
type Server struct {
	Dir     string // of the buckets
	Address string
	args    []string
	cmd     *exec.Cmd
	gone    chan struct{}
}

// New starts a server on loopback, with a bucket, or skips.
func New(t testing.TB, dir string, args ...string) *Server {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, Bucket), 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Dir: dir, Address: listener.Addr().String()}
	listener.Close()
	s.args = append([]string{"--access", Access, "--secret", Secret, "--port", s.Address, "--keep-alive"}, args...)
	// File systems for temporary files may have no extended attributes.
	s.args = append(s.args, "posix", "--sidecar", t.TempDir(), dir)
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

// Start starts the server, again after Stop, and waits until it answers.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(find(t), s.args...)
	s.cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.gone = make(chan struct{})
	go func() { s.cmd.Wait(); close(s.gone) }()
	for deadline := time.Now().Add(enough); ; {
		if c, err := net.Dial("tcp", s.Address); err == nil {
			c.Close()
			return
		}
		select {
		case <-s.gone:
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("the server has ended:\n%s", said)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not answer")
		}
	}
}

// Stop kills the server.
func (s *Server) Stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Kill()
		<-s.gone
	}
}

// Signal sends the server a signal.
func (s *Server) Signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// Read returns an object as it lies on the server's disk.
func (s *Server) Read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.Dir, Bucket, name))
}
