// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/mem"
)

// Access is a way in which views get at the contents of the core's file.
type Access int

const (
	// Read is by pread(2), into a buffer of each view.
	Read Access = iota
	// Map is by mmap(2), in large windows.
	Map
	// MapRuns maps what is asked for in long runs, with all its pages at once, as
	// long as the file is in memory, and reads the rest. That saves a copy where one
	// thread does all the work; where there are more, unmapping interrupts their
	// CPUs, which costs as much.
	MapRuns
)

const (
	// mapSize is how much of the file a view maps at a time. Mapping
	// /proc/vmcore costs a page table entry for each page at once, so larger
	// windows would waste work and memory on pages that are skipped.
	mapSize = 4 << 20
	// minRun is how long a run has to be for MapRuns.
	minRun = 64 << 10
	// slowMap is several times what it takes to map a run that is in memory. A file
	// for which it takes longer comes from a disk, and is read from then on: the
	// kernel reads further ahead for reads.
	slowMap = 200 * time.Microsecond
	// A view that reads the file reads what it is asked for, within these
	// bounds: a small piece is seldom the last one there.
	minRead, maxRead = 16 << 10, 256 << 10
)

// inProc reports whether f is a file of the kernel's, like /proc/vmcore. Such a
// file is mapped, because reads of it map and unmap page after page.
func inProc(f *os.File) bool {
	var stat unix.Statfs_t
	return unix.Fstatfs(int(f.Fd()), &stat) == nil && stat.Type == unix.PROC_SUPER_MAGIC
}

// SetAccess has views made from now on use a, where that is possible. What is not
// set is Map for files of the kernel's, and Read for others.
func (c *Core) SetAccess(a Access) {
	if c.file != nil {
		c.access = a
	}
}

// Access returns how views made from now on get at the file.
func (c *Core) Access() Access { return c.access }

// zeros is what padding reads as.
var zeros [64 << 10]byte

// view implements mem.View.
type view struct {
	c      *Core
	access Access
	last   int    // piece of the last Slice: the next is most often the same
	window []byte // contents of the file from off on
	off    uint64
	mapped bool
	read   []byte // buffer for reads of the file; nil until needed
}

// NewView returns a new window onto the core. Close it when done.
func (c *Core) NewView() mem.View { return &view{c: c, access: c.access} }

// Slice implements mem.View.
func (v *view) Slice(addr mem.PhysAddr, n int) ([]byte, error) {
	pieces := v.c.pieces
	if p := pieces[v.last]; addr < p.start || addr >= p.end {
		i := find(pieces, addr)
		if i < 0 {
			return nil, fmt.Errorf("physical address %v: %w", addr, mem.ErrNotRAM)
		}
		v.last = i
	}
	p := pieces[v.last]
	n = int(min(uint64(n), uint64(p.end-addr)))
	switch p.kind {
	case leftOut:
		return nil, fmt.Errorf("physical address %v: %w", addr, mem.ErrExcluded)
	case padding:
		return zeros[:min(n, len(zeros))], nil
	}
	off := p.off + uint64(addr-p.start)
	if off < v.off || off >= v.off+uint64(len(v.window)) {
		if err := v.move(off, p.off+uint64(p.end-p.start), n); err != nil {
			return nil, fmt.Errorf("physical address %v: %w: %w", addr, mem.ErrUnreadable, err)
		}
	}
	b := v.window[off-v.off:]
	return b[:min(n, len(b))], nil
}

// move places the window at off in the file, where n bytes are asked for. It
// does not reach beyond end, the end of the piece: what lies behind is seldom
// asked for next.
func (v *view) move(off, end uint64, n int) error {
	v.drop()
	pageMask := uint64(unix.Getpagesize() - 1)
	start := off &^ pageMask
	switch {
	case v.access == Map:
		if v.mmap(start, min(start+mapSize, end), 0) == nil {
			return nil
		}
		v.access = Read
	case v.access == MapRuns && n >= minRun:
		began := time.Now()
		if v.mmap(start, min(off+min(uint64(n), maxRead), end), unix.MAP_POPULATE) == nil {
			if time.Since(began) > slowMap {
				v.access = Read
			}
			return nil
		}
	}
	return v.pread(off, end, n)
}

// mmap maps the file from start up to, but not including, end.
func (v *view) mmap(start, end uint64, flags int) error {
	b, err := unix.Mmap(int(v.c.file.Fd()), int64(start), int(end-start), unix.PROT_READ, unix.MAP_PRIVATE|flags)
	if err != nil {
		return err
	}
	v.window, v.off, v.mapped = b, start, true
	return nil
}

func (v *view) pread(off, end uint64, n int) error {
	if v.read == nil {
		v.read = make([]byte, maxRead)
	}
	buf := v.read[:min(uint64(max(n, minRead)), maxRead, end-off)]
	n, err := v.c.r.ReadAt(buf, int64(off))
	if n == 0 {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	v.window, v.off = buf[:n], off
	return nil
}

func (v *view) drop() {
	if v.mapped {
		unix.Munmap(v.window)
	}
	v.window, v.off, v.mapped = nil, 0, false
}

// Close gives the window back. The view can be used again afterwards.
func (v *view) Close() error {
	v.drop()
	return nil
}
