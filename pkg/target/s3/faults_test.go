// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
)

// proxy passes connections on to a server, and does to them what it is told.
type proxy struct {
	net.Listener
	to     string
	passed atomic.Int64 // bytes to the server
	down   atomic.Bool  // nothing passes any more
	mu     sync.Mutex
	conns  []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, to: to}
	t.Cleanup(func() { l.Close(); p.cut() })
	go p.serve()
	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.to)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		go p.pass(server, client, &p.passed)
		go p.pass(client, server, new(atomic.Int64))
	}
}

// pass copies until either side is closed. When the link goes down, nothing comes
// out any more, and nobody is told.
func (p *proxy) pass(to, from net.Conn, passed *atomic.Int64) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if p.down.Load() {
			io.Copy(io.Discard, from)
			return
		}
		if n > 0 {
			passed.Add(int64(n))
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			to.Close()
			return
		}
	}
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// waitFor waits until something is so.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(enough); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not happen", what)
		}
	}
}

// TestFaults has something happen in the middle of a file; the object must be
// whole all the same.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name string
		// happen happens when some of the file is at the server.
		happen func(t *testing.T, srv server, p *proxy, s *Store)
	}{
		{"restart", func(t *testing.T, srv server, p *proxy, s *Store) {
			srv.Stop()
			srv.Start(t)
		}},
		{"server down for a while", func(t *testing.T, srv server, p *proxy, s *Store) {
			srv.Stop()
			go func() {
				time.Sleep(3 * time.Second)
				srv.Start(t)
			}()
		}},
		{"nothing to send for a while", func(t *testing.T, srv server, p *proxy, s *Store) { time.Sleep(2 * s.quickly) }},
		{"connections cut", func(t *testing.T, srv server, p *proxy, s *Store) { p.cut() }},
		{"stalled", func(t *testing.T, srv server, p *proxy, s *Store) {
			srv.Signal(syscall.SIGSTOP)
			time.AfterFunc(2*s.quickly, func() { srv.Signal(syscall.SIGCONT) })
		}},
		{"link down", func(t *testing.T, srv server, p *proxy, s *Store) {
			p.down.Store(true)
			time.AfterFunc(2*s.quickly, func() { p.down.Store(false) })
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bothWays(t, func(t *testing.T, srv server, o Options) {
				p := newProxy(t, srv.Address())
				o.Endpoint = strings.Replace(o.Endpoint, srv.Address(), p.Addr().String(), 1)
				s := mustOpen(t, o)
				s.quickly = time.Second
				f := mustCreate(t, mustMake(t, s, "dump"), "vmcore")
				want := noise(5*firstPart + 1)
				half := 2*firstPart + firstPart/2
				mustWrite(t, f, want[:half])
				waitFor(t, "a part being sent", func() bool { return p.passed.Load() > firstPart+firstPart/2 })
				test.happen(t, srv, p, s)
				mustWrite(t, f, want[half:])
				if err := f.Commit(); err != nil {
					t.Fatalf("Commit: %v", err)
				}
				if got, err := srv.Read("crash/here/dump/vmcore"); err != nil || !bytes.Equal(got, want) {
					t.Errorf("the object has %d bytes, %v, want the %d that were written", len(got), err, len(want))
				}
			})
		})
	}
}

// TestDeadline has the server vanish for good: every method ends with the context,
// or when the store is closed.
func TestDeadline(t *testing.T) {
	reason := errors.New("time is up")
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("closed=%v", closed), func(t *testing.T) {
			srv := newServer(t, t.TempDir())
			s := mustOpen(t, srv.options())
			ctx, cancel := context.WithCancelCause(t.Context())
			f, err := mustMake(t, s, "dump").Create(ctx, "vmcore", 0)
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, f, make([]byte, firstPart))
			srv.Stop()
			want := reason
			time.AfterFunc(time.Second, func() {
				if closed {
					s.Close()
				} else {
					cancel(reason)
				}
			})
			if closed {
				want = errClosed
			}
			for err == nil {
				_, err = f.Write(make([]byte, firstPart))
			}
			if !errors.Is(err, want) {
				t.Errorf("Write = %v, want %v", err, want)
			}
			if err := f.Commit(); !errors.Is(err, want) {
				t.Errorf("Commit = %v, want %v", err, want)
			}
		})
	}
}

// TestFull has the server's disk be full: the error says so before long, or at
// least comes before long.
func TestFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	dir := t.TempDir()
	if err := unix.Mount("full", dir, "tmpfs", 0, "size=20m"); err != nil {
		t.Skipf("mounting: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	srv := newServer(t, dir)
	d := mustMake(t, mustOpen(t, srv.options()), "dump")
	f := mustCreate(t, d, "vmcore")
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	var err error
	for err == nil && ctx.Err() == nil {
		_, err = f.Write(make([]byte, firstPart))
	}
	if ctx.Err() != nil {
		t.Errorf("the error came after %v", enough)
	}
	t.Logf("%v", err)
	if !errors.Is(err, target.ErrNoSpace) {
		t.Errorf("%v, want ErrNoSpace", err)
	}
	f.Abort()
}

// TestLostAnswer has the first answer get lost that says that an object is made:
// Commit asks again and finds its own object.
func TestLostAnswer(t *testing.T) {
	for _, size := range []int{100, firstPart + 100} {
		srv := newServer(t, t.TempDir())
		var lost atomic.Int32
		loser := httptest.NewServer(&httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "http", Host: srv.Address()})
				r.Out.Host = r.In.Host // it is signed
			},
			ModifyResponse: func(r *http.Response) error {
				if r.StatusCode == http.StatusOK && r.Request.Header.Get("If-None-Match") != "" && lost.Add(1) == 1 {
					return errors.New("lost")
				}
				return nil
			},
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		})
		defer loser.Close()
		o := srv.options()
		o.Endpoint = loser.URL
		f := mustCreate(t, mustMake(t, mustOpen(t, o), "dump"), "vmcore")
		want := noise(size)
		mustWrite(t, f, want)
		if err := f.Commit(); err != nil || lost.Load() == 0 {
			t.Errorf("%d bytes: Commit = %v, %d answers lost", size, err, lost.Load())
		}
		if got, err := srv.Read("crash/here/dump/vmcore"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the object has %d bytes, %v, want %d", len(got), err, size)
		}
	}
}

// TestUnfinished makes an object of what an aborted file has left, as
// docs/s3.md says, with curl.
func TestUnfinished(t *testing.T) {
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Skip(err)
	}
	srv := newServer(t, t.TempDir())
	f := mustCreate(t, mustMake(t, mustOpen(t, srv.options()), "dump"), "vmcore")
	want := noise(2*firstPart + 5)
	mustWrite(t, f, want)
	if err := f.Abort(); err != nil {
		t.Fatal(err)
	}
	ask := func(args ...string) string {
		t.Helper()
		args = append([]string{"-sS", "--fail-with-body", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", access + ":" + secret,
			"-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"}, args...)
		out, err := exec.Command(curl, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("curl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	base := "http://" + srv.Address() + "/" + bucket
	id := regexp.MustCompile(`<UploadId>(.*?)</UploadId>`).FindStringSubmatch(ask(base + "?uploads="))
	if id == nil {
		t.Fatal("the server has no unfinished upload")
	}
	object := base + "/crash/here/dump/vmcore?uploadId=" + id[1]
	tags := regexp.MustCompile(`<ETag>(.*?)</ETag>`).FindAllStringSubmatch(ask(object), -1)
	var list strings.Builder
	list.WriteString("<CompleteMultipartUpload>")
	for i, tag := range tags {
		fmt.Fprintf(&list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, tag[1])
	}
	list.WriteString("</CompleteMultipartUpload>")
	ask("-X", "POST", "--data-binary", list.String(), object)
	if got, err := srv.Read("crash/here/dump/vmcore"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes, %v, want the %d that were written", len(got), err, len(want))
	}
}

// TestCredentials has them come from a metadata service, which insists on version
// 2 of its protocol. Amazon's own cannot run here; this has the requests of
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html.
func TestCredentials(t *testing.T) {
	const token = "a token"
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		const roles = "/latest/meta-data/iam/security-credentials"
		switch {
		case r.Method == "PUT" && r.URL.Path == "/latest/api/token" && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
			io.WriteString(w, token)
		case r.Header.Get("X-aws-ec2-metadata-token") != token:
			http.Error(w, "", http.StatusUnauthorized)
		case strings.TrimSuffix(r.URL.Path, "/") == roles:
			io.WriteString(w, "dumper")
		case r.URL.Path == roles+"/dumper":
			fmt.Fprintf(w, `{"Code":"Success","Type":"AWS-HMAC","AccessKeyId":%q,"SecretAccessKey":%q,"Expiration":%q}`,
				access, secret, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		default:
			http.NotFound(w, r)
		}
	}))
	defer metadata.Close()
	srv := newServer(t, t.TempDir())
	o := srv.options()
	o.AccessKey, o.SecretKey, o.Metadata = "", "", metadata.URL
	if err := mustCreate(t, mustMake(t, mustOpen(t, o), "dump"), "vmcore").Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(srv.Store, bucket, "crash/here/dump/vmcore")); err != nil {
		t.Error(err)
	}
	metadata.Close()
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	if s, err := Open(ctx, o); err == nil || ctx.Err() != nil {
		t.Errorf("without the service, Open = %v, %v, want an error before the time is over", s, err)
	}
}
