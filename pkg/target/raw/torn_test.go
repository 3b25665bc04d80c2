// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package raw

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// memory is a device that remembers every write, and every flush as an operation
// without data.
type memory struct {
	image []byte
	ops   []operation
}

type operation struct {
	off  int64
	data []byte
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) { return copy(p, m.image[off:]), nil }

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.ops = append(m.ops, operation{off, bytes.Clone(p)})
	return copy(m.image[off:], p), nil
}

func (m *memory) Sync() error {
	m.ops = append(m.ops, operation{})
	return nil
}

func (m *memory) data() readWriterAt   { return m }
func (m *memory) Close() error         { return nil }
func (m *memory) size() (int64, error) { return int64(len(m.image)), nil }
func (m *memory) String() string       { return "memory" }

// history is what was done to a device, told by how many operations were over.
type history struct {
	memory
	contents  map[string][]byte // of the files that are to be committed
	committed map[string]int    // when Commit returned
	freed     int               // when the slot began to be emptied
}

func (h *history) now() int { return len(h.ops) }

// write writes a file in pieces, the first of them last.
func (h *history) write(t *testing.T, s *Store, name string, size int, commit bool) {
	t.Helper()
	dir, err := s.Make(t.Context(), "dump")
	if err != nil {
		t.Fatal(err)
	}
	f, err := dir.Create(t.Context(), name, 0)
	if err != nil {
		t.Fatal(err)
	}
	path := f.(*File).path
	data := bytes.Repeat([]byte(path+" "), size/len(path))
	if commit {
		h.contents[path] = data
	}
	const piece = 700_001
	for off := piece; off < len(data); off += piece {
		if _, err := f.(io.WriterAt).WriteAt(data[off:min(off+piece, len(data))], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Write(data[:min(piece, len(data))]); err != nil {
		t.Fatal(err)
	}
	if !commit {
		if err := f.Abort(); err != nil {
			t.Fatal(err)
		}
		return
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	h.committed[path] = h.now()
}

// run is a capture run.
func (h *history) run(t *testing.T, do func(s *Store)) {
	t.Helper()
	s, err := open(t.Context(), &h.memory, "me", 0)
	if err != nil {
		t.Fatal(err)
	}
	s.saveEvery = 1 << 20
	if err := s.WriteNote("note", []byte("a run")); err != nil {
		t.Fatal(err)
	}
	do(s)
	if err := s.WriteNote("note", nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTornWrites stops the machine at every write of two capture runs and a
// collection, in every way that a disk may stop: with the last write torn, or
// with any of the writes lost that were not flushed.
func TestTornWrites(t *testing.T) {
	h := &history{memory: memory{image: make([]byte, 10<<20)}, contents: map[string][]byte{}, committed: map[string]int{}}
	// What older dumps have left there must not show.
	copy(h.image, bytes.Repeat([]byte("old data"), len(h.image)/8))
	if err := format(&h.memory, 1, true); err != nil {
		t.Fatal(err)
	}
	blank := bytes.Clone(h.image)
	h.ops = nil
	h.run(t, func(s *Store) {
		h.write(t, s, "dmesg", 100_000, true)
		h.write(t, s, "vmcore", 1_500_000, true)
		h.write(t, s, "half", 2_500_000, false)
	})
	h.run(t, func(s *Store) {
		h.write(t, s, "vmcore", 2_500_000, true) // needs the room of the half one
		h.write(t, s, "log", 100, true)
	})
	d := Device{newVolume(&h.memory, must(readSuperblock(&h.memory)))}
	slots, err := d.Slots()
	if err != nil {
		t.Fatal(err)
	}
	h.freed = h.now()
	if err := d.Free(slots[0]); err != nil {
		t.Fatal(err)
	}
	h.run(t, func(s *Store) { h.write(t, s, "again", 2_000_000, true) })
	t.Logf("%d operations", len(h.ops))
	h.replay(t, blank)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// replay goes through the history and checks what a machine leaves that stops
// during each operation.
func (h *history) replay(t *testing.T, image []byte) {
	var pending []operation // not flushed
	for i, op := range h.ops {
		if testing.Short() && i%5 != 0 && op.data != nil {
			pending = append(pending, op)
			continue
		}
		if op.data == nil {
			for _, p := range pending {
				copy(image[p.off:], p.data)
			}
			pending = nil
			h.check(t, i+1, i+1, "flushed", image)
			continue
		}
		for _, torn := range []int{0, 512, 4096, len(op.data) / 2 &^ 511, len(op.data) - 512} {
			if torn < 0 || torn > len(op.data) {
				continue
			}
			h.check(t, i, i+1, fmt.Sprintf("%d bytes of %d written", torn, len(op.data)), image,
				append(pending[:len(pending):len(pending)], operation{op.off, op.data[:torn]})...)
		}
		pending = append(pending, op)
		for lost := range pending {
			h.check(t, i, i+1, fmt.Sprintf("write %d of %d lost", lost, len(pending)), image,
				append(pending[:lost:lost], pending[lost+1:]...)...)
		}
		if t.Failed() {
			return
		}
	}
}

// check looks at the image after the writes: what was complete before operation
// before must be there, and what is complete must be whole; and another run must
// be able to go on.
func (h *history) check(t *testing.T, before, after int, how string, image []byte, writes ...operation) {
	t.Helper()
	m := &memory{image: bytes.Clone(image)}
	for _, w := range writes {
		copy(m.image[w.off:], w.data)
	}
	sb, err := readSuperblock(m)
	if err != nil {
		t.Fatalf("operation %d, %s: %v", after, how, err)
	}
	d := Device{newVolume(m, sb)}
	slots, err := d.Slots()
	if err != nil {
		t.Fatalf("operation %d, %s: %v", after, how, err)
	}
	there := map[string]bool{}
	for _, f := range slots[0].Files {
		var b bytes.Buffer
		if err := d.Copy(&b, slots[0], f); err != nil {
			t.Errorf("operation %d, %s: %v", after, how, err)
		}
		if bytes.Contains(b.Bytes(), []byte("old data")) {
			t.Errorf("operation %d, %s: old data in %s", after, how, f.Name)
		}
		if !f.Complete {
			continue
		}
		there[f.Name] = true
		if !bytes.Equal(b.Bytes(), h.contents[f.Name]) {
			t.Errorf("operation %d, %s: %s has %d bytes that are not what was written", after, how, f.Name, b.Len())
		}
	}
	for name, at := range h.committed {
		gone := at < h.freed && after > h.freed
		if before >= at && !gone && !there[name] {
			t.Errorf("operation %d, %s: %s is gone; there is %v", after, how, name, there)
		}
	}
	h.goOn(t, m, fmt.Sprintf("operation %d, %s", after, how), there)
}

// goOn has another run write to the device and keep what is there.
func (h *history) goOn(t *testing.T, m *memory, when string, there map[string]bool) {
	t.Helper()
	s, err := open(context.Background(), m, "me", 0)
	if err != nil {
		t.Errorf("%s: %v", when, err)
		return
	}
	if note, err := s.ReadNote("note"); err != nil || !strings.Contains("a run", string(note)) {
		t.Errorf("%s: note %q, %v", when, note, err)
	}
	dir, err := s.Make(context.Background(), "next")
	if err != nil {
		t.Fatal(err)
	}
	f, err := dir.Create(context.Background(), "file", 1)
	if err == nil {
		_, err = f.Write([]byte("next"))
	}
	if err = errors.Join(err, f.Commit(), s.Close()); err != nil {
		t.Errorf("%s: %v", when, err)
	}
	there["next/file"] = true
	for name := range there {
		if _, err := readFrom(m, name); err != nil {
			t.Errorf("%s: after another run: %s: %v", when, name, err)
		}
	}
}
