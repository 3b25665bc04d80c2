// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// animal is a kind of page in the zoo.
type animal struct {
	name  string
	block coretest.Block
	// want is the classes that the pages have in the order of the rules: at a
	// given level, that of the first rule that the level asks for.
	want []pagefilter.Class
}

const (
	lru, private, swapCache, swapBacked = coretest.LRU, coretest.Private, coretest.SwapCache, coretest.SwapBacked
	anon, mapping, slab, huge           = coretest.Anon, coretest.Mapping, coretest.Slab, coretest.HugeTLB
	buddy, poison, offline, unaccepted  = coretest.Buddy, coretest.HWPoison, coretest.Offline, coretest.Unaccepted

	cache, cachePrivate = pagefilter.Cache, pagefilter.CachePrivate
	user, free          = pagefilter.User, pagefilter.Free
	hwPoison, isOffline = pagefilter.HWPoison, pagefilter.Offline
)

// zoo has one of every kind of page that the rules tell apart.
var zoo = []animal{
	{"nothing", coretest.Block{PFN: 0x110}, nil},
	{"page cache", coretest.Block{PFN: 0x111, Is: lru | mapping, Times: 3}, []pagefilter.Class{cache}},
	{"page cache, being read", coretest.Block{PFN: 0x114, Is: mapping}, nil},
	{"page cache with buffers", coretest.Block{PFN: 0x115, Is: lru | mapping | private, Times: 2}, []pagefilter.Class{cachePrivate}},
	{"private alone", coretest.Block{PFN: 0x117, Is: private}, nil},
	{"anonymous", coretest.Block{PFN: 0x118, Is: lru | anon | swapBacked, Times: 5}, []pagefilter.Class{user}},
	{"anonymous, isolated", coretest.Block{PFN: 0x11d, Is: anon}, []pagefilter.Class{user}},
	{"anonymous with private data", coretest.Block{PFN: 0x11e, Is: lru | anon | private}, []pagefilter.Class{user}},
	{"swap cache", coretest.Block{PFN: 0x120, Is: swapCache | swapBacked}, []pagefilter.Class{cache}},
	{"swap cache's bit alone", coretest.Block{PFN: 0x121, Is: swapCache}, nil},
	{"swap cache, private", coretest.Block{PFN: 0x122, Is: swapCache | swapBacked | private}, []pagefilter.Class{cachePrivate}},
	{"swap cache of an anonymous page", coretest.Block{PFN: 0x123, Is: lru | swapCache | swapBacked | anon}, []pagefilter.Class{user}},
	{"slab", coretest.Block{PFN: 0x124, Is: slab, Times: 2}, nil},
	{"slab of 8 pages", coretest.Block{PFN: 0x128, Order: 3, Is: slab}, nil},
	{"driver's compound page", coretest.Block{PFN: 0x130, Order: 4}, nil},
	{"large folio of a file", coretest.Block{PFN: 0x140, Order: 4, Is: lru | mapping}, []pagefilter.Class{cache}},
	{"large folio with buffers", coretest.Block{PFN: 0x150, Order: 2, Is: lru | mapping | private, Times: 2}, []pagefilter.Class{cachePrivate}},
	{"large folio, anonymous", coretest.Block{PFN: 0x160, Order: 5, Is: lru | anon | swapBacked}, []pagefilter.Class{user}},
	{"compound page of two", coretest.Block{PFN: 0x182, Order: 1, Is: lru | mapping}, []pagefilter.Class{cache}},
	{"free page", coretest.Block{PFN: 0x191, Is: buddy}, []pagefilter.Class{free}},
	{"free block", coretest.Block{PFN: 0x198, Order: 3, Is: buddy}, []pagefilter.Class{free}},
	{"free blocks of 32", coretest.Block{PFN: 0x1a0, Order: 5, Is: buddy, Times: 2}, []pagefilter.Class{free}},
	{"transparent huge page", coretest.Block{PFN: 0x200, Order: 9, Is: lru | anon | swapBacked}, []pagefilter.Class{user}},
	{"hugetlb page", coretest.Block{PFN: 0x400, Order: 9, Is: huge}, []pagefilter.Class{user}},
	{"hugetlb page with private data", coretest.Block{PFN: 0x600, Order: 9, Is: huge | private}, []pagefilter.Class{user}},
	{"largest free block", coretest.Block{PFN: 0x800, Order: 10, Is: buddy}, []pagefilter.Class{free}},
	{"end of the zoo", coretest.Block{PFN: 0xc00, Is: lru, Times: 0x100}, []pagefilter.Class{cache}},

	{"offline", coretest.Block{PFN: 0xd00, Is: offline, Times: 4}, []pagefilter.Class{isOffline}},
	{"offline page cache", coretest.Block{PFN: 0xd04, Is: offline | lru}, []pagefilter.Class{cache, isOffline}},
	{"poisoned", coretest.Block{PFN: 0xd10, Is: poison, Times: 2}, []pagefilter.Class{hwPoison}},
	{"poisoned page cache", coretest.Block{PFN: 0xd12, Is: poison | lru}, []pagefilter.Class{cache, hwPoison}},
	{"poisoned anonymous page", coretest.Block{PFN: 0xd13, Is: poison | lru | anon}, []pagefilter.Class{user, hwPoison}},
	{"poisoned free page", coretest.Block{PFN: 0xd14, Is: poison | buddy}, []pagefilter.Class{free, hwPoison}},
	{"poisoned compound page", coretest.Block{PFN: 0xd18, Order: 3, Is: poison}, []pagefilter.Class{hwPoison}},
	{"poisoned slab", coretest.Block{PFN: 0xd20, Order: 1, Is: poison | slab}, []pagefilter.Class{hwPoison}},
	{"unaccepted memory", coretest.Block{PFN: 0x1400, Order: 10, Is: unaccepted}, []pagefilter.Class{free}},
}

// zooKernel returns a machine of the era with the zoo in it, and those of the
// zoo that the era knows.
func zooKernel(era *coretest.Era) (coretest.Kernel, []animal) {
	needs := map[coretest.Is]string{
		poison: "PG_hwpoison", offline: "PAGE_OFFLINE_MAPCOUNT_VALUE", unaccepted: "PAGE_UNACCEPTED_MAPCOUNT_VALUE",
	}
	k := coretest.Kernel{Era: era, RAM: []mem.PhysRange{{Start: 1 << 20, End: 14 << 20}}, KASLR: 0x1b600000, CPUs: 2}
	var animals []animal
	for _, a := range zoo {
		known := true
		for is, key := range needs {
			known = known && (a.block.Is&is == 0 || era.Has(key))
		}
		if !known {
			continue
		}
		// Unaccepted memory looks like a single page; all of it is as large as
		// the largest free block.
		block := a.block
		if block.Is&unaccepted != 0 {
			block.Order = 0
			k.RAM = append(k.RAM, mem.PhysRange{Start: a.block.PFN.Phys(12), End: (a.block.PFN + 0x400).Phys(12)})
		}
		k.Blocks = append(k.Blocks, block)
		animals = append(animals, a)
	}
	return k, animals
}

// excludes reports whether a dump level leaves out pages of a class.
func excludes(level int, c pagefilter.Class, era *coretest.Era) bool {
	switch c {
	case cache:
		return level&(pagefilter.LevelCache|pagefilter.LevelCachePrivate) != 0
	case cachePrivate:
		return level&pagefilter.LevelCachePrivate != 0
	case user:
		return level&pagefilter.LevelUser != 0
	case free:
		return level&pagefilter.LevelFree != 0
	case isOffline:
		// Whoever looks at struct pages sees them. At levels 0 and 1
		// makedumpfile looks only for poisoned pages.
		return level > pagefilter.LevelZero || era.Has("PG_hwpoison")
	}
	return true
}

// filterCore opens and filters the core at path.
func filterCore(t testing.TB, path string, opts pagefilter.Options) *pagefilter.Selection {
	t.Helper()
	core, space, pages := openCore(t, path)
	sel, err := pagefilter.Filter(context.Background(), core, space, pages, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sel
}

// openCore opens the core at path and finds its struct pages.
func openCore(t testing.TB, path string) (*vmcore.Core, *addrxlat.Space, *memmap.Map) {
	t.Helper()
	core, err := vmcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { core.Close() })
	space, err := addrxlat.New(core)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := memmap.Find(core, space)
	if err != nil {
		t.Fatal(err)
	}
	return core, space, pages
}

// TestZoo filters the zoo of every era at every level and compares every page
// with what the zoo's sign says.
func TestZoo(t *testing.T) {
	for _, era := range coretest.Eras() {
		t.Run(era.Release, func(t *testing.T) {
			k, animals := zooKernel(era)
			path := k.Write(t)
			most := filterCore(t, path, pagefilter.Options{Level: pagefilter.LevelMax, Threads: 1})
			for level := range pagefilter.LevelMax + 1 {
				var warnings []string
				sel := filterCore(t, path, pagefilter.Options{
					Level: level, Threads: 1 + level%3,
					Warn: func(line string) { warnings = append(warnings, line) },
				})
				checkZoo(t, sel, animals, era)
				checkLast(t, sel, most)
				if len(warnings) > 0 {
					t.Errorf("level %d: warnings %q for a core without damage", level, warnings)
				}
			}
		})
	}
}

func checkZoo(t *testing.T, sel *pagefilter.Selection, animals []animal, era *coretest.Era) {
	t.Helper()
	want := mem.NewBitmap(sel.RAM.Len())
	for p := mem.PFN(0); p < want.Len(); p++ {
		if sel.RAM.Test(p) {
			want.Set(p)
		}
	}
	var counts pagefilter.Counts
	for _, a := range animals {
		i := slices.IndexFunc(a.want, func(c pagefilter.Class) bool { return excludes(sel.Level, c, era) })
		if i < 0 {
			continue
		}
		n := want.ClearRange(a.pages())
		*map[pagefilter.Class]*uint64{
			cache: &counts.Cache, cachePrivate: &counts.CachePrivate, user: &counts.User,
			free: &counts.Free, hwPoison: &counts.HWPoison, isOffline: &counts.Offline,
		}[a.want[i]] += n
	}
	for p := mem.PFN(0); p < want.Len(); p++ {
		if got, want := sel.Kept.Test(p), want.Test(p); got != want {
			t.Errorf("level %d: page %#x of %s is kept: %v, want %v", sel.Level, p, nameOf(animals, p), got, want)
		}
	}
	if sel.Excluded != counts {
		t.Errorf("level %d: excluded %+v, want %+v", sel.Level, sel.Excluded, counts)
	}
}

// checkLast checks that those pages are to be written last that are kept, but not
// at the highest level.
func checkLast(t *testing.T, sel, most *pagefilter.Selection) {
	t.Helper()
	for p := mem.PFN(0); p < sel.Kept.Len(); p++ {
		want := sel.Kept.Test(p) && !most.Kept.Test(p)
		if got := sel.Last != nil && sel.Last.Test(p); got != want {
			t.Errorf("level %d: page %#x comes last: %v, want %v", sel.Level, p, got, want)
		}
	}
}

func (a *animal) pages() mem.PFNRange {
	return mem.PFNRange{
		Start: a.block.PFN,
		End:   a.block.PFN + mem.PFN(max(a.block.Times, 1))<<a.block.Order,
	}
}

func nameOf(animals []animal, p mem.PFN) string {
	for _, a := range animals {
		if r := a.pages(); p >= r.Start && p < r.End {
			return fmt.Sprintf("%q", a.name)
		}
	}
	return "nothing"
}
