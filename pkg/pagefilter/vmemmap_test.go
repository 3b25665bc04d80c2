// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter_test

import (
	"fmt"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/pagefilter"
)

// TestStructPages leaves out struct pages of excluded pages. Every page that
// has a byte of the struct page of a kept page must stay, all others must go.
func TestStructPages(t *testing.T) {
	for _, test := range []struct {
		vmemmap    uint64
		structPage int
	}{
		{2 << 20, 64},
		{4 << 10, 64}, // equal pages of struct pages are one page in memory
		{4 << 10, 56},
	} {
		t.Run(fmt.Sprintf("%d bytes, mapped by %d KiB", test.structPage, test.vmemmap>>10), func(t *testing.T) {
			k, _ := zooKernel(coretest.Linux6_1())
			k.Vmemmap, k.StructPage = test.vmemmap, test.structPage
			built := k.Build()
			path := built.Write(t)
			plain := filterCore(t, path, pagefilter.Options{Level: pagefilter.LevelMax, Threads: 1})
			without := filterCore(t, path, pagefilter.Options{Level: pagefilter.LevelMax, Threads: 1, StructPages: true})

			end := plain.RAM.Len()
			holds, needed := map[mem.PFN]bool{}, map[mem.PFN]bool{} // pages with struct pages in them
			for p := mem.PFN(0); p < end; p++ {
				for i := range test.structPage {
					phys, _ := built.Lookup(built.PageAddr(p) + mem.VirtAddr(i))
					holds[phys.PFN(12)] = true
					needed[phys.PFN(12)] = needed[phys.PFN(12)] || plain.Kept.Test(p)
				}
			}
			// What lies in a page behind the struct pages of all memory may be anything.
			if behind := built.PageAddr(end); behind%4096 != 0 {
				phys, _ := built.Lookup(behind)
				needed[phys.PFN(12)] = true
			}
			excluded := uint64(0)
			for p := mem.PFN(0); p < end; p++ {
				want := plain.Kept.Test(p) && (!holds[p] || needed[p])
				if got := without.Kept.Test(p); got != want {
					t.Errorf("page %#x (struct pages: %v, needed: %v) is kept: %v, want %v", p, holds[p], needed[p], got, want)
				}
				if plain.Kept.Test(p) && !want {
					excluded++
				}
			}
			if got := without.Excluded.StructPages; got != excluded || got == 0 || !without.NoStructPages {
				t.Errorf("%d pages of struct pages are excluded, want %d, and more than none", got, excluded)
			}
		})
	}
}
