// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumprecv

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	uphttp "github.com/ukdump/ukdump/pkg/target/http"
	"github.com/ukdump/ukdump/pkg/target/s3/s3test"
	"github.com/ukdump/ukdump/pkg/target/servertest"
)

func freeAddress(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t))
}

// certificate makes a certificate that is its own authority, in a file with its key.
func certificate(t *testing.T, name string) (file string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	file = filepath.Join(t.TempDir(), "pem")
	if err := os.WriteFile(file, append(public, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), 0o600); err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(public)
	return file, pool
}

// log is what the program says, while it runs.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start starts the program, and waits until it listens.
func start(t *testing.T, address string, args ...string) *log {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	said, done := &log{}, make(chan error, 1)
	go func() { done <- run(ctx, append([]string{"--listen", address}, args...), io.Discard, said) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("kdumprecv ended with %v", err)
		}
	})
	for deadline := time.Now().Add(time.Minute); !strings.Contains(said.String(), "listening"); time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-done:
			t.Fatalf("kdumprecv does not run: %v\n%s", err, said)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("kdumprecv does not listen")
		}
	}
	return said
}

// upload sends a file as a capture kernel does.
func upload(t *testing.T, o uphttp.Options, text string) error {
	t.Helper()
	store, err := uphttp.Open(t.Context(), o)
	if err != nil {
		return err
	}
	defer store.Close()
	dir, err := store.Make(t.Context(), "dump")
	if err != nil {
		return err
	}
	f, err := dir.Create(t.Context(), "vmcore-dmesg.txt", 0)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(f, text); err != nil {
		return err
	}
	return f.Commit()
}

func TestTokens(t *testing.T) {
	var out strings.Builder
	if status := Run([]string{"token", "web1"}, nil, &out, io.Discard); status != 0 {
		t.Fatalf("kdumprecv token: %d", status)
	}
	token, line, _ := strings.Cut(out.String(), "\n")
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens")
	if err := os.WriteFile(tokens, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	pem, pool := certificate(t, "server")
	address, metrics := freeAddress(t), freeAddress(t)
	said := start(t, address, "--dir", filepath.Join(dir, "dumps"), "--cert", pem, "--key", pem, "--tokens", tokens, "--metrics", metrics)
	o := uphttp.Options{URL: "https://" + address, TLS: &tls.Config{RootCAs: pool}, Token: token}
	if err := upload(t, o, "hello"); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "dumps/web1/dump/vmcore-dmesg.txt")); err != nil || string(text) != "hello" {
		t.Errorf("the file has %q, %v, want hello", text, err)
	}
	if !strings.Contains(said.String(), "msg=received machine=web1 file=web1/dump/vmcore-dmesg.txt bytes=5") {
		t.Errorf("the log has no line about it:\n%s", said)
	}
	o.Token = "wrong"
	if err := upload(t, o, "x"); err == nil {
		t.Error("a wrong token is taken")
	}
	answer, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	for _, want := range []string{"kdumprecv_files_total 1\n", "kdumprecv_received_bytes_total 5\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the metrics lack %q, %v:\n%s", want, err, text)
		}
	}
	if strings.Contains(said.String(), token) {
		t.Error("the log has the token")
	}
}

func TestCertificates(t *testing.T) {
	server, pool := certificate(t, "server")
	client, _ := certificate(t, "web2")
	other, _ := certificate(t, "web3")
	dir, address := t.TempDir(), freeAddress(t)
	start(t, address, "--dir", dir, "--cert", server, "--key", server, "--client-ca", client)
	send := func(file string) error {
		pair, err := tls.LoadX509KeyPair(file, file)
		if err != nil {
			t.Fatal(err)
		}
		return upload(t, uphttp.Options{URL: "https://" + address, Patience: time.Second,
			TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}}, "hello")
	}
	if err := send(client); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "web2/dump/vmcore-dmesg.txt")); err != nil {
		t.Error(err)
	}
	if err := send(other); err == nil {
		t.Error("a certificate of nobody is taken")
	}
}

// TestBucket has two receivers in front of a bucket.
func TestBucket(t *testing.T) {
	store := s3test.New(t, t.TempDir())
	credentials := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(credentials, []byte(s3test.Credentials), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"one", "two"} {
		address := freeAddress(t)
		said := start(t, address, "--bucket", "http://"+store.Address()+"/"+s3test.Bucket+"/fleet", "--s3-credentials", credentials, "--no-tls", "--no-auth")
		if err := upload(t, uphttp.Options{URL: fmt.Sprintf("http://%s/%d/", address, i)}, want); (err == nil) != (i == 0) {
			t.Errorf("the same file from receiver %d: %v", i, err)
		}
		if strings.Contains(said.String(), s3test.Secret) {
			t.Error("the log has the secret key")
		}
	}
	if got, err := store.Read("fleet/127.0.0.1/dump/vmcore-dmesg.txt"); err != nil || string(got) != "one" {
		t.Errorf("the object has %q, %v, want what came first", got, err)
	}
}

// TestConnections makes more connections than there may be.
func TestConnections(t *testing.T) {
	for _, limit := range []string{"--connections", "--per-address"} {
		address := freeAddress(t)
		start(t, address, "--dir", t.TempDir(), "--no-tls", "--no-auth", limit, "2")
		var conns []net.Conn
		// ask makes a connection, which stays, and reports whether it is served.
		ask := func() bool {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			conns = append(conns, conn)
			conn.SetDeadline(time.Now().Add(time.Minute))
			fmt.Fprintf(conn, "OPTIONS / HTTP/1.1\r\nHost: x\r\n\r\n")
			n, _ := conn.Read(make([]byte, 1))
			return n == 1
		}
		for i, want := range []bool{true, true, false} {
			if got := ask(); got != want {
				t.Errorf("%s 2: connection %d is served: %v, want %v", limit, i+1, got, want)
			}
		}
		conns[0].Close()
		for deadline := time.Now().Add(time.Minute); !ask(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s 2: a place that is free again is not given to anybody", limit)
			}
		}
	}
}

func TestOptions(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"", "--cert and --key are needed"},
		{"--no-tls", "one of --tokens, --client-ca and --no-auth is needed"},
		{"--no-tls --no-auth --tokens x", "one of --tokens, --client-ca and --no-auth is needed"},
		{"--no-tls --client-ca x", "--no-tls excludes"},
		{"--no-tls --no-auth --quota 1X", `"1X" is no size`},
		{"--no-tls --no-auth --quota 9999999T", `"9999999T" is no size`},
		{"--no-tls --no-auth --idle 1ms", "--idle 1ms is less than a second"},
		{"--no-tls --no-auth --bucket s3://b --dir x", "--bucket excludes --dir"},
		{"--no-tls --no-auth --bucket b", `"b" is neither s3://BUCKET/PREFIX nor https://HOST/BUCKET/PREFIX`},
		{"--no-tls --no-auth --bucket s3://b --s3-credentials /nowhere", "/nowhere"},
		{"--no-tls --no-auth --s3-region x", "are for a --bucket"},
		{"--no-tls --no-auth --expire 1m", "--expire 1m0s is less than an hour"},
		{"--no-tls --no-auth --connections 0", "--connections 0"},
		{"--no-tls --no-auth --per-machine 0", "--per-machine 0"},
		{"--no-tls --no-auth x", `"x" is no option`},
		{"--no-tls --tokens /nowhere", "/nowhere"},
		{"token", "name one machine"},
		{"token ../x", "is not a name"},
	} {
		var stderr strings.Builder
		if status := Run(strings.Fields(test.args), nil, io.Discard, &stderr); status != 1 || !strings.Contains(stderr.String(), test.want) {
			t.Errorf("kdumprecv %s: status %d, %q, want 1 and %q", test.args, status, &stderr, test.want)
		}
	}
	o, err := parse(strings.Fields("--no-tls --no-auth --quota 2M --total 3T --keep-free 0"))
	if err != nil || o.receiver.MachineQuota != 2<<20 || o.receiver.TotalQuota != 3<<40 || o.receiver.KeepFree != 0 {
		t.Errorf("parse = %+v, %v", o, err)
	}
	if o.receiver.Dir != "/var/lib/kdumprecv" || o.receiver.Bucket != nil {
		t.Errorf("without --dir, dumps go to %q, %v", o.receiver.Dir, o.receiver.Bucket)
	}
	var help strings.Builder
	if status := Run([]string{"-h"}, nil, &help, io.Discard); status != 0 || !strings.Contains(help.String(), "usage: kdumprecv") {
		t.Errorf("-h: status %d, %s", status, fmt.Sprint(&help))
	}
}
