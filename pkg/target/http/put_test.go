// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/servertest"
	"github.com/ukdump/ukdump/pkg/target/targettest"
)

// nginx is a web server that takes PUT requests.
type nginx struct {
	*servertest.Server
	data string // where files go to
}

// newNginx starts a server, or skips. A size is that of its disk.
func newNginx(t testing.TB, size string) *nginx {
	t.Helper()
	s := servertest.Nginx(t, size)
	return &nginx{s, filepath.Join(s.Store, "dumps")}
}

func (s *nginx) url(path string) string { return fmt.Sprintf("https://%s/%s", s.Address(), path) }

// options are for a store that trusts the server.
func (s *nginx) options(t testing.TB, path string) Options {
	t.Helper()
	return Options{URL: s.url(path), TLS: trust(t, s.Server)}
}

// trust returns a configuration that trusts the server and nobody else.
func trust(t testing.TB, s *servertest.Server) *tls.Config {
	t.Helper()
	certificate, err := os.ReadFile(s.Path("cert.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return &tls.Config{RootCAs: roots}
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
	targettest.Run(t, open(t, s.options(t, "")), func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(s.data, "dump", name))
	})
}

// TestSingleFile puts a dump where a URL says, and nothing else.
func TestSingleFile(t *testing.T) {
	s := newNginx(t, "")
	dir := open(t, s.options(t, "one/object?signature=secret"))
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
		act  func(*nginx)
		want error
	}{
		"killed":  {func(s *nginx) { s.Stop() }, nil},
		"stalled": {func(s *nginx) { s.Signal(syscall.SIGSTOP) }, errNoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			s := newNginx(t, "")
			o := s.options(t, "")
			o.Patience = 2 * time.Second
			f, err := open(t, o).Create(t.Context(), "vmcore.flat", 0)
			if err != nil {
				t.Fatal(err)
			}
			piece := make([]byte, 1<<20)
			for i := range 256 {
				if i == 8 {
					test.act(s)
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
	s := newNginx(t, "4m")
	f, err := open(t, s.options(t, "")).Create(t.Context(), "vmcore.flat", 0)
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

// TestTLS has a server whose certificate is not trusted.
func TestTLS(t *testing.T) {
	s := newNginx(t, "")
	o := Options{URL: s.url(""), TLS: trust(t, servertest.New(t, ""))}
	began := time.Now()
	if store, err := Open(t.Context(), o); err == nil || time.Since(began) > defaultPatience {
		t.Errorf("Open = %v, %v after %v, want a refusal at once", store, err, time.Since(began))
	}
}

// TestUnreachable has a server that is not there.
func TestUnreachable(t *testing.T) {
	for _, url := range []string{fmt.Sprintf("http://127.0.0.1:%d/", servertest.FreePort(t)), "http://no.such.host.invalid/"} {
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
	text, err := os.ReadFile(s.Path("conf"))
	if err != nil {
		t.Fatal(err)
	}
	s.Stop()
	s.Write(t, "conf", "%s", bytes.Replace(text, []byte("access_log off;"), []byte("access_log off; client_body_timeout 1s;"), 1))
	s.Start(t)
	dir := open(t, s.options(t, ""))
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
