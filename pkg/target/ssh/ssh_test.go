// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package ssh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/ssh/sshdtest"
	"github.com/ukdump/ukdump/pkg/target/targettest"
)

// server is an OpenSSH server of the test's own, and what a client needs for it.
type server struct {
	*sshdtest.Server
	opts Options // for the directory data
}

// newServer starts a server, or skips.
func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{Server: sshdtest.New(t)}
	s.opts = Options{User: s.User, Host: "127.0.0.1", Port: s.Port, Dir: s.Path("data"), Key: s.Key(t, "client"),
		KnownHosts: s.Path("known"), Silence: 2 * time.Second}
	s.trust(t, "host")
	return s
}

// trust makes the known_hosts file, in which the server has that key.
func (s *server) trust(t testing.TB, key string) {
	t.Helper()
	s.know(t, sshdtest.Host(s.opts.Port)+" "+s.Public(t, key))
}

// know makes the known_hosts file of these lines.
func (s *server) know(t testing.TB, lines ...string) {
	t.Helper()
	if err := os.WriteFile(s.opts.KnownHosts, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// open opens the store and makes a directory in it.
func (s *server) open(t *testing.T) target.Target {
	t.Helper()
	store, err := Open(t.Context(), s.opts)
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

func TestConformance(t *testing.T) {
	s := newServer(t)
	targettest.Run(t, s.open(t), func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(s.opts.Dir, "dump", name))
	})
}

func TestStore(t *testing.T) {
	s := newServer(t)
	store, err := Open(t.Context(), s.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, want := range []string{"x", "x-2", "x-3"} {
		dir, err := store.Make(t.Context(), "x")
		if err != nil || !strings.HasSuffix(dir.String(), ":"+s.opts.Dir+"/"+want) {
			t.Errorf("Make = %v, %v, want %s", dir, err, want)
		}
		info, err := os.Stat(filepath.Join(s.opts.Dir, want))
		if err != nil || info.Mode() != os.ModeDir|0o700 {
			t.Errorf("%s: %v, %v, want a directory with mode 0700", want, info, err)
		}
	}
	for _, text := range []string{"one", "another one", ""} {
		if err := store.WriteNote("note", []byte(text)); err != nil {
			t.Fatalf("WriteNote(%q): %v", text, err)
		}
		if got, err := store.ReadNote("note"); err != nil || string(got) != text {
			t.Errorf("ReadNote = %q, %v, want %q", got, err, text)
		}
	}
	store.Close()
	if _, err := store.Make(t.Context(), "y"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Make after Close = %v, want %v", err, os.ErrClosed)
	}
}

// random returns so many bytes.
func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	r.Read(b)
	return b
}

// TestInterrupted does things to the server while a file is on its way: one as a
// dump is, whose beginning is written again and again.
func TestInterrupted(t *testing.T) {
	for name, act := range map[string]func(*testing.T, *server, *relay){
		"not at all":        func(*testing.T, *server, *relay) {},
		"connection killed": func(_ *testing.T, s *server, _ *relay) { s.Signal(syscall.SIGKILL) },
		"server restarted": func(t *testing.T, s *server, _ *relay) {
			s.Stop()
			s.Start(t)
		},
		// Keepalives tell that a connection is dead: the next one has a new process.
		"connection stands still": func(_ *testing.T, s *server, _ *relay) { s.Signal(syscall.SIGSTOP) },
		"link down": func(t *testing.T, s *server, r *relay) {
			r.cut()
			time.AfterFunc(2*s.opts.Silence, r.mend)
		},
		// Now it does not know us, and then it does.
		"server half started": func(t *testing.T, s *server, _ *relay) {
			s.Stop()
			s.Authorize(t, "other")
			s.Start(t)
			time.AfterFunc(2*retryEvery, func() { s.Authorize(t, "client") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			r := newRelay(t, s)
			f, err := s.open(t).Create(t.Context(), "vmcore", 0)
			if err != nil {
				t.Fatal(err)
			}
			text, head := random(24<<20+123), 100_000
			for i := range 8 {
				if i == 3 || i == 6 {
					act(t, s, r)
				}
				from, to := i*len(text)/8, (i+1)*len(text)/8
				if _, err := f.(io.WriterAt).WriteAt(text[from:to], int64(from)); err != nil {
					t.Fatal(err)
				}
				copy(text[:head], random(head + i)[i:])
				if _, err := f.(io.WriterAt).WriteAt(text[:head], 0); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Commit(); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(s.opts.Dir, "dump/vmcore"))
			if err != nil || !bytes.Equal(got, text) {
				t.Errorf("the server has %d bytes, %v, want the %d that were sent", len(got), err, len(text))
			}
		})
	}
}

// relay is a network between the server and its clients.
type relay struct {
	server string
	cable  sync.RWMutex // locked: pulled out
}

// newRelay has the server's options lead through a relay.
func newRelay(t *testing.T, s *server) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &relay{server: s.opts.address()}
	s.opts.Port = l.Addr().(*net.TCPAddr).Port
	s.trust(t, "host")
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go r.connect(client)
		}
	}()
	return r
}

func (r *relay) cut()  { r.cable.Lock() }
func (r *relay) mend() { r.cable.Unlock() }

func (r *relay) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.server)
	if err != nil {
		return
	}
	go r.pass(server, client)
	r.pass(client, server)
}

// pass passes on what comes, while the cable is in, and its end.
func (r *relay) pass(to, from net.Conn) {
	defer to.Close()
	for buf := make([]byte, 64<<10); ; {
		n, err := from.Read(buf)
		r.cable.RLock()
		_, writeErr := to.Write(buf[:n])
		r.cable.RUnlock()
		if err != nil || writeErr != nil {
			return
		}
	}
}

// TestOverlap writes different things to the same place, one after the other.
func TestOverlap(t *testing.T) {
	s := newServer(t)
	dir := s.open(t)
	for i := range 20 {
		name := fmt.Sprint("file", i)
		f, err := dir.Create(t.Context(), name, 0)
		if err != nil {
			t.Fatal(err)
		}
		var want []byte
		for j := range 20 {
			want = bytes.Repeat([]byte{byte('a' + j)}, 3*requestSize/2)
			if _, err := f.(io.WriterAt).WriteAt(want, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(s.opts.Dir, "dump", name))
		if err != nil || !bytes.Equal(got, append([]byte{0}, want...)) {
			t.Fatalf("%s has %d bytes %.20q, %v, want %d %q", name, len(got), got, err, 1+len(want), want[0])
		}
	}
}

// TestStuck has a server that answers keepalives, but no requests.
func TestStuck(t *testing.T) {
	s := newServer(t)
	s.opts.Patience = 3 * time.Second
	dir := s.open(t)
	all := s.Sessions()
	syscall.Kill(all[len(all)-1], syscall.SIGSTOP) // the process that has SFTP
	if f, err := dir.Create(t.Context(), "x", 0); !errors.Is(err, errImpatient) {
		t.Errorf("Create = %v, %v, want %v", f, err, errImpatient)
	}
}

// TestGone has a server that does not come back, and one that comes back without
// what it had acknowledged.
func TestGone(t *testing.T) {
	for name, test := range map[string]struct {
		act  func(*testing.T, *server)
		want error
	}{
		"for good": {func(_ *testing.T, s *server) { s.Stop() }, errImpatient},
		"restored": {func(t *testing.T, s *server) {
			s.Stop()
			if err := os.Truncate(filepath.Join(s.opts.Dir, "dump/vmcore"+target.Incomplete), 10); err != nil {
				t.Error(err)
			}
			s.Start(t)
		}, errLost},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.opts.Patience = 2 * time.Second
			f, err := s.open(t).Create(t.Context(), "vmcore", 0)
			if err != nil {
				t.Fatal(err)
			}
			write := func() { _, err = f.Write(random(8 << 20)) }
			if write(); err != nil {
				t.Fatal(err)
			}
			if err := f.(*File).settle(); err != nil {
				t.Fatal(err)
			}
			test.act(t, s)
			for range 3 {
				if write(); err != nil {
					break
				}
			}
			if commitErr := f.Commit(); err == nil {
				err = commitErr
			}
			if !errors.Is(err, test.want) {
				t.Errorf("the error is %v, want %v", err, test.want)
			}
			if _, err := os.Stat(filepath.Join(s.opts.Dir, "dump/vmcore")); err == nil {
				t.Error("there is a vmcore, as if it were complete")
			}
		})
	}
}

// TestRefused has keys that do not fit, a name that does not exist, and a
// directory that cannot be made. Nothing of that is worth a second try.
func TestRefused(t *testing.T) {
	s := newServer(t)
	if err := os.WriteFile(s.Path("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"our key", func(o *Options) { o.Key = s.Key(t, "other") }, "the server does not let us in with the key ssh-ed25519 SHA256:"},
		{"no key", func(o *Options) { o.Key = nil }, "the private key: "},
		{"user", func(o *Options) { o.User = "nobody-has-this-name" }, "the server does not let us in with the key ssh-ed25519 SHA256:"},
		{"name", func(o *Options) { o.Host = "no.such.host.invalid" }, "no.such.host.invalid"},
		{"directory", func(o *Options) { o.Dir = s.Path("file/x") }, "file is not a directory"},
		{"hosts", func(o *Options) { o.KnownHosts = "/nowhere/hosts" }, "/nowhere/hosts"},
		{"unknown host", func(o *Options) { o.KnownHosts = "/dev/null" }, "/dev/null has no key of 127.0.0.1:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := s.opts
			test.change(&o)
			began := time.Now()
			store, err := Open(t.Context(), o)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open = %v, %v, want an error with %q", store, err, test.want)
			}
			if time.Since(began) > defaultPatience {
				t.Errorf("it took %v", time.Since(began))
			}
		})
	}
	t.Run("host key", func(t *testing.T) {
		s.trust(t, "other")
		_, err := Open(t.Context(), s.opts)
		if err == nil {
			t.Fatal("Open = nil, want that the key is another one")
		}
		for _, key := range []string{"host", "other"} {
			if print := s.Fingerprint(t, key); !strings.Contains(err.Error(), print) {
				t.Errorf("Open = %v, want an error with %s, which is %s", err, print, key)
			}
		}
	})
}

// TestKnownHosts has the server in the file in all ways that OpenSSH writes there.
func TestKnownHosts(t *testing.T) {
	s := newServer(t)
	host, hostKey, otherKey := sshdtest.Host(s.Port), s.Public(t, "host"), s.Public(t, "other")
	check := func(name string, trusted bool) {
		t.Helper()
		store, err := Open(t.Context(), s.opts)
		if err == nil {
			store.Close()
		}
		if (err == nil) != trusted {
			t.Errorf("%s: Open = %v, want trusted = %v", name, err, trusted)
		}
	}
	s.know(t, host+" "+hostKey, "elsewhere.example.org "+otherKey)
	s.Keygen(t, "-q", "-H", "-f", s.opts.KnownHosts)
	check("hashed", true)
	s.know(t, host+" "+otherKey, host+" "+hostKey)
	check("one of two", true)
	s.know(t, "* "+hostKey, "@revoked * "+hostKey)
	check("revoked", false)
	s.know(t, "127.0.0.1 "+hostKey)
	check("of another port", false)

	// The server gets a certificate, signed by the key other.
	s.Keygen(t, "-q", "-s", s.Path("other"), "-I", "host", "-h", "-n", "127.0.0.1", s.Path("host.pub"))
	config, err := os.OpenFile(s.Path("config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(config, "HostCertificate %s\n", s.Path("host-cert.pub"))
	config.Close()
	s.Stop()
	s.Start(t)
	s.know(t, "@cert-authority "+host+" "+otherKey)
	check("signed", true)
	s.know(t, "@cert-authority "+host+" "+s.Public(t, "client"), host+" "+otherKey)
	check("signed by another", false)
	s.know(t, host+" "+hostKey)
	check("signed, known by its key", true)
	s.know(t, "@cert-authority *.example.org "+otherKey, host+" "+hostKey)
	check("signed, known by its key, with another authority in the file", true)
}

// TestCancel has calls return when their context ends, although the server says
// nothing.
func TestCancel(t *testing.T) {
	s := newServer(t)
	dir := s.open(t)
	s.Signal(syscall.SIGSTOP)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Millisecond, errImpatient)
	defer cancel()
	if _, err := dir.Create(ctx, "x", 0); !errors.Is(err, errImpatient) {
		t.Errorf("Create = %v, want %v", err, errImpatient)
	}
	if _, err := dir.Free(ctx); !errors.Is(err, errImpatient) {
		t.Errorf("Free = %v, want %v", err, errImpatient)
	}
}

// TestFull fills the server's disk.
func TestFull(t *testing.T) {
	s := newServer(t)
	if err := os.Mkdir(s.opts.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", s.opts.Dir, "tmpfs", 0, "size=6m"); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	defer unix.Unmount(s.opts.Dir, unix.MNT_DETACH)
	dir := s.open(t)
	for _, test := range []struct {
		name string
		ask  int64 // the file asks how much room there is when it is larger
	}{{"known", 0}, {"unknown", 1 << 40}} {
		t.Run(test.name, func(t *testing.T) { s.fill(t, dir, test.ask) })
	}
}

func (s *server) fill(t *testing.T, dir target.Target, ask int64) {
	created, err := dir.Create(t.Context(), "vmcore", 0)
	if err != nil {
		t.Fatal(err)
	}
	f := created.(*File)
	f.askRoom = ask
	name := filepath.Join(s.opts.Dir, "dump/vmcore")
	text, fitted := random(1<<20), 0
	for err == nil && fitted < 64<<20 {
		var n int
		n, err = f.Write(text)
		fitted += n
	}
	if !errors.Is(err, target.ErrNoSpace) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("Write = %v, want %v", err, target.ErrNoSpace)
	}
	if ask == 0 {
		want := bytes.Repeat(text, fitted>>20+1)[:fitted]
		copy(want, "header")
		if _, err := f.WriteAt([]byte("header"), 0); err != nil {
			t.Errorf("writing what has its place: %v", err)
		}
		got, err := os.ReadFile(name + target.Incomplete)
		if err != nil || !bytes.HasPrefix(got, want) {
			t.Errorf("the file has %d bytes, %v, not the %d that did fit", len(got), err, len(want))
		}
	}
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("less")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(name); err != nil || string(got) != "less" {
		t.Errorf("the file has %.20q, %v, want less", got, err)
	}
	if err := os.Remove(name); err != nil {
		t.Error(err)
	}
}
