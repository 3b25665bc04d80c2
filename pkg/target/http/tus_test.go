// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package http

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/receiver"
	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/servertest"
	"github.com/ukdump/ukdump/pkg/target/targettest"
)

// kdumprecv is our receiver, which can go away and come back.
type kdumprecv struct {
	opts    receiver.Options
	address string

	mu sync.Mutex
	// meddler, if not nil, may answer a request itself.
	meddler func(http.ResponseWriter, *http.Request) (done bool)
	server  *http.Server
	recv    *receiver.Receiver
	busy    sync.RWMutex // read-locked by each request
}

// meddle has f see each request first.
func (k *kdumprecv) meddle(f func(http.ResponseWriter, *http.Request) (done bool)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.meddler = f
}

func (k *kdumprecv) meddles(w http.ResponseWriter, q *http.Request) bool {
	k.mu.Lock()
	f := k.meddler
	k.mu.Unlock()
	return f != nil && f(w, q)
}

func newKdumprecv(t *testing.T) *kdumprecv {
	t.Helper()
	k := &kdumprecv{address: fmt.Sprintf("127.0.0.1:%d", servertest.FreePort(t)), opts: receiver.Options{
		Dir: t.TempDir(), Machine: func(*http.Request) (string, error) { return "web1", nil }}}
	k.start(t)
	t.Cleanup(k.stop)
	return k
}

func (k *kdumprecv) start(t *testing.T) {
	t.Helper()
	recv, err := receiver.New(k.opts)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", k.address)
	if err != nil {
		t.Fatal(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.recv = recv
	k.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		k.busy.RLock()
		defer k.busy.RUnlock()
		if !k.meddles(w, q) {
			recv.ServeHTTP(w, q)
		}
	})}
	go k.server.Serve(listener)
}

func (k *kdumprecv) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.server.Close()
	k.busy.Lock() // as another process would have them gone
	defer k.busy.Unlock()
	k.recv.Close()
}

func (k *kdumprecv) url() string { return "http://" + k.address + "/" }

// file returns the path of a file of the dump that the tests make.
func (k *kdumprecv) file(name string) string { return filepath.Join(k.opts.Dir, "web1/dump", name) }

func TestTusConformance(t *testing.T) {
	k := newKdumprecv(t)
	dir := open(t, Options{URL: k.url()})
	if !dir.(*Dir).store.tus {
		t.Error("the server is not known as one for resumable uploads")
	}
	targettest.Run(t, dir, func(name string) ([]byte, error) { return os.ReadFile(k.file(name)) })
}

// send writes text in pieces, calls act in the middle, and commits.
func send(f target.File, text []byte, act func()) error {
	const pieces = 16
	for i := range pieces {
		if i == pieces/2 {
			act()
		}
		if _, err := f.Write(text[i*len(text)/pieces : (i+1)*len(text)/pieces]); err != nil {
			return err
		}
	}
	return f.Commit()
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// TestInterrupted has connections break, and servers restart, while a file is on
// its way.
func TestInterrupted(t *testing.T) {
	text := random(24<<20 + 123)
	for name, act := range map[string]func(*testing.T, *kdumprecv){
		"restarted": func(t *testing.T, k *kdumprecv) {
			k.stop()
			k.start(t)
		},
		"connections break": func(_ *testing.T, k *kdumprecv) {
			var n atomic.Int32
			k.meddle(func(w http.ResponseWriter, q *http.Request) bool {
				if q.Method != "PATCH" || n.Add(1) > 3 {
					return false
				}
				q.Body = &breaking{q.Body, 1 << 20}
				k.recv.ServeHTTP(w, q)
				panic(http.ErrAbortHandler)
			})
		},
		"answers get lost": func(_ *testing.T, k *kdumprecv) {
			var n atomic.Int32
			k.meddle(func(_ http.ResponseWriter, q *http.Request) bool {
				if q.Method != "PATCH" || n.Add(1)%2 == 0 {
					return false
				}
				k.recv.ServeHTTP(discard{http.Header{}}, q)
				panic(http.ErrAbortHandler)
			})
		},
		"proxy says 502": func(_ *testing.T, k *kdumprecv) {
			var n atomic.Int32
			k.meddle(func(w http.ResponseWriter, _ *http.Request) bool {
				if n.Add(1) > 2 {
					return false
				}
				w.WriteHeader(http.StatusBadGateway)
				return true
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKdumprecv(t)
			f, err := open(t, Options{URL: k.url()}).Create(t.Context(), "vmcore", 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := send(f, text, func() { act(t, k) }); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(k.file("vmcore")); err != nil || !bytes.Equal(got, text) {
				t.Errorf("the server has %d bytes, %v, want the %d that were sent", len(got), err, len(text))
			}
		})
	}
}

// breaking is a body that ends early.
type breaking struct {
	io.ReadCloser
	left int
}

func (b *breaking) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// discard is where answers get lost.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// TestGivenUp has servers from which nothing good is to be expected.
func TestGivenUp(t *testing.T) {
	for name, test := range map[string]struct {
		act  func(*testing.T, *kdumprecv)
		want error
	}{
		"gone": {func(_ *testing.T, k *kdumprecv) { k.stop() }, nil},
		"lost": {func(t *testing.T, k *kdumprecv) {
			k.stop()
			if err := os.RemoveAll(filepath.Join(k.opts.Dir, ".uploads")); err != nil {
				t.Error(err)
			}
			k.start(t)
		}, errLost},
		"full": {func(t *testing.T, k *kdumprecv) {
			k.stop()
			k.opts.MachineQuota = 1 << 20
			k.start(t)
		}, target.ErrNoSpace},
		"stalled": {func(t *testing.T, k *kdumprecv) {
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			k.meddle(func(http.ResponseWriter, *http.Request) bool {
				<-release
				return true
			})
		}, errNoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKdumprecv(t)
			f, err := open(t, Options{URL: k.url(), Patience: time.Second}).Create(t.Context(), "vmcore", 0)
			if err != nil {
				t.Fatal(err)
			}
			err = send(f, random(24<<20), func() { test.act(t, k) })
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("the error is %v, want %v", err, test.want)
			}
			if _, err := os.Stat(k.file("vmcore")); err == nil {
				t.Error("there is a vmcore, as if it were complete")
			}
		})
	}
}

// TestParticular has servers that want, or say, something that ours does not.
func TestParticular(t *testing.T) {
	var lie sync.Once
	for name, meddler := range map[string]func(*kdumprecv, http.ResponseWriter, *http.Request) bool{
		"no chunked bodies": func(_ *kdumprecv, w http.ResponseWriter, q *http.Request) bool {
			if q.ContentLength < 0 {
				w.WriteHeader(http.StatusLengthRequired)
			}
			return q.ContentLength < 0
		},
		"another offset than that of all that was sent": func(k *kdumprecv, w http.ResponseWriter, q *http.Request) (done bool) {
			if q.Method != "PATCH" {
				return false
			}
			lie.Do(func() {
				q.Body = io.NopCloser(io.LimitReader(q.Body, 123456))
				k.recv.ServeHTTP(w, q)
				done = true
			})
			return done
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKdumprecv(t)
			k.meddle(func(w http.ResponseWriter, q *http.Request) bool { return meddler(k, w, q) })
			f, err := open(t, Options{URL: k.url()}).Create(t.Context(), "vmcore", 0)
			if err != nil {
				t.Fatal(err)
			}
			text := random(9<<20 + 123)
			if err := send(f, text, func() {}); err != nil {
				t.Fatal(err)
			}
			if got, err := os.ReadFile(k.file("vmcore")); err != nil || !bytes.Equal(got, text) {
				t.Errorf("the server has %d bytes, %v, want the %d that were sent", len(got), err, len(text))
			}
		})
	}
}

// TestPause has a file that does not go on: what there is of it arrives all the same,
// and no request waits for more.
func TestPause(t *testing.T) {
	k := newKdumprecv(t)
	f, err := open(t, Options{URL: k.url(), Patience: 9 * time.Second}).Create(t.Context(), "vmcore", 0)
	if err != nil {
		t.Fatal(err)
	}
	text := random(2*pieceSize + 123)
	if _, err := f.Write(text); err != nil {
		t.Fatal(err)
	}
	window := f.(*upload).window
	window.mu.Lock()
	err = window.wait(t.Context(), func() bool { return window.err != nil || window.acked == 2*pieceSize })
	window.mu.Unlock()
	if err != nil || window.err != nil {
		t.Fatal(err, window.err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(k.file("vmcore")); err != nil || !bytes.Equal(got, text) {
		t.Errorf("the server has %d bytes, %v, want the %d that were sent", len(got), err, len(text))
	}
}

// TestCancel has calls end with their context, although the server says nothing.
func TestCancel(t *testing.T) {
	k := newKdumprecv(t)
	dir := open(t, Options{URL: k.url()})
	release := make(chan struct{})
	defer close(release)
	k.meddle(func(http.ResponseWriter, *http.Request) bool {
		<-release
		return true
	})
	reason := errors.New("time is up")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, reason)
	defer cancel()
	if _, err := dir.Create(ctx, "x", 0); !errors.Is(err, reason) {
		t.Errorf("Create = %v, want %v", err, reason)
	}
}
