// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter

import (
	"context"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
)

// excludeStructPages takes those pages out of the selection that hold nothing
// but struct pages of pages that are not in it, and returns how many. A dump
// has little use for them, and in a dump at a high level they are a third of
// what is left. A page that several virtual addresses share, as hugetlbfs lets
// struct pages of its pages do, goes only if it can go everywhere.
func (f *filter) excludeStructPages(ctx context.Context) uint64 {
	needed := mem.NewBitmap(f.sel.Kept.Len())
	f.eachStructPage(ctx, func(frame mem.PFN, p vmemmapPage) {
		if !p.whole || f.sel.Kept.CountRange(p.described) > 0 {
			needed.Set(frame)
		}
	})
	var n uint64
	f.eachStructPage(ctx, func(frame mem.PFN, _ vmemmapPage) {
		if !needed.Test(frame) {
			n += f.sel.Kept.ClearRange(mem.PFNRange{Start: frame, End: frame + 1})
		}
	})
	return n
}

// vmemmapPage is a page of virtual memory with struct pages in it.
type vmemmapPage struct {
	addr      mem.VirtAddr
	described mem.PFNRange // the page frames whose struct pages it has, if only in part
	whole     bool         // it has nothing else
}

// eachStructPage calls do for every page with struct pages in it and the page
// frame it lies in.
func (f *filter) eachStructPage(ctx context.Context, do func(frame mem.PFN, p vmemmapPage)) {
	walker := f.space.NewWalker()
	defer walker.Close()
	for _, s := range f.sections {
		if ctx.Err() != nil {
			return
		}
		f.eachStructPageOf(s, func(p vmemmapPage) {
			phys, _, err := walker.Translate(p.addr)
			if err == nil {
				do(phys.PFN(f.sel.pageShift()), p)
			}
		})
	}
}

// eachStructPageOf calls do for every page that the section's array lies in.
func (f *filter) eachStructPageOf(s memmap.Section, do func(vmemmapPage)) {
	pageSize, size := uint64(f.sel.PageSize), uint64(f.page.Size)
	// Offsets are from the beginning of the page that the array begins in.
	start := uint64(s.Pages) & (pageSize - 1)
	end := start + s.PFNRange.Len()*size
	for off := uint64(0); off < end; off += pageSize {
		first, last := max(off, start), min(off+pageSize, end)-1
		do(vmemmapPage{
			addr: s.Pages - mem.VirtAddr(start) + mem.VirtAddr(off),
			described: mem.PFNRange{
				Start: s.PFNRange.Start + mem.PFN((first-start)/size),
				End:   s.PFNRange.Start + mem.PFN((last-start)/size) + 1,
			},
			whole: first == off && last == off+pageSize-1,
		})
	}
}
