// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"sync"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/mem"
)

// Meta returns what the dump says about the machine and itself. Part is set
// only in a part of a split dump.
func (d *Dump) Meta() *Meta { return &d.meta }

// Version returns the version of the headers, 0 to 6.
func (d *Dump) Version() int { return int(d.main.version) }

// Notes returns the contents of the core's PT_NOTE segment. For dumps of
// version 3, which have VMCOREINFO alone, it is a note with that.
func (d *Dump) Notes() []byte { return d.meta.Notes }

// Order returns the byte order of the crashed machine.
func (d *Dump) Order() binary.ByteOrder { return d.order }

// Machine returns the crashed machine's architecture by its utsname name.
func (d *Dump) Machine() string { return d.meta.Uts.Machine }

// PageSize returns the crashed machine's page size in bytes.
func (d *Dump) PageSize() uint64 { return uint64(d.meta.BlockSize) }

// End returns the address behind the last page frame of the bitmaps.
func (d *Dump) End() mem.PhysAddr { return d.maxMapNr.Phys(d.meta.Shift()) }

// FillRAM implements vmcore.Source. It knows no other page frames than those
// of PageSize bytes. A bitmap that cannot be read adds nothing.
func (d *Dump) FillRAM(set *mem.Bitmap, shift uint) {
	d.fill(set, shift, d.bitmaps[0], mem.PFNRange{End: d.maxMapNr})
}

// FillPresent implements vmcore.Source, as FillRAM does. Pages that were lost
// when the dump was written are among those added.
func (d *Dump) FillPresent(set *mem.Bitmap, shift uint) {
	d.fill(set, shift, d.bitmaps[1], d.part())
}

func (d *Dump) fill(set *mem.Bitmap, shift uint, off int64, r mem.PFNRange) {
	if shift == d.meta.Shift() {
		d.eachChunk(off, r, func(b []byte, at uint64) error {
			set.WriteBytes(b, at)
			return nil
		})
	}
}

// Close closes what the dump is read from.
func (d *Dump) Close() error {
	if c, ok := d.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// EachDesc calls f with every page frame that the dump describes, in ascending
// order, and its descriptor as it lies in the file, until f or reading fails.
func (d *Dump) EachDesc(f func(pfn mem.PFN, desc Desc) error) error {
	var descs piece
	off := d.descs
	return d.eachChunk(d.bitmaps[1], d.part(), func(b []byte, at uint64) error {
		for i, bits8 := range b {
			for ; bits8 != 0; bits8 &= bits8 - 1 {
				raw, err := descs.read(d, off, DescSize)
				if err != nil {
					return fmt.Errorf("descriptors: %w", err)
				}
				off += DescSize
				pfn := mem.PFN(at+uint64(i))*8 + mem.PFN(bits.TrailingZeros8(bits8))
				if err := f(pfn, parseDesc(raw, d.order)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// DataRange returns the range of the file that the data of pages lies in, in
// bytes. A descriptor that leads out of the file is an error.
func (d *Dump) DataRange() (start, end int64, err error) {
	start = d.size
	err = d.EachDesc(func(pfn mem.PFN, desc Desc) error {
		if desc == (Desc{}) {
			return nil
		}
		if desc.Offset > uint64(d.size) || uint64(desc.Size) > uint64(d.size)-desc.Offset {
			return fmt.Errorf("%w: page frame %#x: %d bytes at %d in a file of %d (cut off?)",
				ErrFormat, uint64(pfn), desc.Size, desc.Offset, d.size)
		}
		start = min(start, int64(desc.Offset))
		end = max(end, int64(desc.Offset)+int64(desc.Size))
		return nil
	})
	return min(start, end), end, err
}

// ReadData reads the data of pages as it lies in the file.
func (d *Dump) ReadData(p []byte, off int64) error { return d.readAt(p, off) }

// ReadPhys implements mem.PhysReader.
func (d *Dump) ReadPhys(p []byte, addr mem.PhysAddr) error {
	for len(p) > 0 {
		off := int(addr & mem.PhysAddr(d.meta.BlockSize-1))
		n := min(len(p), d.meta.BlockSize-off)
		if err := d.cache.read(d, p[:n], addr.PFN(d.meta.Shift()), off); err != nil {
			return err
		}
		p, addr = p[n:], addr+mem.PhysAddr(n)
	}
	return nil
}

// cache keeps pages for ReadPhys, which mostly reads a few bytes of a page that
// was read shortly before: page tables, lists, log records.
type cache struct {
	mu     sync.Mutex
	reader *reader
	pages  [64]struct {
		pfn  mem.PFN
		data []byte // nil if there is no page
	}
}

func (c *cache) read(d *Dump, p []byte, pfn mem.PFN, off int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := &c.pages[pfn%mem.PFN(len(c.pages))]
	if at.data != nil && at.pfn == pfn {
		copy(p, at.data[off:])
		return nil
	}
	if c.reader == nil {
		c.reader = newReader(d)
	}
	if err := c.reader.load(pfn); err != nil {
		return err
	}
	if at.data == nil {
		at.data = make([]byte, len(c.reader.page))
	}
	at.pfn = pfn
	copy(at.data, c.reader.page)
	copy(p, at.data[off:])
	return nil
}

// NewView returns a new window onto the dump: one page.
func (d *Dump) NewView() mem.View { return newReader(d) }

// reader reads pages for one goroutine. It keeps the last page, and the last
// pieces of bitmap and descriptors, which serve the pages that follow as well.
type reader struct {
	d      *Dump
	dec    compress.Decoder
	pfn    mem.PFN
	loaded bool
	page   []byte // of pfn, if loaded
	src    []byte // room for compressed data
	bits   piece
	descs  piece
}

// piece is a part of the file, kept in memory.
type piece struct {
	off  int64
	data []byte // nil if nothing was read yet
}

func newReader(d *Dump) *reader {
	return &reader{d: d, page: make([]byte, d.meta.BlockSize), src: make([]byte, d.meta.BlockSize)}
}

// Slice implements mem.View.
func (r *reader) Slice(addr mem.PhysAddr, n int) ([]byte, error) {
	if err := r.load(addr.PFN(r.d.meta.Shift())); err != nil {
		return nil, err
	}
	p := r.page[addr&mem.PhysAddr(len(r.page)-1):]
	return p[:min(n, len(p))], nil
}

// Close implements mem.View.
func (r *reader) Close() error { return nil }

// load makes r.page the page of pfn.
func (r *reader) load(pfn mem.PFN) error {
	if r.loaded && r.pfn == pfn {
		return nil
	}
	r.loaded = false
	desc, err := r.desc(pfn)
	if err != nil {
		return fmt.Errorf("page frame %#x: %w", uint64(pfn), err)
	}
	if err := r.readPage(desc); err != nil {
		return fmt.Errorf("page frame %#x: %w: %w", uint64(pfn), mem.ErrUnreadable, err)
	}
	r.pfn, r.loaded = pfn, true
	return nil
}

// desc returns the descriptor of a page.
func (r *reader) desc(pfn mem.PFN) (Desc, error) {
	rank, err := r.rank(pfn)
	if err != nil {
		return Desc{}, err
	}
	b, err := r.descs.read(r.d, r.d.descs+int64(rank)*DescSize, DescSize)
	if err != nil {
		return Desc{}, fmt.Errorf("%w: descriptor %d: %w", mem.ErrUnreadable, rank, err)
	}
	return parseDesc(b, r.d.order), nil
}

// rank returns the number of the page's descriptor.
func (r *reader) rank(pfn mem.PFN) (uint64, error) {
	d := r.d
	if pfn >= d.maxMapNr {
		return 0, mem.ErrNotRAM
	}
	group := pfn / rankStep
	b, err := r.bits.read(d, d.bitmaps[1]+int64(group)*bitmapPiece, int(pfn%rankStep/8)+1)
	if err != nil {
		return 0, fmt.Errorf("%w: bitmap: %w", mem.ErrUnreadable, err)
	}
	if b[len(b)-1]&(1<<(pfn%8)) == 0 {
		return 0, r.whyNot(pfn)
	}
	part := d.part()
	if pfn < part.Start || pfn >= part.End {
		return 0, fmt.Errorf("%w: it is in another part of the split dump", mem.ErrExcluded)
	}
	rank := d.ranks[group] + popcountBelow(b, pfn%rankStep)
	if first := group * rankStep; first < part.Start {
		rank -= popcountBelow(b, part.Start-first)
	}
	return rank, nil
}

// popcountBelow returns how many of the first n bits of b are set.
func popcountBelow(b []byte, n mem.PFN) uint64 {
	count := popcount(b[:n/8])
	if n%8 != 0 {
		count += uint64(bits.OnesCount8(b[n/8] & (1<<(n%8) - 1)))
	}
	return count
}

// whyNot says why a page was not dumped.
func (r *reader) whyNot(pfn mem.PFN) error {
	var b [1]byte
	if err := r.d.readAt(b[:], r.d.bitmaps[0]+int64(pfn/8)); err != nil {
		return fmt.Errorf("%w: bitmap: %w", mem.ErrUnreadable, err)
	}
	if b[0]&(1<<(pfn%8)) == 0 {
		return mem.ErrNotRAM
	}
	return mem.ErrExcluded
}

// readPage reads and decompresses the page that desc describes.
func (r *reader) readPage(desc Desc) error {
	if desc == (Desc{}) {
		return fmt.Errorf("it was lost when the dump was written")
	}
	if desc.Size == 0 || int(desc.Size) > len(r.page) {
		return fmt.Errorf("%w: page of %d bytes", ErrFormat, desc.Size)
	}
	if desc.Offset > uint64(r.d.size) {
		return fmt.Errorf("%w: page at %d in a file of %d bytes", ErrFormat, desc.Offset, r.d.size)
	}
	src := r.src[:desc.Size]
	if err := r.d.readAt(src, int64(desc.Offset)); err != nil {
		return err
	}
	return r.dec.Decode(r.page, src, desc.Codec)
}

// read returns n bytes at off of the file, at most bitmapPiece. It reads what
// follows as well, for the next call.
func (p *piece) read(d *Dump, off int64, n int) ([]byte, error) {
	if at := off - p.off; at >= 0 && at+int64(n) <= int64(len(p.data)) {
		return p.data[at:][:n], nil
	}
	if p.data == nil {
		p.data = make([]byte, bitmapPiece)
	}
	// Where the file ends before off+n, readAt says so.
	want := p.data[:max(int64(n), min(bitmapPiece, d.size-off))]
	p.data = p.data[:0]
	if err := d.readAt(want, off); err != nil {
		return nil, err
	}
	p.off, p.data = off, want
	return p.data[:n], nil
}
