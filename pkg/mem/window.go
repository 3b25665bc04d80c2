// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package mem

import "fmt"

// finestPage is the finest grain at which memory is there or missing, in bytes,
// whatever the page size of the crashed kernel.
const finestPage = 4096

// Window reads a big array in virtual memory a piece at a time, from front to
// back or wherever its user goes, with one buffer. Memory that cannot be read
// costs the pages that it lies on, not the pieces around them. It is for one
// goroutine.
type Window struct {
	mem    VirtReader
	base   VirtAddr // of the array
	size   uint64   // of the array, in bytes
	off    uint64   // of what buf holds, from base
	buf    []byte
	bad    VirtAddr // the page that could not be read last, if badErr is not nil
	badErr error
}

// NewWindow returns a window of n bytes onto the array of size bytes at base.
// It fails if no array can be there: at address 0, or across the end of the
// address space.
func NewWindow(r VirtReader, base VirtAddr, size uint64, n int) (*Window, error) {
	if base == 0 || base+VirtAddr(size) < base {
		return nil, fmt.Errorf("%w: %d bytes at %v", ErrNotMapped, size, base)
	}
	return &Window{mem: r, base: base, size: size, buf: make([]byte, 0, n)}, nil
}

// Read returns the n bytes at off from the array's start, valid until the next
// call. They must lie within the array, and n must not exceed the window's size.
func (w *Window) Read(off, n uint64) ([]byte, error) {
	if off >= w.off && off-w.off <= uint64(len(w.buf)) && n <= uint64(len(w.buf))-(off-w.off) {
		return w.buf[off-w.off:][:n], nil
	}
	if off > w.size || n > w.size-off || n > uint64(cap(w.buf)) {
		return nil, fmt.Errorf("%w: %d bytes at %#x of an array of %d bytes, with a window of %d",
			ErrNotMapped, n, off, w.size, cap(w.buf))
	}
	if n == 0 {
		return nil, nil
	}
	if err := w.fill(off, n); err != nil {
		return nil, err
	}
	return w.buf[:n], nil
}

// fill moves the window to off, so that it holds at least the n bytes there.
func (w *Window) fill(off, n uint64) error {
	w.buf, w.off = w.buf[:0], off
	page := (w.base + VirtAddr(off)) &^ (finestPage - 1)
	if w.badErr != nil && page == w.bad {
		return w.badErr
	}
	ahead := min(uint64(cap(w.buf)), w.size-off)
	if w.load(ahead) == nil {
		return nil
	}
	// Something ahead cannot be read: read to the end of the page that holds the
	// last byte wanted, and no further.
	last := w.base + VirtAddr(off+n-1)
	toPageEnd := n + uint64(finestPage-1-last%finestPage)
	err := w.load(min(toPageEnd, ahead))
	if err != nil && last&^(finestPage-1) == page {
		w.bad, w.badErr = page, err
	}
	return err
}

func (w *Window) load(n uint64) error {
	p := w.buf[:n]
	if err := w.mem.ReadVirt(p, w.base+VirtAddr(w.off)); err != nil {
		return err
	}
	w.buf = p
	return nil
}
