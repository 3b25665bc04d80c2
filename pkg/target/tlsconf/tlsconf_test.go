// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package tlsconf

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// openssl runs openssl in dir and returns what it prints; or skips.
func openssl(t *testing.T, dir, command string) []byte {
	t.Helper()
	program, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("sh", "-c", strings.ReplaceAll(command, "openssl", program))
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, stderr.Bytes())
	}
	return out
}

// newServer has openssl make a certificate for loopback and serve with it. It
// returns where, the certificate and the pin of its key.
func newServer(t *testing.T, args ...string) (address string, cert, key []byte, pin string) {
	t.Helper()
	dir := t.TempDir()
	openssl(t, dir, "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -days 2 "+
		"-subj /CN=test -addext subjectAltName=IP:127.0.0.1")
	// As curl's manual has it.
	hash := openssl(t, dir, "openssl x509 -in cert.pem -pubkey -noout | openssl pkey -pubin -outform der | "+
		"openssl dgst -sha256 -binary | openssl enc -base64")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	listener.Close()
	cmd := exec.Command("openssl", append([]string{"s_server", "-accept", address, "-cert", "cert.pem", "-key", "key.pem", "-quiet", "-www"}, args...)...)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	return address, read("cert.pem"), read("key.pem"), "sha256//" + strings.TrimSpace(string(hash))
}

// get makes a request, as a handshake alone does not tell whether the server is
// content with us.
func get(address string, o Options) error {
	config, err := New(o)
	if err != nil {
		return err
	}
	c, err := tls.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func TestTrust(t *testing.T) {
	address, cert, _, pin := newServer(t)
	_, other, _, otherPin := newServer(t)
	_, port, _ := net.SplitHostPort(address)
	named := net.JoinHostPort("localhost", port)
	for _, test := range []struct {
		name, address string
		o             Options
		want          bool
	}{
		{"the system's roots", address, Options{}, false},
		{"its own root", address, Options{Roots: cert}, true},
		{"its own root, under another name", named, Options{Roots: cert}, false},
		{"another root", address, Options{Roots: other}, false},
		{"its pin", address, Options{Pin: pin}, true},
		{"its pin, under another name", named, Options{Pin: pin}, true},
		{"another pin", address, Options{Pin: otherPin}, false},
		{"its root and another pin", address, Options{Roots: cert, Pin: otherPin}, false},
		{"its pin and another root", address, Options{Roots: other, Pin: pin}, false},
		{"both", address, Options{Roots: cert, Pin: pin}, true},
	} {
		if err := get(test.address, test.o); (err == nil) != test.want {
			t.Errorf("%s: %v, want that it is trusted: %v", test.name, err, test.want)
		}
	}
	if err := get(address, Options{Pin: otherPin}); !errors.Is(err, ErrPin) || !strings.Contains(err.Error(), pin) {
		t.Errorf("with another pin: %v, want ErrPin and the pin that it has", err)
	}
}

func TestOwnCertificate(t *testing.T) {
	_, cert, key, _ := newServer(t)
	path := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(path, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	address, _, _, pin := newServer(t, "-Verify", "1", "-verify_return_error", "-CAfile", path)
	if err := get(address, Options{Pin: pin}); err == nil {
		t.Error("the server takes us without a certificate")
	}
	if err := get(address, Options{Pin: pin, Certificate: cert, Key: key}); err != nil {
		t.Errorf("with a certificate: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []Options{
		{Roots: []byte("nothing")},
		{Pin: "sha256//"},
		{Pin: "sha256//AAAA"},
		{Pin: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
		{Pin: "sha256//!"},
		{Certificate: []byte("x"), Key: []byte("y")},
		{Key: []byte("y")},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) is no error", o)
		}
	}
}
