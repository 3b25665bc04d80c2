// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/targettest"
)

func mustOpen(t *testing.T, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustMake(t *testing.T, s *Store, name string) target.Target {
	t.Helper()
	d, err := s.Make(t.Context(), name)
	if err != nil {
		t.Fatalf("Make(%q): %v", name, err)
	}
	return d
}

func mustCreate(t *testing.T, d target.Target, name string) target.File {
	t.Helper()
	f, err := d.Create(t.Context(), name, 0)
	if err != nil {
		t.Fatalf("Create(%q): %v", name, err)
	}
	return f
}

func mustWrite(t *testing.T, f target.File, data []byte) {
	t.Helper()
	if n, err := f.Write(data); n != len(data) || err != nil {
		t.Fatalf("Write(%d bytes) = %d, %v", len(data), n, err)
	}
}

// noise returns bytes that are like nothing else.
func noise(n int) []byte {
	data := make([]byte, n)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(data)
	return data
}

func TestConformance(t *testing.T) {
	srv := newServer(t, t.TempDir())
	d := mustMake(t, mustOpen(t, srv.options()), "dump")
	targettest.Run(t, d, func(name string) ([]byte, error) { return srv.Read("crash/here/dump/" + name) })
}

func TestTLS(t *testing.T) {
	srv, trusting := newTLSServer(t)
	o := trusting
	o.TLS = nil
	if s, err := Open(t.Context(), o); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with the system's roots, Open = %v, %v, want an error of the certificate", s, err)
	}
	f := mustCreate(t, mustMake(t, mustOpen(t, trusting), "dump"), "vmcore")
	want := noise(20 << 20)
	mustWrite(t, f, want)
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := srv.Read("crash/here/dump/vmcore"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the object has %d bytes, %v, want the %d that were written", len(got), err, len(want))
	}
}

// TestSizes writes files with few and many bytes in pieces of odd sizes. What there
// is of a file in memory is bounded.
func TestSizes(t *testing.T) {
	all := noise(4*firstPart + 12345)
	bothWays(t, func(t *testing.T, srv server, o Options) {
		s := mustOpen(t, o)
		early := firstPart + ahead(1, true) + 1
		for i, size := range []int{1, 64 << 10, ahead(1, true) + 1, firstPart - 1, firstPart, firstPart + 1, early, 2 * firstPart, len(all)} {
			name := fmt.Sprint("dump", i)
			f := mustCreate(t, mustMake(t, s, name), "file")
			want := all[:size]
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 777_777)
				mustWrite(t, f, rest[:n])
				rest = rest[n:]
			}
			if err := f.Commit(); err != nil {
				t.Fatalf("%d bytes: Commit: %v", size, err)
			}
			if got, err := srv.Read("crash/here/" + name + "/file"); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the object has %d bytes, %v, want the %d that were written", len(got), err, size)
			}
			if made, most := f.(*File).made*blockSize, firstPart*3/2; made > most {
				t.Errorf("%d bytes of the file were in memory, want at most %d", made, most)
			}
		}
	})
}

func TestMake(t *testing.T) {
	srv := newServer(t, t.TempDir())
	for _, prefix := range []string{"", "crash", "crash/rack7"} {
		o := srv.options()
		o.Prefix = prefix
		s := mustOpen(t, o)
		for _, want := range []string{"x", "x-2", "x-3"} {
			d := mustMake(t, s, "x")
			if !strings.HasSuffix(d.String(), "/"+want) {
				t.Errorf("Make = %v, want %s", d, want)
			}
			if err := mustCreate(t, d, "file").Commit(); err != nil {
				t.Fatal(err)
			}
		}
		// Another run sees what lies there.
		if d := mustMake(t, mustOpen(t, o), "x"); !strings.HasSuffix(d.String(), "/x-4") {
			t.Errorf("in another run Make = %v, want x-4", d)
		}
	}
}

// TestAbort has what was written of a small file stay under another name, and that
// vanish when the file is written again.
func TestAbort(t *testing.T) {
	srv := newServer(t, t.TempDir())
	d := mustMake(t, mustOpen(t, srv.options()), "dump")
	f := mustCreate(t, d, "dmesg")
	mustWrite(t, f, []byte("half"))
	if err := f.Abort(); err != nil {
		t.Fatal(err)
	}
	if got, err := srv.Read("crash/here/dump/dmesg-incomplete"); err != nil || string(got) != "half" {
		t.Errorf("what is left is %q, %v, want half", got, err)
	}
	f = mustCreate(t, d, "dmesg")
	mustWrite(t, f, []byte("whole"))
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := srv.Read("crash/here/dump/dmesg-incomplete"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was left is still there: %q, %v", got, err)
	}
}

// TestOverwrite has two runs write the same object at the same time: the second
// must not replace the first, whether it has parts or not.
func TestOverwrite(t *testing.T) {
	srv := newServer(t, t.TempDir())
	for _, size := range []int{100, firstPart + 100} {
		s := mustOpen(t, srv.options())
		s2 := mustOpen(t, srv.options())
		first := mustMake(t, s, "dump")
		second := mustMake(t, s2, "dump")
		want := noise(size)
		a, b := mustCreate(t, first, "vmcore"), mustCreate(t, second, "vmcore")
		mustWrite(t, a, want)
		mustWrite(t, b, make([]byte, size))
		if err := a.Commit(); err != nil {
			t.Fatal(err)
		}
		// As if the other one had come between the look and the request.
		later := b.(*File)
		later.part.end()
		err := later.finish()
		if !errors.Is(err, fs.ErrExist) {
			t.Errorf("the second: %v, want %v", err, fs.ErrExist)
		}
		name := strings.TrimPrefix(first.String(), "http://"+srv.Address()+"/"+bucket+"/")
		if got, err := srv.Read(name + "/vmcore"); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the object is not the first one's: %d bytes, %v", len(got), err)
		}
	}
}

// TestRefused has Open fail at once where there is no use in waiting.
func TestRefused(t *testing.T) {
	srv := newServer(t, t.TempDir())
	for name, change := range map[string]func(*Options){
		"wrong key":    func(o *Options) { o.AccessKey = "nobody" },
		"wrong secret": func(o *Options) { o.SecretKey = "wrong" },
		"no bucket":    func(o *Options) { o.Bucket = "nowhere" },
		"no server":    func(o *Options) { o.Endpoint = "http://127.0.0.1:1" },
		"no name":      func(o *Options) { o.Endpoint = "http://nowhere.invalid" },
		"no URL":       func(o *Options) { o.Endpoint = "somewhere" },
	} {
		o := srv.options()
		change(&o)
		ctx, cancel := context.WithTimeout(t.Context(), enough)
		s, err := Open(ctx, o)
		cancel()
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: Open = %v, %v, want an error before the time is over", name, s, err)
			continue
		}
		t.Logf("%s: %v", name, err)
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the message has the secret: %v", name, err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct{ address, endpoint, bucket, prefix string }{
		{"s3://dumps", "https://s3.amazonaws.com", "dumps", ""},
		{"s3://dumps/crash/rack7/", "https://s3.amazonaws.com", "dumps", "crash/rack7"},
		{"https://s3.example.org:9000/dumps", "https://s3.example.org:9000", "dumps", ""},
		{"http://[fe80::1]:9000/dumps/a", "http://[fe80::1]:9000", "dumps", "a"},
		{address: "https://s3.example.org"},
		{address: "https://s3.example.org/"},
		{address: "https://key:secret@s3.example.org/dumps"},
		{address: "https://s3.example.org/dumps?x"},
		{address: "ftp://s3.example.org/dumps"},
		{address: "dumps"},
		{address: ""},
		{address: "s3:///dumps"},
	} {
		o, err := Parse(test.address)
		if (err == nil) != (test.bucket != "") || o.Endpoint != test.endpoint || o.Bucket != test.bucket || o.Prefix != test.prefix {
			t.Errorf("Parse(%q) = %q %q %q, %v, want %q %q %q", test.address, o.Endpoint, o.Bucket, o.Prefix, err,
				test.endpoint, test.bucket, test.prefix)
		}
	}
}

// TestPartSize adds up the parts: the documentation says how large a dump may be.
func TestPartSize(t *testing.T) {
	sum := 0
	for number := 1; number <= MaxParts; number++ {
		size := partSize(number)
		if size < 5<<20 || size > 96<<20 {
			t.Fatalf("part %d has %d bytes", number, size)
		}
		sum += size
	}
	if want := 302; sum>>30 != want {
		t.Errorf("all parts have %d GiB, want %d", sum>>30, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("s3://dumps/crash")
	f.Add("https://[fe80::1]:9000/dumps/crash/")
	f.Fuzz(func(t *testing.T, address string) {
		o, err := Parse(address)
		if err == nil && (o.Bucket == "" || strings.Contains(o.Bucket, "/") || strings.HasPrefix(o.Prefix, "/")) {
			t.Errorf("Parse(%q) = %+v", address, o)
		}
	})
}
