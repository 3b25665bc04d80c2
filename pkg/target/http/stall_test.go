// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package http

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// stalling passes connections on to a server. Of the first one that has brought
// limit bytes nothing passes any more, and nobody is told.
func stalling(t *testing.T, to string, limit int64) (address string, stalled *atomic.Bool) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	stalled = new(atomic.Bool)
	pass := func(server, client net.Conn) {
		var passed int64
		buf := make([]byte, 32<<10)
		for {
			n, err := client.Read(buf)
			passed += int64(n)
			if passed > limit && stalled.CompareAndSwap(false, true) {
				return
			}
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
			if err != nil {
				server.Close()
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			t.Cleanup(func() { client.Close(); server.Close() })
			go io.Copy(client, server)
			go pass(server, client)
		}
	}()
	return l.Addr().String(), stalled
}

// TestStalledConnection has a connection stall in the middle, while others work.
// The server does not notice that it is dead, either.
func TestStalledConnection(t *testing.T) {
	k := newKdumprecv(t)
	address, stalled := stalling(t, k.address, 6<<20)
	f, err := open(t, Options{URL: "http://" + address, Patience: 9 * time.Second}).Create(t.Context(), "vmcore", 0)
	if err != nil {
		t.Fatal(err)
	}
	text := random(24 << 20)
	if err := send(f, text, func() {}); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(k.file("vmcore")); err != nil || !bytes.Equal(got, text) || !stalled.Load() {
		t.Errorf("the server has %d bytes, %v, stalled: %v, want the %d that were sent", len(got), err, stalled.Load(), len(text))
	}
}

// TestTakenName has a dump of that name on the server, from an earlier run, which
// the server does not let us look into.
func TestTakenName(t *testing.T) {
	s := newNginx(t, "")
	if err := os.Mkdir(filepath.Join(s.data, "dump"), 0o755); err != nil {
		t.Fatal(err)
	}
	store, err := Open(t.Context(), s.options(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, want := range []string{"dump-2/", "dump-3/"} {
		if dir, err := store.Make(t.Context(), "dump"); err != nil || dir.String() != s.url(want) {
			t.Errorf("Make(dump) = %v, %v, want %s", dir, err, s.url(want))
		}
	}
}

// TestSecretURL has a signature in the URL, which no error may show.
func TestSecretURL(t *testing.T) {
	address := stoppedServer(t)
	_, err := Open(t.Context(), Options{URL: "http://" + address + "/object?signature=secret", Patience: time.Second})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Open = %v, want an error that does not give the signature away", err)
	}
}

// stoppedServer returns an address that nobody listens at.
func stoppedServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
