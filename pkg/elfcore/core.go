// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// Core is an ELF core open for reading. It implements vmcore.Source.
type Core struct {
	r      io.ReaderAt
	closer io.Closer // of r; nil if it has none
	file   *os.File  // nil if r is not a file
	access Access    // of views
	size   uint64
	header
	notes  []byte
	pieces []piece
}

// Open opens the ELF core at path.
func Open(path string) (*Core, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	c, err := newFromFile(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func newFromFile(f *os.File) (*Core, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a regular file", ErrFormat)
	}
	c, err := New(f, info.Size())
	if err != nil {
		return nil, err
	}
	c.file = f
	if inProc(f) {
		c.access = Map
	}
	if kcore, err := os.Stat("/proc/kcore"); err == nil && os.SameFile(info, kcore) {
		c.r = &oneByOne{r: f}
	}
	return c, nil
}

// oneByOne reads /proc/kcore. Its reads go through a buffer that belongs to the
// open file (fs/proc/kcore.c), so that one of two at the same time would return
// what the other has read.
type oneByOne struct {
	mu sync.Mutex
	r  io.ReaderAt
}

func (o *oneByOne) ReadAt(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.r.ReadAt(p, off)
}

// New reads the headers and notes of the ELF core in the first size bytes of r.
// It reads r again whenever memory is asked for. Close closes r if it can be
// closed.
func New(r io.ReaderAt, size int64) (*Core, error) {
	c := &Core{r: r, size: uint64(max(size, 0))}
	c.closer, _ = r.(io.Closer)
	h, err := readHeader(r, c.size)
	if err != nil {
		return nil, err
	}
	c.header = *h
	if err := c.readNotes(); err != nil {
		return nil, err
	}
	c.pieces = makePieces(c.segments, c.granule())
	return c, nil
}

func (c *Core) readNotes() error {
	var total uint64
	for _, n := range c.header.notes {
		// Checked one by one, so that the sum cannot wrap.
		if total += n.size; total > maxNotesSize {
			return fmt.Errorf("%w: more than %d bytes of notes", ErrFormat, maxNotesSize)
		}
	}
	for _, n := range c.header.notes {
		buf := make([]byte, n.size)
		if err := readFull(c.r, buf, n.off, c.size); err != nil {
			return fmt.Errorf("PT_NOTE: %w", err)
		}
		c.notes = append(c.notes, buf...)
	}
	return nil
}

// granule returns the page size, by which memory that does not fill its page
// frames is padded. Without usable VMCOREINFO it is the smallest there is.
func (c *Core) granule() uint64 {
	if note, ok := FindVMCoreInfo(c.notes, c.order); ok {
		if info, err := vmcoreinfo.Parse(note.Desc); err == nil {
			return info.PageSize()
		}
	}
	return 4096
}

// Incomplete reports whether the core is marked as lacking memory that it
// should have.
func (c *Core) Incomplete() bool { return c.flags&flagIncomplete != 0 }

// Segments returns the PT_LOAD program headers in the order of the file.
func (c *Core) Segments() []Segment { return c.segments }

// Notes returns the contents of the PT_NOTE segment, of all of them in the
// order of the file if there are several.
func (c *Core) Notes() []byte { return c.notes }

// Order returns the byte order of the crashed machine.
func (c *Core) Order() binary.ByteOrder { return c.order }

// Machine returns the crashed machine's architecture by its utsname name.
func (c *Core) Machine() string { return c.machine }

// PageSize returns 0: the format does not state it.
func (c *Core) PageSize() uint64 { return 0 }

// End returns the address behind the last page frame that holds memory.
func (c *Core) End() mem.PhysAddr { return c.pieces[len(c.pieces)-1].end }

// FillRAM implements vmcore.Source.
func (c *Core) FillRAM(set *mem.Bitmap, shift uint) {
	for _, p := range c.pieces {
		set.SetRange(frames(p, shift))
	}
}

// FillPresent implements vmcore.Source.
func (c *Core) FillPresent(set *mem.Bitmap, shift uint) {
	for _, p := range c.pieces {
		if p.kind == inFile {
			set.SetRange(frames(p, shift))
		}
	}
}

// frames returns the page frames that p touches.
func frames(p piece, shift uint) mem.PFNRange {
	return mem.PFNRange{Start: p.start.PFN(shift), End: (p.end - 1).PFN(shift) + 1}
}

// ReadPhys implements mem.PhysReader.
func (c *Core) ReadPhys(p []byte, addr mem.PhysAddr) error {
	i := find(c.pieces, addr)
	for len(p) > 0 {
		if i < 0 || i == len(c.pieces) || c.pieces[i].start > addr {
			return fmt.Errorf("physical address %v: %w", addr, mem.ErrNotRAM)
		}
		at := c.pieces[i]
		n := int(min(uint64(len(p)), uint64(at.end-addr)))
		switch at.kind {
		case leftOut:
			return fmt.Errorf("physical address %v: %w", addr, mem.ErrExcluded)
		case padding:
			clear(p[:n])
		case inFile:
			off := at.off + uint64(addr-at.start)
			if err := readFull(c.r, p[:n], off, c.size); err != nil {
				return fmt.Errorf("physical address %v: %w: %w", addr, mem.ErrUnreadable, err)
			}
		}
		p, addr, i = p[n:], addr+mem.PhysAddr(n), i+1
	}
	return nil
}

// Close closes what the core is read from.
func (c *Core) Close() error {
	if c.closer == nil {
		return nil
	}
	return c.closer.Close()
}
