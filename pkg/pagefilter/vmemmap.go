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
	f.eachStructPage(ctx, func(frame mem.PFN, described mem.PFNRange) {
		if f.sel.Kept.CountRange(described) > 0 {
			needed.Set(frame)
		}
	})
	var n uint64
	f.eachStructPage(ctx, func(frame mem.PFN, _ mem.PFNRange) {
		if !needed.Test(frame) {
			n += f.sel.Kept.ClearRange(mem.PFNRange{Start: frame, End: frame + 1})
		}
	})
	return n
}

// eachStructPage calls do for every page that is full of struct pages: with the
// page frame it lies in, and the page frames that it describes, if only in part.
func (f *filter) eachStructPage(ctx context.Context, do func(frame mem.PFN, described mem.PFNRange)) {
	walker := f.space.NewWalker()
	defer walker.Close()
	for _, s := range f.sections {
		if ctx.Err() != nil {
			return
		}
		f.eachStructPageOf(s, func(at mem.VirtAddr, described mem.PFNRange) {
			phys, _, err := walker.Translate(at)
			if err == nil {
				do(phys.PFN(f.sel.pageShift()), described)
			}
		})
	}
}

// eachStructPageOf calls do for every page of virtual memory that lies within
// the section's array.
func (f *filter) eachStructPageOf(s memmap.Section, do func(at mem.VirtAddr, described mem.PFNRange)) {
	pageSize, structSize := uint64(f.sel.PageSize), uint64(f.page.Size)
	length := s.PFNRange.Len() * structSize
	for off := -uint64(s.Pages) & (pageSize - 1); off+pageSize <= length; off += pageSize {
		do(s.Pages+mem.VirtAddr(off), mem.PFNRange{
			Start: s.PFNRange.Start + mem.PFN(off/structSize),
			End:   s.PFNRange.Start + mem.PFN((off+pageSize+structSize-1)/structSize),
		})
	}
}
