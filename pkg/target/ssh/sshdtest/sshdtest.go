// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package sshdtest starts OpenSSH servers for tests, on loopback and with keys of
// their own. The server runs as whoever tests and needs no rights.
package sshdtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strings"
	"syscall"
	"testing"

	"github.com/ukdump/ukdump/pkg/target/servertest"
)

const sshd = "/usr/sbin/sshd" // wants to be called by its whole path

// Server is a server. In its directory there are pairs of keys: host is the
// server's, client one that it takes, other is anybody's. Its users begin in the
// directory home there, where they may have .ssh/authorized_keys.
type Server struct {
	*servertest.Process
	User string
}

// New starts a server until the test ends, or skips.
func New(t testing.TB) *Server {
	t.Helper()
	for _, program := range []string{sshd, "/usr/bin/ssh-keygen"} {
		if _, err := os.Stat(program); err != nil {
			t.Skipf("%v (Debian: openssh-server)", err)
		}
	}
	if os.Geteuid() == 0 {
		// Where sshd locks its children in. On a machine that runs sshd it is there.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Skip(err)
		}
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{servertest.NewProcess(t), me.Username}
	s.Args = []string{sshd, "-D", "-e", "-f", s.Path("config")}
	for _, key := range []string{"host", "client", "other"} {
		s.Keygen(t, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", s.Path(key))
	}
	s.Authorize(t, "client")
	if err := os.Mkdir(s.Path("home"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Write(t, "config", "Port %d\nListenAddress 127.0.0.1\nListenAddress ::1\nHostKey %[2]s/host\n"+
		"AuthorizedKeysFile %[2]s/authorized %[2]s/home/.ssh/authorized_keys\nPidFile none\nStrictModes no\nUsePAM no\n"+
		"PasswordAuthentication no\nPermitRootLogin yes\nSubsystem sftp internal-sftp -d %[2]s/home\n", s.Port, s.Dir)
	t.Cleanup(s.Stop)
	s.Start(t)
	s.login(t)
	return s
}

// login skips the test if OpenSSH's own client is not let in: to accounts that are
// locked, nobody is.
func (s *Server) login(t testing.TB) {
	t.Helper()
	cmd := exec.Command("sftp", "-q", "-P", fmt.Sprint(s.Port), "-i", s.Path("client"), "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-b", "/dev/null", s.User+"@127.0.0.1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("sftp does not get into a server of %s: %v\n%s\n%s", s.User, err, out, s.Said())
	}
}

// Keygen runs ssh-keygen.
func (s *Server) Keygen(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command("ssh-keygen", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// Key returns the private key of that name.
func (s *Server) Key(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(s.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Public returns the public key of that name, one line without its end.
func (s *Server) Public(t testing.TB, name string) string {
	t.Helper()
	return string(bytes.TrimSpace(s.Key(t, name+".pub")))
}

// Fingerprint returns that of the key, as ssh-keygen prints it.
func (s *Server) Fingerprint(t testing.TB, name string) string {
	t.Helper()
	return strings.Fields(s.Keygen(t, "-lf", s.Path(name+".pub")))[1]
}

// Host returns what the server on this port is called in known_hosts files.
func Host(port int) string { return fmt.Sprintf("[127.0.0.1]:%d", port) }

// Authorize has the server take one key only.
func (s *Server) Authorize(t testing.TB, key string) {
	t.Helper()
	s.Write(t, "authorized", "%s\n", s.Public(t, key))
}

// Start starts the server, again after Stop, or skips: sshd has its own ideas of
// machines where it may run.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if err := s.Launch(); err != nil {
		t.Skipf("sshd does not start here: %v", err)
	}
}

// Stop kills the server and its connections, as far as there are any.
func (s *Server) Stop() {
	sessions := s.Sessions()
	s.Process.Stop()
	for _, pid := range sessions {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// Sessions returns the processes of the server's connections: each after the one
// that started it.
func (s *Server) Sessions() []int {
	var all, parents []int
	if pid := s.Pid(); pid != 0 {
		parents = []int{pid}
	}
	for len(parents) > 0 {
		out, _ := exec.Command("pgrep", "-P", fmt.Sprint(parents[0])).Output()
		parents = parents[1:]
		for _, field := range strings.Fields(string(out)) {
			pid := 0
			fmt.Sscan(field, &pid)
			all, parents = append(all, pid), append(parents, pid)
		}
	}
	return all
}

// Signal sends a signal to them.
func (s *Server) Signal(signal syscall.Signal) {
	for _, pid := range s.Sessions() {
		syscall.Kill(pid, signal)
	}
}

// Freeze has the server do nothing any more, neither for its connections nor for
// new ones.
func (s *Server) Freeze() {
	s.Process.Signal(syscall.SIGSTOP)
	s.Signal(syscall.SIGSTOP)
}
