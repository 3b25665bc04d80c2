// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package targettest checks that a target keeps the contract of package target.
// The tests of every kind of target run it.
package targettest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/ukdump/ukdump/pkg/target"
)

// Run checks a target that is empty. The function read returns what lies on the
// target under exactly that name, from outside; an error if nothing does.
func Run(t *testing.T, tg target.Target, read func(name string) ([]byte, error)) {
	s := suite{tg, read}
	t.Run("commit", s.commit)
	t.Run("empty", s.empty)
	t.Run("abort", s.abort)
	t.Run("retry", s.retry)
	t.Run("exists", s.exists)
	t.Run("reserve", s.reserve)
	t.Run("cancel", s.cancel)
	t.Run("patches", s.patches)
	t.Run("truncate", s.truncate)
	t.Run("free", s.free)
	if tg.String() == "" {
		t.Error("the target has no name for messages")
	}
}

type suite struct {
	target.Target
	read func(name string) ([]byte, error)
}

func (s suite) create(t *testing.T, name string) target.File {
	t.Helper()
	f, err := s.Create(t.Context(), name, 0)
	if err != nil {
		t.Fatalf("Create(%q): %v", name, err)
	}
	return f
}

func write(t *testing.T, f target.File, text string) {
	t.Helper()
	if n, err := io.WriteString(f, text); n != len(text) || err != nil {
		t.Fatalf("Write(%.20q) = %d, %v", text, n, err)
	}
}

// want checks what lies under a name.
func (s suite) want(t *testing.T, name string, want []byte) {
	t.Helper()
	got, err := s.read(name)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s has %d bytes %.40q, %v, want %d bytes %.40q", name, len(got), got, err, len(want), want)
	}
}

func (s suite) wantNone(t *testing.T, name string) {
	t.Helper()
	if got, err := s.read(name); err == nil {
		t.Errorf("%s has %d bytes, want none", name, len(got))
	}
}

func (s suite) commit(t *testing.T) {
	f := s.create(t, "commit")
	write(t, f, "one ")
	s.wantNone(t, "commit")
	write(t, f, "two")
	if err := f.Commit(); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	s.want(t, "commit", []byte("one two"))
	s.wantNone(t, "commit"+target.Incomplete)
	if n, err := f.Write([]byte("more")); n != 0 || err == nil {
		t.Errorf("Write after Commit = %d, %v, want an error", n, err)
	}
	if err := f.Commit(); err == nil {
		t.Error("the second Commit is no error")
	}
	if err := f.Abort(); err != nil {
		t.Errorf("Abort after Commit: %v", err)
	}
	s.want(t, "commit", []byte("one two"))
}

func (s suite) empty(t *testing.T) {
	if err := s.create(t, "empty").Commit(); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	s.want(t, "empty", nil)
}

func (s suite) abort(t *testing.T) {
	f := s.create(t, "abort")
	write(t, f, "half")
	if err := f.Abort(); err != nil && !errors.Is(err, target.ErrNothingKept) {
		t.Errorf("Abort: %v", err)
	}
	if err := f.Abort(); err != nil {
		t.Errorf("the second Abort: %v", err)
	}
	s.wantNone(t, "abort")
	if err := f.Commit(); err == nil {
		t.Error("Commit after Abort is no error")
	}
	s.wantNone(t, "abort")
}

// retry leaves something longer behind before it writes the file again.
func (s suite) retry(t *testing.T) {
	f := s.create(t, "retry")
	write(t, f, "something long")
	if err := f.Abort(); err != nil && !errors.Is(err, target.ErrNothingKept) {
		t.Fatalf("Abort: %v", err)
	}
	f = s.create(t, "retry")
	write(t, f, "short")
	if err := f.Commit(); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	s.want(t, "retry", []byte("short"))
}

func (s suite) exists(t *testing.T) {
	f := s.create(t, "exists")
	write(t, f, "first")
	if err := f.Commit(); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	f, err := s.Create(t.Context(), "exists", 0)
	if err == nil {
		write(t, f, "second")
		err = f.Commit()
	}
	if err == nil {
		t.Error("a committed file was replaced")
	}
	s.want(t, "exists", []byte("first"))
}

func (s suite) reserve(t *testing.T) {
	for name, text := range map[string]string{"reserve": "less", "reserve0": ""} {
		f, err := s.Create(t.Context(), name, 1<<20)
		if err != nil {
			t.Fatalf("Create(%q): %v", name, err)
		}
		write(t, f, text)
		if err := f.Commit(); err != nil {
			t.Fatalf("Commit: %v", err)
		}
		s.want(t, name, []byte(text))
	}
}

func (s suite) cancel(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	f, err := s.Create(ctx, "cancel", 0)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	write(t, f, "before")
	reason := errors.New("time is up")
	cancel(reason)
	if n, err := f.Write([]byte("after")); n != 0 || !errors.Is(err, reason) {
		t.Errorf("Write = %d, %v, want %v", n, err, reason)
	}
	if err := f.Commit(); !errors.Is(err, reason) {
		t.Errorf("Commit = %v, want %v", err, reason)
	}
	s.wantNone(t, "cancel")
}

// patches writes as a dump is written: a gap for the header, large pieces at
// ascending places, the header last; if the target can.
func (s suite) patches(t *testing.T) {
	f := s.create(t, "patches")
	w, ok := f.(io.WriterAt)
	if !ok {
		if err := f.Abort(); err != nil && !errors.Is(err, target.ErrNothingKept) {
			t.Error(err)
		}
		t.Skip("this target writes only in order")
	}
	random := rand.New(rand.NewPCG(1, 2))
	want := make([]byte, 20<<20+123)
	writeAt := func(off, n int) {
		t.Helper()
		piece := make([]byte, n)
		for i := range piece {
			piece[i] = byte(random.Uint32())
		}
		copy(want[off:], piece)
		if n, err := w.WriteAt(piece, int64(off)); n != len(piece) || err != nil {
			t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(piece), off, n, err)
		}
	}
	for off := 1 << 20; off < len(want); off += 1 << 20 {
		writeAt(off, min(1<<20, len(want)-off))
	}
	writeAt(5000, 70000)
	writeAt(0, 4096)
	for range 100 {
		n := 1 + random.IntN(10000)
		writeAt(random.IntN(len(want)-n), n)
	}
	if err := f.Commit(); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	s.want(t, "patches", want)
}

func (s suite) truncate(t *testing.T) {
	f := s.create(t, "truncate")
	tr, ok := f.(interface{ Truncate(size int64) error })
	if !ok {
		if err := f.Abort(); err != nil && !errors.Is(err, target.ErrNothingKept) {
			t.Error(err)
		}
		t.Skip("this target cannot take back what was written")
	}
	write(t, f, "too much")
	if err := tr.Truncate(0); err != nil {
		t.Fatalf("Truncate: %v", err)
	}
	write(t, f, "less")
	if err := f.Commit(); err != nil {
		t.Fatalf("Commit: %v", err)
	}
	s.want(t, "truncate", []byte("less"))
	if err := tr.Truncate(0); err == nil {
		t.Error("Truncate after Commit is no error")
	}
	s.want(t, "truncate", []byte("less"))
}

func (s suite) free(t *testing.T) {
	free, err := s.Free(t.Context())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("this target cannot know")
	}
	if err != nil || free <= 0 {
		t.Errorf("Free = %d, %v", free, err)
	}
}
