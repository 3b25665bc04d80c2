// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package sshdtest starts OpenSSH servers for tests, on loopback and with keys of
// their own. The server runs as whoever tests and needs no rights.
package sshdtest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sshd = "/usr/sbin/sshd" // wants to be called by its whole path

// Server is a server. In its directory there are pairs of keys: host is the
// server's, client one that it takes, other is anybody's. Its users begin in the
// directory home there, where they may have .ssh/authorized_keys.
type Server struct {
	Dir  string
	Port int
	User string

	cmd *exec.Cmd
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
	s := &Server{Dir: t.TempDir(), Port: freePort(t), User: me.Username}
	for _, key := range []string{"host", "client", "other"} {
		s.Keygen(t, "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", s.Path(key))
	}
	s.Authorize(t, "client")
	if err := os.Mkdir(s.Path("home"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write(t, "config", "Port %d\nListenAddress 127.0.0.1\nListenAddress ::1\nHostKey %[2]s/host\n"+
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
		log, _ := os.ReadFile(s.Path("log"))
		t.Skipf("sftp does not get into a server of %s: %v\n%s\n%s", s.User, err, out, log)
	}
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
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

// Path returns the path of a file in the server's directory.
func (s *Server) Path(name string) string { return filepath.Join(s.Dir, name) }

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
	s.write(t, "authorized", "%s\n", s.Public(t, key))
}

func (s *Server) write(t testing.TB, name, format string, args ...any) {
	t.Helper()
	if err := os.WriteFile(s.Path(name), fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Start starts the server again, and waits until it takes connections.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	log, err := os.OpenFile(s.Path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(sshd, "-D", "-e", "-f", s.Path("config"))
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Skipf("sshd does not start here: %v\n%s", err, text)
		}
	}
}

// Stop kills the server and its connections, as far as there are any.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	sessions := s.Sessions()
	s.cmd.Process.Kill()
	s.cmd.Wait()
	for _, pid := range sessions {
		syscall.Kill(pid, syscall.SIGKILL)
	}
	s.cmd = nil
}

// Sessions returns the processes of the server's connections: each after the one
// that started it.
func (s *Server) Sessions() []int {
	var all []int
	parents := []int{s.cmd.Process.Pid}
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
	s.cmd.Process.Signal(syscall.SIGSTOP)
	s.Signal(syscall.SIGSTOP)
}
