// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/receiver"
)

// TestSameDump saves the memory of a real machine to a disk, to a server with SSH
// and to kdumprecv. It has to be the same dump, byte for byte.
func TestSameDump(t *testing.T) {
	core := realCore(t)
	image := newDisk(t, 1<<30, "mkfs.ext4", "-q", "-F")
	save := func(conf string) {
		t.Helper()
		r, console := testRun(fakeMachine(t, core, conf))
		if s := r.carryOutAll(initial(r.machine)); s.outcome().result() != "ok" {
			t.Fatalf("%s: result %s, want ok\n%s", conf, s.outcome().result(), console)
		}
	}
	save("ext4 UUID=" + uuid(t, image) + "\n")
	want := files(t, image, "var/crash")["vmcore"]

	for name, start := range map[string]func(*testing.T) (conf, dumps string){"ssh": startSSH, "kdumprecv": startReceiver} {
		t.Run(name, func(t *testing.T) {
			conf, dumps := start(t)
			save("machine tested\n" + conf)
			found, err := filepath.Glob(filepath.Join(dumps, "tested-*/vmcore"))
			if err != nil || len(found) != 1 {
				t.Fatalf("the server has the dumps %q, %v, want one", found, err)
			}
			got, err := os.ReadFile(found[0])
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("the server has %d bytes, %v, not the same as the %d on the disk", len(got), err, len(want))
			}
		})
	}
}

// startReceiver starts what kdumprecv is, and returns the lines of kdump.conf for it.
func startReceiver(t *testing.T) (conf, dumps string) {
	dir := t.TempDir()
	recv, err := receiver.New(receiver.Options{Dir: dir, Machine: func(*http.Request) (string, error) { return "web1", nil }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(recv)
	t.Cleanup(func() {
		server.Close()
		recv.Close()
	})
	return "http " + server.URL + "/\n", filepath.Join(dir, "web1")
}

// startSSH starts an OpenSSH server, and returns the lines of kdump.conf for it.
func startSSH(t *testing.T) (conf, dumps string) {
	const sshd = "/usr/sbin/sshd"
	if _, err := os.Stat(sshd); err != nil {
		t.Skip(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Skip(err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	dir := t.TempDir()
	for _, key := range []string{"host", "key"} {
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			t.Skipf("ssh-keygen: %v\n%s", err, out)
		}
	}
	host, err := os.ReadFile(filepath.Join(dir, "host.pub"))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"known": fmt.Sprintf("[127.0.0.1]:%d %s", port, host),
		"config": fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %[2]s/host\nAuthorizedKeysFile %[2]s/key.pub\n"+
			"PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n", port, dir),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	server := exec.Command(sshd, "-D", "-e", "-f", filepath.Join(dir, "config"))
	server.Stderr = &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Skipf("sshd does not start here: %v", err)
		}
	}
	return fmt.Sprintf("ssh %s@127.0.0.1:%d\npath %[3]s/dumps\nsshkey %[3]s/key\nssh_known_hosts %[3]s/known\n",
		me.Username, port, dir), filepath.Join(dir, "dumps")
}
