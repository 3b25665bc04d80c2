// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package s3

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// enough is for waits that should end long before.
const enough = time.Minute

const (
	access = "ukdump"
	secret = "not much of a secret"
	bucket = "dumps"
)

// server is Versity's gateway, an S3 server that keeps objects as files.
type server struct {
	dir     string // of the buckets
	address string
	args    []string
	cmd     *exec.Cmd
	gone    chan struct{}
}

// newServer starts a server on loopback, or skips.
func newServer(t testing.TB, dir string, args ...string) *server {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, bucket), 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{dir: dir, address: listener.Addr().String()}
	listener.Close()
	s.args = append([]string{"--access", access, "--secret", secret, "--port", s.address, "--keep-alive"}, args...)
	// File systems for temporary files may have no extended attributes.
	s.args = append(s.args, "posix", "--sidecar", t.TempDir(), dir)
	t.Cleanup(func() { s.stop() })
	s.start(t)
	return s
}

// start starts the server and waits until it answers.
func (s *server) start(t testing.TB) {
	t.Helper()
	program, err := exec.LookPath("versitygw")
	if err != nil {
		program = "../../../build/tools/bin/versitygw"
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("no versitygw (vmtest/fetch server s3)")
	}
	s.cmd = exec.Command(program, s.args...)
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
		if c, err := net.Dial("tcp", s.address); err == nil {
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

// stop kills the server.
func (s *server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Kill()
		<-s.gone
	}
}

func (s *server) options() Options {
	return Options{Endpoint: "http://" + s.address, Bucket: bucket, Prefix: "crash/here", AccessKey: access, SecretKey: secret}
}

// read returns an object as it lies on the server's disk.
func (s *server) read(name string) ([]byte, error) {
	return os.ReadFile(filepath.Join(s.dir, bucket, name))
}

// certificate makes a certificate for loopback and returns the names of the files
// with it and with its key.
func certificate(t testing.TB) (pool *x509.CertPool, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, data []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pool = x509.NewCertPool()
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	pool.AppendCertsFromPEM(certPEM)
	return pool, write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", private)
}
