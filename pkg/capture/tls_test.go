// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package capture

import (
	"bytes"
	"crypto/tls"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
)

// authority signs certificates, by openssl.
type authority string // the directory of its files; its own certificate is ca.pem

// newAuthority makes an authority, or skips.
func newAuthority(t *testing.T) authority {
	t.Helper()
	a := authority(t.TempDir())
	for name, text := range map[string]string{
		"index": "",
		"conf": "[ca]\ndefault_ca=ca\n[ca]\nnew_certs_dir=.\ndatabase=index\nrand_serial=yes\ndefault_md=sha256\n" +
			"unique_subject=no\npolicy=names\nx509_extensions=extensions\n[names]\ncommonName=supplied\n" +
			"[extensions]\nsubjectAltName=IP:127.0.0.1\n",
	} {
		if err := os.WriteFile(a.file(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a.openssl(t, "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=authority -keyout ca.key -out ca.pem")
	return a
}

func (a authority) file(name string) string { return filepath.Join(string(a), name) }

// openssl runs a command line of openssl, and returns what it prints.
func (a authority) openssl(t *testing.T, command string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip(err)
	}
	cmd := exec.Command("sh", append([]string{"-ec", command, "sh"}, args...)...)
	cmd.Dir = string(a)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, &stderr)
	}
	return string(out)
}

// sign makes a certificate for 127.0.0.1 and its key, NAME.pem and NAME.key, and
// returns the pin of the key as curl's manual has it.
func (a authority) sign(t *testing.T, name string, from, to time.Time) (pin string) {
	t.Helper()
	const asn1 = "20060102150405Z"
	return "sha256//" + strings.TrimSpace(a.openssl(t, `
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=$1 -keyout $1.key -out $1.csr
		openssl ca -batch -notext -config conf -cert ca.pem -keyfile ca.key -in $1.csr -out $1.pem -startdate $2 -enddate $3
		openssl pkey -in $1.key -pubout -outform der | openssl dgst -sha256 -binary | openssl enc -base64`,
		name, from.UTC().Format(asn1), to.UTC().Format(asn1)))
}

// serve starts a server with the certificate of that name, and returns where.
func (a authority) serve(t *testing.T, name string, args ...string) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	listener.Close()
	cmd := exec.Command("openssl", append([]string{"s_server", "-accept", address, "-cert", name + ".pem", "-key", name + ".key",
		"-quiet", "-www"}, args...)...)
	cmd.Dir = string(a)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// get makes a request, as a handshake alone does not tell whether the server is
// content with us.
func get(address string, target config.Target, crashed time.Time) error {
	c, err := clientTLS(target, crashed)
	if err != nil {
		return err
	}
	conn, err := tls.Dial("tcp", address, c)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// TestTrust connects to servers of which some are those that the configuration
// means.
func TestTrust(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Now()
	ours, others := newAuthority(t), newAuthority(t)
	pin := ours.sign(t, "server", now.Add(-day), now.Add(2*day))
	expiredPin := ours.sign(t, "expired", now.Add(-2*day), now.Add(-day))
	ours.sign(t, "tomorrow", now.Add(day), now.Add(3*day))
	ours.sign(t, "client", now.Add(-day), now.Add(2*day))
	otherPin := others.sign(t, "server", now.Add(-day), now.Add(2*day))
	bundle := ours.file("bundle")
	ours.openssl(t, "cat $1 ca.pem > bundle", others.file("ca.pem"))

	server, expired, tomorrow := ours.serve(t, "server"), ours.serve(t, "expired"), ours.serve(t, "tomorrow")
	strict := ours.serve(t, "server", "-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem")
	_, port, _ := net.SplitHostPort(server)
	named := net.JoinHostPort("localhost", port)
	signed := config.Target{TLSCA: ours.file("ca.pem")}
	certified := signed
	certified.TLSCert, certified.TLSKey = ours.file("client.pem"), ours.file("client.key")
	for _, test := range []struct {
		name    string
		address string
		target  config.Target
		crashed time.Time
		want    string // in the error; "" if it is trusted
	}{
		{"the authority", server, signed, now, ""},
		{"a bundle with the authority", server, config.Target{TLSCA: bundle}, now, ""},
		{"another authority", server, config.Target{TLSCA: others.file("ca.pem")}, now, "unknown authority"},
		{"the authority, under another name", named, signed, now, "localhost"},
		{"the pin", server, config.Target{TLSPin: pin}, now, ""},
		{"the pin, under another name", named, config.Target{TLSPin: pin}, now, ""},
		{"another pin", server, config.Target{TLSPin: otherPin}, now, "the server's key is " + pin},
		{"the authority and the pin", server, config.Target{TLSCA: bundle, TLSPin: pin}, now, ""},
		{"the authority and another pin", server, config.Target{TLSCA: bundle, TLSPin: otherPin}, now, "not the pinned one"},
		{"another authority and the pin", server, config.Target{TLSCA: others.file("ca.pem"), TLSPin: pin}, now, "unknown authority"},

		{"expired", expired, signed, now, "expired"},
		{"expired, and the crash was before", expired, signed, now.Add(-36 * time.Hour), "expired"},
		{"expired, but it is the pin that counts", expired, config.Target{TLSPin: expiredPin}, now, ""},
		{"not valid yet", tomorrow, signed, now, "not yet valid"},
		{"not valid yet, as the clock is behind", tomorrow, signed, now.Add(2 * day), ""},
		{"expired, though the clock is behind", server, signed, now.Add(3 * day), "expired"},

		{"no certificate of our own", strict, signed, now, "certificate required"},
		{"a certificate of our own", strict, certified, now, ""},
	} {
		err := get(test.address, test.target, test.crashed)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v, want that it is trusted", test.name, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want an error with %q", test.name, err, test.want)
		}
	}
}

// TestBadTrust has files and values that cannot be what was meant.
func TestBadTrust(t *testing.T) {
	ours := newAuthority(t)
	ours.sign(t, "client", time.Now(), time.Now().Add(time.Hour))
	key := ours.file("client.key")
	for _, test := range []struct {
		target config.Target
		want   string
	}{
		{config.Target{TLSCA: ours.file("none")}, "no such file"},
		{config.Target{TLSCA: key}, key + " has no certificate"},
		{config.Target{TLSPin: "sha256//"}, "tls_pin"},
		{config.Target{TLSPin: "sha256//AAAA"}, "tls_pin"},
		{config.Target{TLSPin: "sha256//!"}, "tls_pin"},
		{config.Target{TLSCert: ours.file("ca.pem"), TLSKey: key}, "does not match"},
	} {
		c, err := clientTLS(test.target, time.Now())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("clientTLS(%+v) = %v, %v, want an error with %q", test.target, c, err, test.want)
		}
	}
}
