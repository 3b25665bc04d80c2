// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter

import (
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
	ram    mem.PFNRange // a run of page frames that are memory, around pfn
	pfn    mem.PFN      // being looked at
	across []byte       // for struct pages that do not lie in one piece

	// Pages from start up to pfn are of this class. They are taken out of the
	// selection together, since most come in long runs.
	class Class
	start mem.PFN
	// Single pages whose struct pages say the same are of one class, too.
	known   signs
	classOf Class // of pages with the signs known

	counts [numClasses]uint64
	spills []spill
	unread uint64
}

// scan goes through the struct pages of one section.
func (w *worker) scan(s memmap.Section) {
	w.pages = s.Pages
	for pfn := s.PFNRange.Start; ; {
		if pfn < w.ram.Start || pfn >= w.ram.End {
			w.ram = w.sel.RAM.NextRun(pfn)
		}
		// Holes are skipped: nothing says that they have struct pages.
		pfn = max(pfn, w.ram.Start)
		if pfn >= s.PFNRange.End {
			break
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
	end := min(pfn+mem.PFN(n), w.ram.End)
	w.start = pfn
	err = vmcore.CatchFault(func() error {
		w.scanPages(piece, pfn, end, s.PFNRange)
		return nil
	})
	w.flush()
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

// scanPages looks at the pages [first, end), all of them memory, whose struct
// pages begin at piece. It leaves in w.pfn the first page frame after them, or
// after what the last of them excluded; if it ends in a fault, the one whose
// struct page cannot be read. The struct page behind the last one is in piece
// unless the section ends there.
func (w *worker) scanPages(piece []byte, first, end mem.PFN, section mem.PFNRange) {
	r, size := w.rules, w.page.Size
	for w.pfn = first; w.pfn < end; {
		p := piece[int(w.pfn-first)*size:]
		if r.isTail(p) {
			w.become(r.classifyTail(p))
			w.pfn++
			continue
		}
		signs := r.signs(p)
		if signs == w.known {
			w.become(w.classOf)
			w.alike(p, end)
			continue
		}
		class, order := r.classify(signs, p)
		if class != Kept && order > 0 && !w.possible(class, order, piece, first, section) {
			w.counts[damaged]++
			class = Kept
		}
		if class == Kept {
			order = 0 // nothing is known of the pages behind it
		}
		if order == 0 && class != Free && signs.flags&r.head == 0 {
			w.known, w.classOf = signs, class
		}
		w.become(class)
		w.advance(mem.PFN(1)<<order, section)
	}
}

// alike goes on as long as the struct pages, which begin at p, are those of
// single pages with the signs known.
func (w *worker) alike(p []byte, end mem.PFN) {
	r, known := w.rules, w.known
	for w.pfn < end && !r.isTail(p) && r.signs(p) == known {
		w.pfn++
		p = p[r.page.Size:]
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

// endsInTail reports whether the last of the pages, or the last of them in the
// section, is a tail page, as it is if the first one's order is true. It keeps
// one damaged struct page from taking thousands of pages out of the dump. The
// struct pages from first's on are in piece, the others are read.
func (w *worker) endsInTail(piece []byte, first mem.PFN, pages, section mem.PFNRange) bool {
	last := min(pages.End, section.End) - 1
	if at := int(last-first) * w.page.Size; at+w.page.Size <= len(piece) {
		return w.isTail(piece[at:])
	}
	var buf [8]byte
	at := w.pages + mem.VirtAddr(int(last-section.Start)*w.page.Size+w.page.CompoundHead)
	return w.space.ReadVirt(buf[:], at) == nil && word(buf[:], 0)&w.tail != 0
}

// become says that the page at w.pfn is of the class.
func (w *worker) become(class Class) {
	if class != w.class {
		w.flush()
		w.class = class
	}
}

// flush takes the pages before w.pfn that are of class w.class out of the
// selection.
func (w *worker) flush() {
	if w.class != Kept {
		w.counts[w.class] += w.sel.Kept.ClearRange(mem.PFNRange{Start: w.start, End: w.pfn})
	}
	w.start = w.pfn
}

// advance goes on by n pages of class w.class. Those of them that lie behind
// the section's end are left for later.
func (w *worker) advance(n mem.PFN, section mem.PFNRange) {
	end := w.pfn + n
	if end > section.End {
		w.spills = append(w.spills, spill{w.class, mem.PFNRange{Start: section.End, End: end}})
		end = section.End
	}
	w.pfn = end
}
