// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package s3

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/target/s3/s3test"
)

// enough is for waits that should end long before.
const enough = time.Minute

const (
	access = s3test.Access
	secret = s3test.Secret
	bucket = s3test.Bucket
)

type server struct{ *s3test.Server }

func newServer(t testing.TB, dir string, args ...string) server {
	t.Helper()
	return server{s3test.New(t, dir, args...)}
}

func (s server) options() Options {
	return Options{Endpoint: "http://" + s.Address(), Bucket: bucket, Prefix: "crash/here", AccessKey: access, SecretKey: secret}
}

// newTLSServer starts a server with TLS, and returns what it takes to use it.
func newTLSServer(t testing.TB) (server, Options) {
	t.Helper()
	pool, cert, key := certificate(t)
	srv := newServer(t, t.TempDir(), "--cert", cert, "--key", key)
	o := srv.options()
	o.Endpoint = "https://" + srv.Address()
	o.TLS = &tls.Config{RootCAs: pool}
	return srv, o
}

// bothWays runs a test with and without TLS: parts are sent in different ways.
func bothWays(t *testing.T, test func(t *testing.T, srv server, o Options)) {
	t.Run("http", func(t *testing.T) {
		srv := newServer(t, t.TempDir())
		test(t, srv, srv.options())
	})
	t.Run("https", func(t *testing.T) {
		srv, o := newTLSServer(t)
		test(t, srv, o)
	})
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
