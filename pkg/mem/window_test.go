// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package mem

import (
	"bytes"
	"errors"
	"math/rand"
	"testing"
)

// array is memory at a base address, less one page.
type array struct {
	base  VirtAddr
	bytes []byte
	hole  VirtAddr // first address of a page that cannot be read
	reads int
}

func (a *array) ReadVirt(p []byte, addr VirtAddr) error {
	a.reads++
	end := addr + VirtAddr(len(p))
	if addr < a.base || end > a.base+VirtAddr(len(a.bytes)) {
		return ErrNotMapped
	}
	if addr < a.hole+finestPage && end > a.hole {
		return ErrUnreadable
	}
	copy(p, a.bytes[addr-a.base:])
	return nil
}

func TestWindow(t *testing.T) {
	const base, size, window = 0x10f00, 5*finestPage + 100, 2 * finestPage
	a := &array{base: base, bytes: make([]byte, size), hole: 0x13000}
	rnd := rand.New(rand.NewSource(1))
	rnd.Read(a.bytes)
	w, err := NewWindow(a, base, size, window)
	if err != nil {
		t.Fatal(err)
	}
	for range 20000 {
		off, n := uint64(rnd.Intn(size)), uint64(rnd.Intn(200))
		got, err := w.Read(off, n)
		start, end := base+VirtAddr(off), base+VirtAddr(off+n)
		switch {
		case off+n > size:
			if !errors.Is(err, ErrNotMapped) {
				t.Fatalf("Read(%#x, %d) past the end = %v, want %v", off, n, err, ErrNotMapped)
			}
		case n > 0 && start < a.hole+finestPage && end > a.hole:
			if !errors.Is(err, ErrUnreadable) {
				t.Fatalf("Read(%#x, %d) in the hole = %v, want %v", off, n, err, ErrUnreadable)
			}
		case err != nil || !bytes.Equal(got, a.bytes[off:off+n]):
			t.Fatalf("Read(%#x, %d) = %x, %v, want %x", off, n, got, err, a.bytes[off:off+n])
		}
	}
}

func TestWindowReadsAhead(t *testing.T) {
	a := &array{base: 0x10000, bytes: make([]byte, 1<<16), hole: 0x18000}
	w, err := NewWindow(a, a.base, 1<<16, 1<<14)
	if err != nil {
		t.Fatal(err)
	}
	for off := uint64(0); off < 1<<16; off += 16 {
		w.Read(off, 16)
	}
	// Without the hole it would be 4 reads. The 4 pages before it and the hole
	// cost up to two each.
	if a.reads > 4+2*5 {
		t.Errorf("%d reads of memory for an array of 4 windows with a hole, want at most 14", a.reads)
	}
}

func TestNewWindowBad(t *testing.T) {
	for _, test := range []struct {
		base VirtAddr
		size uint64
	}{{0, 1}, {0xffff_ffff_ffff_f000, 1 << 13}} {
		if _, err := NewWindow(&array{}, test.base, test.size, 16); !errors.Is(err, ErrNotMapped) {
			t.Errorf("NewWindow(%v, %d) = %v, want %v", test.base, test.size, err, ErrNotMapped)
		}
	}
	w, err := NewWindow(&array{}, 0x1000, 100, 16)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ off, n uint64 }{{0, 17}, {101, 0}, {^uint64(0), 8}, {8, ^uint64(0)}} {
		if _, err := w.Read(test.off, test.n); !errors.Is(err, ErrNotMapped) {
			t.Errorf("Read(%#x, %#x) = %v, want %v", test.off, test.n, err, ErrNotMapped)
		}
	}
}
