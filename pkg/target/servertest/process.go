// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package servertest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Process is a program of this machine that serves on a port of loopback. It is
// killed with the one that tests.
type Process struct {
	Dir  string // its configuration, keys and log
	Port int
	Args []string // the program, and what it is called with
	Env  []string // what it has besides our environment

	cmd  *exec.Cmd
	gone chan struct{} // closed when cmd has ended
}

// NewProcess makes the directory of a server that has a port of its own. It has to
// be told its Args, and started.
func NewProcess(t testing.TB) *Process {
	t.Helper()
	return &Process{Dir: t.TempDir(), Port: FreePort(t)}
}

// FreePort returns a port of loopback that nobody has.
func FreePort(t testing.TB) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// Address returns where the server is: host and port.
func (p *Process) Address() string { return fmt.Sprintf("127.0.0.1:%d", p.Port) }

// Path returns the path of a file in the server's directory.
func (p *Process) Path(name string) string { return filepath.Join(p.Dir, name) }

// Write makes a file in it.
func (p *Process) Write(t testing.TB, name, format string, args ...any) {
	t.Helper()
	if err := os.WriteFile(p.Path(name), fmt.Appendf(nil, format, args...), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Start starts the server, again after Stop, and waits until it takes connections.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
}

// Launch is Start for those who have a use for the error.
func (p *Process) Launch() error {
	log, err := os.OpenFile(p.Path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, gone := exec.Command(p.Args[0], p.Args[1:]...), make(chan struct{})
	cmd.Env = append(os.Environ(), p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		cmd.Wait()
		close(gone)
	}()
	p.cmd, p.gone = cmd, gone
	return p.await()
}

// await waits until the server takes connections.
func (p *Process) await() error {
	for deadline := time.After(time.Minute); ; {
		conn, err := net.Dial("tcp", p.Address())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-p.gone:
			return fmt.Errorf("%s has ended:\n%s", p.Args[0], p.Said())
		case <-deadline:
			return fmt.Errorf("%s takes no connections: %w\n%s", p.Args[0], err, p.Said())
		}
	}
}

// Said returns what the server has said since it was started first.
func (p *Process) Said() []byte {
	text, _ := os.ReadFile(p.Path("log"))
	return text
}

// Pid returns the ID of the process, 0 if it does not run.
func (p *Process) Pid() int {
	if p.cmd == nil {
		return 0
	}
	select {
	case <-p.gone:
		return 0
	default:
		return p.cmd.Process.Pid
	}
}

// Stop kills the server, as far as it runs.
func (p *Process) Stop() {
	if p.cmd != nil {
		p.cmd.Process.Kill()
		<-p.gone
	}
}

// Signal sends a signal to the server, which has been started.
func (p *Process) Signal(signal syscall.Signal) { p.cmd.Process.Signal(signal) }
