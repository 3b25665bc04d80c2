// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package http

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/targettest"
)

// nginx is a web server of the test's own that takes PUT requests.
type nginx struct {
	dir  string
	data string // where files go to
	port int
	cmd  *exec.Cmd
}

// newNginx starts a server, or skips. A certificate makes it one for https.
func newNginx(t testing.TB, certificate string) *nginx {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("no nginx here (Debian: nginx-light)")
	}
	s := &nginx{dir: t.TempDir(), port: freePort(t)}
	s.data = filepath.Join(s.dir, "data")
	tlsLines, listen := "", fmt.Sprintf("127.0.0.1:%d", s.port)
	if certificate != "" {
		listen += " ssl"
		tlsLines = fmt.Sprintf("ssl_certificate %[1]s; ssl_certificate_key %[1]s;", certificate)
	}
	conf := fmt.Sprintf(`
daemon off; master_process off; pid %[1]s/pid; error_log %[1]s/error.log;
events {}
http {
	access_log off; client_body_temp_path %[1]s/body; client_max_body_size 0; proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s; root %[3]s; %[4]s
		location / { dav_methods PUT; create_full_put_path on; dav_access user:rw; }
	}
}
`, s.dir, listen, s.data, tlsLines)
	if err := os.WriteFile(filepath.Join(s.dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.data, 0o700); err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(program, "-c", filepath.Join(s.dir, "conf"), "-p", s.dir)
	s.start(t)
	t.Cleanup(s.stop)
	return s
}

func (s *nginx) start(t testing.TB) {
	t.Helper()
	s.cmd = exec.Command(s.cmd.Args[0], s.cmd.Args[1:]...)
	var stderr bytes.Buffer
	s.cmd.Stderr = &stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nginx does not start: %v\n%s", err, &stderr)
		}
	}
}

func (s *nginx) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *nginx) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d/%s", s.port, path) }

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// open opens the store and makes a directory in it.
func open(t testing.TB, o Options) target.Target {
	t.Helper()
	store, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	dir, err := store.Make(t.Context(), "dump")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestPutConformance(t *testing.T) {
	s := newNginx(t, "")
	targettest.Run(t, open(t, Options{URL: s.url("")}), func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(s.data, "dump", name))
	})
}

// TestSingleFile puts a dump where a URL says, and nothing else.
func TestSingleFile(t *testing.T) {
	s := newNginx(t, "")
	dir := open(t, Options{URL: s.url("one/object?signature=secret")})
	if f, err := dir.Create(t.Context(), "kdump.log", 0); err == nil {
		t.Errorf("Create(kdump.log) = %v, want an error", f)
	}
	f, err := dir.Create(t.Context(), "vmcore.flat", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("dump")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(s.data, "one/object")); err != nil || string(got) != "dump" {
		t.Errorf("the object has %q, %v, want dump", got, err)
	}
	if text := fmt.Sprint(dir, f); strings.Contains(text, "secret") {
		t.Errorf("the name %q gives the signature away", text)
	}
}

// TestPutBroken has servers that go away, stop answering, or have no room. Nothing
// may be left under the name, and nobody may wait for ever.
func TestPutBroken(t *testing.T) {
	for name, test := range map[string]struct {
		act  func(*testing.T, *nginx)
		want error
	}{
		"killed":  {func(_ *testing.T, s *nginx) { s.stop() }, nil},
		"stalled": {func(_ *testing.T, s *nginx) { s.cmd.Process.Signal(syscall.SIGSTOP) }, errNoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			s := newNginx(t, "")
			f, err := open(t, Options{URL: s.url(""), Patience: 2 * time.Second}).Create(t.Context(), "vmcore.flat", 0)
			if err != nil {
				t.Fatal(err)
			}
			piece := make([]byte, 1<<20)
			for i := range 256 {
				if i == 8 {
					test.act(t, s)
				}
				if _, err = f.Write(piece); err != nil {
					break
				}
			}
			if err == nil {
				err = f.Commit()
			}
			f.Abort()
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("the error is %v, want %v", err, test.want)
			}
			if _, err := os.Stat(filepath.Join(s.data, "dump/vmcore.flat")); err == nil {
				t.Error("there is a vmcore.flat, as if it were complete")
			}
		})
	}
}

func TestPutFull(t *testing.T) {
	s := newNginx(t, "")
	if err := os.MkdirAll(filepath.Join(s.dir, "body"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", filepath.Join(s.dir, "body"), "tmpfs", 0, "size=4m,mode=0777"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	defer unix.Unmount(filepath.Join(s.dir, "body"), unix.MNT_DETACH)
	f, err := open(t, Options{URL: s.url("")}).Create(t.Context(), "vmcore.flat", 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, err = f.Write(make([]byte, 1<<20)); err != nil {
			break
		}
	}
	if err == nil {
		err = f.Commit()
	}
	if err == nil {
		t.Error("a server without room took 64 MiB")
	}
}

// newCertificate makes a certificate for 127.0.0.1, and returns the file that it
// is in with its key, and the certificate alone.
func newCertificate(t *testing.T) (file string, certificate *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	file = filepath.Join(t.TempDir(), "pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return file, certificate
}

// TestTLS has a server whose certificate is trusted, and is not.
func TestTLS(t *testing.T) {
	file, certificate := newCertificate(t)
	s := newNginx(t, file)
	roots := x509.NewCertPool()
	roots.AddCert(certificate)
	o := Options{URL: strings.Replace(s.url(""), "http:", "https:", 1), TLS: &tls.Config{RootCAs: roots}}
	f, err := open(t, o).Create(t.Context(), "vmcore.flat", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Error(err)
	}
	_, other := newCertificate(t)
	roots = x509.NewCertPool()
	roots.AddCert(other)
	o.TLS = &tls.Config{RootCAs: roots}
	began := time.Now()
	if store, err := Open(t.Context(), o); err == nil || time.Since(began) > defaultPatience {
		t.Errorf("Open = %v, %v after %v, want a refusal at once", store, err, time.Since(began))
	}
}

// TestUnreachable has a server that is not there.
func TestUnreachable(t *testing.T) {
	for _, url := range []string{fmt.Sprintf("http://127.0.0.1:%d/", freePort(t)), "http://no.such.host.invalid/"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if store, err := Open(ctx, Options{URL: url, Patience: time.Second}); err == nil || ctx.Err() != nil {
			t.Errorf("Open(%s) = %v, %v, %v, want an error in time", url, store, err, ctx.Err())
		}
		cancel()
	}
}

func TestParse(t *testing.T) {
	for address, want := range map[string]string{
		"https://dumps.example.org":                  "https://dumps.example.org/",
		"http://192.0.2.1:8080/upload/":              "http://192.0.2.1:8080/upload/",
		"https://[2001:db8::1]/b/o?X-Amz-Expires=60": "https://[2001:db8::1]/b/o?X-Amz-Expires=60",
	} {
		if got, err := Parse(address); err != nil || got.String() != want {
			t.Errorf("Parse(%q) = %v, %v, want %s", address, got, err, want)
		}
	}
	for _, address := range []string{"", "dumps.example.org", "ftp://a/", "https://", "https://user:hunter2@a/", "https://a/#b", "http://a b/", "https:///x"} {
		if got, err := Parse(address); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Parse(%q) = %v, %v, want an error", address, got, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("https://dumps.example.org/upload/")
	f.Fuzz(func(t *testing.T, address string) {
		if u, err := Parse(address); err == nil && (u.Hostname() == "" || u.Path == "" || u.Scheme != "http" && u.Scheme != "https") {
			t.Errorf("Parse(%q) = %v", address, u)
		}
	})
}

// TestPutPatience has a server that waits for a body for a second only. A file for
// whose contents the run is not ready yet must not need it to.
func TestPutPatience(t *testing.T) {
	s := newNginx(t, "")
	conf := filepath.Join(s.dir, "conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(conf, bytes.Replace(text, []byte("access_log off;"), []byte("access_log off; client_body_timeout 1s;"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	s.stop()
	s.start(t)
	dir := open(t, Options{URL: s.url("")})
	report, err := dir.Create(t.Context(), "kdump.log", 0)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	if _, err := report.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if err := report.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(s.data, "dump/kdump.log")); err != nil || string(got) != "late" {
		t.Errorf("kdump.log has %q, %v, want late", got, err)
	}
}
