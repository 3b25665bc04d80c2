// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"fmt"

	"github.com/ukdump/ukdump/pkg/mem"
)

// pageSize is the finest grain at which memory is there or missing, whatever
// the page size of the crashed kernel.
const pageSize = 4096

// window reads an array in the crashed kernel's memory from front to back, a
// buffer full at a time. What cannot be read costs the pages that it lies on.
type window struct {
	mem    mem.VirtReader
	base   mem.VirtAddr // of the array
	size   uint64       // of the array, in bytes
	off    uint64       // of what buf holds, from base
	buf    []byte
	bad    mem.VirtAddr // the last page that could not be read, if badErr != nil
	badErr error
}

// newWindow returns a window of n bytes onto the array of size bytes at addr.
func newWindow(m mem.VirtReader, addr, size uint64, n int) (*window, error) {
	base := mem.VirtAddr(addr)
	if base == 0 || addr+size < addr {
		return nil, fmt.Errorf("%d bytes at %v cannot be kernel memory", size, base)
	}
	return &window{mem: m, base: base, size: size, buf: make([]byte, 0, n)}, nil
}

// read returns the n bytes at off, valid until the next call. The caller sees
// to it that they lie within the array and that n fits the window.
func (w *window) read(off, n uint64) ([]byte, error) {
	if off < w.off || off+n > w.off+uint64(len(w.buf)) {
		if err := w.fill(off, n); err != nil {
			return nil, err
		}
	}
	return w.buf[off-w.off:][:n], nil
}

// fill moves the window to off, so that it holds at least the n bytes there.
func (w *window) fill(off, n uint64) error {
	w.buf, w.off = w.buf[:0], off
	page := (w.base + mem.VirtAddr(off)) &^ (pageSize - 1)
	if w.badErr != nil && page == w.bad {
		return w.badErr
	}
	ahead := min(uint64(cap(w.buf)), w.size-off)
	if w.load(ahead) == nil {
		return nil
	}
	// Something ahead cannot be read: read to the end of the page that holds the
	// last byte wanted, and no further.
	last := w.base + mem.VirtAddr(off+n-1)
	toPageEnd := n + uint64(pageSize-1-last%pageSize)
	err := w.load(min(toPageEnd, ahead))
	if err != nil && last&^(pageSize-1) == page {
		w.bad, w.badErr = page, err
	}
	return err
}

func (w *window) load(n uint64) error {
	p := w.buf[:n]
	if err := w.mem.ReadVirt(p, w.base+mem.VirtAddr(w.off)); err != nil {
		return err
	}
	w.buf = p
	return nil
}
