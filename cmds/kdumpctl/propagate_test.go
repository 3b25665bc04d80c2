// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/sftp"
	crypto "golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target/ssh/sshdtest"
)

// sshTarget returns a target that is a server on that port, and whose files are
// below dir.
func sshTarget(user string, port int, dir string) config.Target {
	return config.Target{Kind: "ssh", Address: fmt.Sprintf("%s@127.0.0.1:%d", user, port), Dir: filepath.Join(dir, "dumps"),
		SSHKey: filepath.Join(dir, "keys/key"), KnownHosts: filepath.Join(dir, "keys/known")}
}

// noKeys has the user who tests own no keys.
func noKeys(t *testing.T) (home string) {
	t.Helper()
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	return home
}

// TestPropagate sets up an OpenSSH server, which the administrator can log in to
// with a key, and asks OpenSSH's clients what they can do with the new one.
func TestPropagate(t *testing.T) {
	s := sshdtest.New(t)
	home, dir := noKeys(t), t.TempDir()
	write(t, home, ".ssh/id_ed25519", s.Key(t, "client"))
	if err := os.Chmod(filepath.Join(home, ".ssh/id_ed25519"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Files as people write them: without a line's end.
	write(t, dir, "keys/known", []byte("elsewhere "+s.Public(t, "other")))
	authorized := write(t, s.Path("home"), ".ssh/authorized_keys", []byte("# others\n"+s.Public(t, "other")))
	target := sshTarget(s.User, s.Port, dir)
	file := write(t, dir, "kdump.conf", fmt.Appendf(nil, "path %s\nssh %s\nsshkey %s\nssh_known_hosts %s\n",
		target.Dir, target.Address, target.SSHKey, target.KnownHosts))

	status, stdout, stderr := kdumpctl("propagate", "--accept", "--config", file)
	if status != 0 || !strings.Contains(stdout, s.Fingerprint(t, "host")) {
		t.Fatalf("propagate = %d %q %q, want 0 and the fingerprint %s", status, stdout, stderr, s.Fingerprint(t, "host"))
	}
	if info, err := os.Stat(target.SSHKey); err != nil || info.Mode() != 0o600 {
		t.Errorf("the key is %v, %v, want mode 0600", info, err)
	}
	public, err := os.ReadFile(target.SSHKey + ".pub")
	if derived := s.Keygen(t, "-y", "-f", target.SSHKey); err != nil || derived != string(public) {
		t.Errorf("the public key is %q, %v, but ssh-keygen makes %q of the private one", public, err, derived)
	}
	if entries, err := os.ReadDir(target.Dir); err != nil || len(entries) != 0 {
		t.Errorf("the directory for dumps has %v, %v, want nothing", entries, err)
	}
	common := []string{"-q", "-i", target.SSHKey, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
		"-o", "StrictHostKeyChecking=yes", "-o", "UserKnownHostsFile=" + target.KnownHosts}
	host := s.User + "@127.0.0.1"
	if out, err := exec.Command("sftp", append(common, "-P", fmt.Sprint(s.Port), "-b", "/dev/null", host)...).CombinedOutput(); err != nil {
		t.Errorf("sftp with the new key: %v\n%s", err, out)
	}
	if out, err := exec.Command("ssh", append(common, "-p", fmt.Sprint(s.Port), host, "echo", "hello")...).Output(); err == nil || strings.Contains(string(out), "hello") {
		t.Errorf("ssh with the new key runs commands: %q, %v", out, err)
	}
	before, err := os.ReadFile(authorized)
	if err != nil || bytes.Count(before, []byte("\n")) != 3 || !bytes.Contains(before, []byte(s.Public(t, "other")+"\n")) {
		t.Errorf("the server's file is now %q, %v, want three lines, two of them as before", before, err)
	}

	status, stdout, stderr = kdumpctl("propagate", "--config", file)
	if want := fmt.Sprintf("%s takes dumps into %s\n", target.Address, target.Dir); status != 0 || stdout != want {
		t.Errorf("a second propagate = %d %q %q, want 0 %q", status, stdout, stderr, want)
	}
	if after, err := os.ReadFile(authorized); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the server's file is %q, %v after the second time, want %q", after, err, before)
	}
}

// TestPropagateRefused has a server with another host key, one that nobody can log
// in to, and configurations without one.
func TestPropagateRefused(t *testing.T) {
	s := sshdtest.New(t)
	noKeys(t)
	p := propagation{accept: true, terminal: "/nowhere/tty", out: t.Output()}
	target := sshTarget(s.User, s.Port, t.TempDir())
	err := p.setUp(t.Context(), &target)
	if want := "ssh-copy-id -i " + target.SSHKey + ".pub"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without a way in: %v, want an error with %s", err, want)
	}

	target = sshTarget(s.User, s.Port, t.TempDir())
	p.accept = false
	if err := p.setUp(t.Context(), &target); err == nil || !strings.Contains(err.Error(), "--accept") {
		t.Errorf("with nobody to ask: %v, want an error with --accept", err)
	}
	if _, err := os.Stat(target.KnownHosts); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a host key was accepted: %v", err)
	}

	p.accept = true
	text := sshdtest.Host(s.Port) + " " + s.Public(t, "other") + "\n"
	write(t, filepath.Dir(target.KnownHosts), "known", []byte(text))
	if err := p.setUp(t.Context(), &target); err == nil || !strings.Contains(err.Error(), "another machine that pretends") {
		t.Errorf("with another host key: %v, want an error", err)
	}
	if got, err := os.ReadFile(target.KnownHosts); err != nil || string(got) != text {
		t.Errorf("known_hosts is %q, %v, want %q", got, err, text)
	}

	m := newMachine(t)
	if status, _, stderr := kdumpctl("propagate", "--config", m.config); status != 1 || !strings.Contains(stderr, "no ssh target") {
		t.Errorf("without a target: %d %q, want 1 and that there is none", status, stderr)
	}
}

// TestPropagateTerminal has somebody at a terminal, who says no to a host key, and
// then yes, and who mistypes the password at first.
func TestPropagateTerminal(t *testing.T) {
	noKeys(t)
	home := t.TempDir()
	port := servePassword(t, home, "open sesame")
	target := sshTarget("root", port, t.TempDir())
	for _, test := range []struct{ dialog, want string }{
		{"Is that the server's key?|no", "was not accepted"},
		{"Is that the server's key?|yes|Password of root@127.0.0.1:|open says me|Password of root@127.0.0.1:|open sesame", ""},
		{"", ""},
	} {
		p := propagation{terminal: serveTerminal(t, test.dialog), out: t.Output()}
		err := p.setUp(t.Context(), &target)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Fatalf("after %q: %v, want %q", test.dialog, err, test.want)
		}
	}
}

// serveTerminal makes a terminal. The dialog has the beginnings of questions and
// what is typed then. Passwords must not be seen.
func serveTerminal(t *testing.T, dialog string) terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Skip(err)
	}
	path := fmt.Sprintf("/dev/pts/%d", n)
	keep, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0) // or the last who closes it hangs up
	if err != nil {
		t.Skip(err)
	}
	said := make(chan struct{})
	go func() {
		defer close(said)
		in := bufio.NewReader(master)
		for lines := strings.Split(dialog, "|"); len(lines) >= 2; lines = lines[2:] {
			seen := ""
			for !strings.Contains(seen, lines[0]) {
				c, err := in.ReadByte()
				if err != nil {
					t.Errorf("the terminal shows %q, then %v, want %q", seen, err, lines[0])
					return
				}
				seen += string(c)
			}
			if strings.Contains(seen, "open") {
				t.Errorf("the terminal shows a password: %q", seen)
			}
			fmt.Fprintln(master, lines[1])
		}
	}()
	t.Cleanup(func() {
		keep.Close()
		<-said
		master.Close()
	})
	return terminal(path)
}

// servePassword is a server that takes a password, or the keys in the file
// .ssh/authorized_keys, and returns its port. OpenSSH's takes the passwords of the
// machine only.
func servePassword(t *testing.T, home, password string) int {
	t.Helper()
	wrong := errors.New("wrong")
	config := &crypto.ServerConfig{
		PasswordCallback: func(_ crypto.ConnMetadata, typed []byte) (*crypto.Permissions, error) {
			if string(typed) != password {
				return nil, wrong
			}
			return nil, nil
		},
		PublicKeyCallback: func(_ crypto.ConnMetadata, key crypto.PublicKey) (*crypto.Permissions, error) {
			text, _ := os.ReadFile(filepath.Join(home, ".ssh/authorized_keys"))
			if !bytes.Contains(text, bytes.TrimSpace(crypto.MarshalAuthorizedKey(key))) {
				return nil, wrong
			}
			return nil, nil
		},
	}
	hostKey, err := crypto.ParsePrivateKey(newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	config.AddHostKey(hostKey)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serveFiles(conn, config, home)
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// newKey returns a private key that the command makes.
func newKey(t *testing.T) []byte {
	t.Helper()
	key, err := propagation{out: t.Output()}.key(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// serveFiles serves SFTP on a connection.
func serveFiles(conn net.Conn, config *crypto.ServerConfig, home string) {
	defer conn.Close()
	_, channels, requests, err := crypto.NewServerConn(conn, config)
	if err != nil {
		return
	}
	go crypto.DiscardRequests(requests)
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				r.Reply(r.Type == "subsystem", nil)
			}
		}()
		if server, err := sftp.NewServer(channel, sftp.WithServerWorkingDirectory(home)); err == nil {
			server.Serve()
		}
		channel.Close()
	}
}
