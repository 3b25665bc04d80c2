// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter

import (
	"encoding/binary"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// worker scans sections, one at a time.
type worker struct {
	*filter
	walker *addrxlat.Walker
	pages  mem.VirtAddr // of the section being scanned
	pfn    mem.PFN      // being looked at
	across []byte       // for struct pages that do not lie in one piece
	counts [numClasses]uint64
	spills []spill
	unread uint64
}

// scan goes through the struct pages of one section.
func (w *worker) scan(s memmap.Section) {
	w.pages = s.Pages
	pfn := s.PFNRange.Start
	for {
		// Holes are skipped: nothing says that they have struct pages.
		pfn = w.sel.RAM.NextSet(pfn)
		if pfn >= s.PFNRange.End {
			return
		}
		pfn = w.scanPiece(s, pfn)
	}
}

// scanPiece goes through the struct pages from pfn's on that lie in one piece of
// the core, and returns the first page frame after those that are dealt with.
func (w *worker) scanPiece(s memmap.Section, pfn mem.PFN) mem.PFN {
	size := w.page.Size
	at := s.Pages + mem.VirtAddr(uint64(pfn-s.PFNRange.Start)*uint64(size))
	want := int(s.PFNRange.End-pfn) * size
	piece, err := w.walker.Slice(at, want)
	if err != nil {
		return w.skipUnreadable(at, pfn, s.PFNRange.End)
	}
	n := len(piece) / size
	if n < 2 {
		// A struct page, or the pair that a compound page needs, lies across
		// two pieces of the core: read it into one.
		piece, n = w.readAcross(at, min(2*size, want))
		if n == 0 {
			return w.skipUnreadable(at, pfn, s.PFNRange.End)
		}
	} else if n*size < want {
		n-- // its successor lies in the next piece; it is looked at from there
	}
	err = vmcore.CatchFault(func() error {
		w.scanPages(piece, pfn, pfn+mem.PFN(n), s.PFNRange)
		return nil
	})
	if err != nil {
		at += mem.VirtAddr(int(w.pfn-pfn) * size)
		return w.skipUnreadable(at, w.pfn, s.PFNRange.End)
	}
	return w.pfn
}

// readAcross reads want bytes of struct pages at addr by copying. It returns
// them with the number of struct pages that can be looked at.
func (w *worker) readAcross(addr mem.VirtAddr, want int) ([]byte, int) {
	if w.across == nil {
		w.across = make([]byte, 2*w.page.Size)
	}
	buf := w.across[:want]
	if w.space.ReadVirt(buf, addr) == nil {
		return buf, 1
	}
	buf = buf[:w.page.Size]
	if w.space.ReadVirt(buf, addr) == nil {
		return buf, 1
	}
	return nil, 0
}

// skipUnreadable keeps the pages whose struct pages lie in the same page of the
// crashed kernel's memory as the one at addr, and returns the next page frame.
func (w *worker) skipUnreadable(addr mem.VirtAddr, pfn, end mem.PFN) mem.PFN {
	pageSize := uint64(w.sel.PageSize)
	left := pageSize - uint64(addr)&(pageSize-1)
	next := min(pfn+mem.PFN((left+uint64(w.page.Size)-1)/uint64(w.page.Size)), end)
	w.unread += w.sel.Kept.CountRange(mem.PFNRange{Start: pfn, End: next})
	return next
}

// scanPages looks at the pages [first, end), whose struct pages begin at piece.
// It leaves in w.pfn the first page frame after them, or after what the last of
// them excluded; if it ends in a fault, the one whose struct page cannot be read.
// The struct page behind the last one is in piece unless the section ends there.
func (w *worker) scanPages(piece []byte, first, end mem.PFN, section mem.PFNRange) {
	size := w.page.Size
	for w.pfn = first; w.pfn < end; {
		pfn := w.pfn
		p := piece[int(pfn-first)*size:]
		if w.u64(p, w.page.CompoundHead)&1 != 0 {
			w.tail(p, pfn, section)
			w.pfn++
			continue
		}
		if !w.sel.RAM.Test(pfn) {
			w.pfn++
			continue
		}
		var second []byte
		if len(p) >= 2*size {
			second = p[size:]
		}
		class, order := w.classify(p[:size], second)
		if class != Kept && order > 0 && !w.possible(class, order, piece, first, section) {
			w.counts[damaged]++
			class = Kept
		}
		if class == Kept {
			w.pfn++
			continue
		}
		w.pfn = w.exclude(class, mem.PFNRange{Start: pfn, End: pfn + 1<<order}, section)
	}
}

// possible reports whether the page at w.pfn can be the first of a block of the
// order. It keeps one damaged struct page from taking thousands of pages out of
// the dump.
func (w *worker) possible(class Class, order uint, piece []byte, first mem.PFN, section mem.PFNRange) bool {
	if order > w.maxOrder || w.pfn&(1<<order-1) != 0 {
		return false
	}
	if class == Free {
		return order < w.orders
	}
	return w.endsInTail(piece, first, mem.PFNRange{Start: w.pfn, End: w.pfn + 1<<order}, section)
}

// tail deals with a tail page: it goes with its head, unless its memory failed.
// makedumpfile does not look and reads it.
func (w *worker) tail(p []byte, pfn mem.PFN, section mem.PFNRange) {
	if w.hwPoison != 0 && w.u64(p, w.page.Flags)&w.hwPoison != 0 {
		w.exclude(HWPoison, mem.PFNRange{Start: pfn, End: pfn + 1}, section)
	}
}

// endsInTail reports whether the last of the pages, or the last of them in the
// section, is a tail page, as it is if the first one's order is true. It keeps
// one damaged struct page from taking thousands of pages out of the dump. The
// struct pages from first's on are in piece, the others are read.
func (w *worker) endsInTail(piece []byte, first mem.PFN, pages, section mem.PFNRange) bool {
	last := min(pages.End, section.End) - 1
	if at := int(last-first) * w.page.Size; at+w.page.Size <= len(piece) {
		return w.u64(piece[at:], w.page.CompoundHead)&1 != 0
	}
	var buf [8]byte
	at := w.pages + mem.VirtAddr(int(last-section.Start)*w.page.Size+w.page.CompoundHead)
	return w.space.ReadVirt(buf[:], at) == nil && w.u64(buf[:], 0)&1 != 0
}

// exclude takes the pages out of the selection, leaving those behind the
// section's end for later, and returns the first page frame behind them.
func (w *worker) exclude(class Class, pages, section mem.PFNRange) mem.PFN {
	if pages.End > section.End {
		w.spills = append(w.spills, spill{class, mem.PFNRange{Start: section.End, End: pages.End}})
		pages.End = section.End
	}
	w.counts[class] += w.sel.Kept.ClearRange(pages)
	return pages.End
}

// u64 reads a number of the core's byte order.
func (r *rules) u64(b []byte, off int) uint64 {
	v := binary.LittleEndian.Uint64(b[off:])
	if r.swap {
		v = bits.ReverseBytes64(v)
	}
	return v
}

// u32 is like u64.
func (r *rules) u32(b []byte, off int) uint32 {
	v := binary.LittleEndian.Uint32(b[off:])
	if r.swap {
		v = bits.ReverseBytes32(v)
	}
	return v
}
