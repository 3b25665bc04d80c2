// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// testMemory is the memory of the machines below: page frames 0x100 to 0xdff.
var testMemory = []mem.PhysRange{{Start: 1 << 20, End: 14 << 20}}

// frames is the page frames [start, end).
func frames(start, end mem.PFN) mem.PFNRange { return mem.PFNRange{Start: start, End: end} }

// checkExcluded checks that all of the core's memory is kept but the excluded
// ranges, and that there is a warning with every text of warn.
func checkExcluded(t *testing.T, sel *pagefilter.Selection, excluded []mem.PFNRange, warnings, warn []string) {
	t.Helper()
	for p := sel.RAM.NextSet(0); p < sel.RAM.Len(); p = sel.RAM.NextSet(p + 1) {
		want := !slices.ContainsFunc(excluded, func(r mem.PFNRange) bool { return p >= r.Start && p < r.End })
		if got := sel.Kept.Test(p); got != want {
			t.Errorf("page %#x is kept: %v, want %v", p, got, want)
		}
	}
	for _, text := range warn {
		if !slices.ContainsFunc(warnings, func(line string) bool { return strings.Contains(line, text) }) {
			t.Errorf("warnings %q, want one of %q", warnings, text)
		}
	}
	if len(warn) == 0 && len(warnings) > 0 {
		t.Errorf("warnings %q, want none", warnings)
	}
}

// TestDamagedPages has struct pages that cannot be right. They cost their own
// pages' exclusion, and nothing else.
func TestDamagedPages(t *testing.T) {
	const isDamaged = "struct pages are damaged"
	for _, test := range []struct {
		name   string
		blocks []coretest.Block
		fields []coretest.Field
		want   []mem.PFNRange // what is excluded
		warn   []string
	}{
		{"free block of an order too high", []coretest.Block{{PFN: 0x400, Order: 3, Is: buddy}},
			[]coretest.Field{{PFN: 0x400, Name: coretest.PrivateField, Value: 11}}, nil, []string{isDamaged}},
		{"free block of an absurd order", []coretest.Block{{PFN: 0x400, Order: 3, Is: buddy}},
			[]coretest.Field{{PFN: 0x400, Name: coretest.PrivateField, Value: 1<<63 + 3}}, nil, []string{isDamaged}},
		{"free block not aligned", []coretest.Block{{PFN: 0x201, Order: 3, Is: buddy}}, nil, nil, []string{isDamaged}},
		{"compound page of an order too high", []coretest.Block{{PFN: 0x200, Order: 2, Is: lru}},
			[]coretest.Field{{PFN: 0x201, Name: coretest.CompoundOrd, Value: 40}}, nil, []string{isDamaged}},
		{"compound page of order 64", []coretest.Block{{PFN: 0x200, Order: 2, Is: anon}},
			[]coretest.Field{{PFN: 0x201, Name: coretest.CompoundOrd, Value: 64}}, nil, []string{isDamaged}},
		{"compound page of order 255", []coretest.Block{{PFN: 0x200, Order: 2, Is: huge}},
			[]coretest.Field{{PFN: 0x201, Name: coretest.CompoundOrd, Value: 255}}, nil, []string{isDamaged}},
		{"kept page of order 255", []coretest.Block{{PFN: 0x200, Order: 2}},
			[]coretest.Field{{PFN: 0x201, Name: coretest.CompoundOrd, Value: 255}}, nil, nil},
		{"compound page not aligned", []coretest.Block{{PFN: 0x202, Order: 1, Is: lru}},
			[]coretest.Field{{PFN: 0x203, Name: coretest.CompoundOrd, Value: 2}}, nil, []string{isDamaged}},
		{"compound page that ends in another page", []coretest.Block{{PFN: 0x200, Order: 2, Is: lru}},
			[]coretest.Field{{PFN: 0x201, Name: coretest.CompoundOrd, Value: 4}}, nil, []string{isDamaged}},
		{"compound page that reaches beyond all memory", []coretest.Block{{PFN: 0x800, Order: 2, Is: lru}},
			[]coretest.Field{{PFN: 0x801, Name: coretest.CompoundOrd, Value: 11}}, nil, []string{isDamaged}},
		{"head of itself", []coretest.Block{{PFN: 0x200, Order: 1, Is: lru}},
			[]coretest.Field{{PFN: 0x201, Name: coretest.CompoundOrd, Value: 0}}, []mem.PFNRange{frames(0x200, 0x201)}, nil},
		{"tail of nothing", []coretest.Block{{PFN: 0x210, Is: lru}},
			[]coretest.Field{{PFN: 0x210, Name: coretest.CompoundHead, Value: 1}}, nil, nil},
		{"poisoned tail of a page that is kept", []coretest.Block{{PFN: 0x200, Order: 3}},
			[]coretest.Field{{PFN: 0x205, Name: coretest.Flags, Value: 1 << 22}}, []mem.PFNRange{frames(0x205, 0x206)}, nil},
		{"poisoned tail of a page that is not", []coretest.Block{{PFN: 0x200, Order: 3, Is: lru | anon}},
			[]coretest.Field{{PFN: 0x205, Name: coretest.Flags, Value: 1 << 22}}, []mem.PFNRange{frames(0x200, 0x208)}, nil},
		{"slab with a pointer where an anonymous page's is", []coretest.Block{{PFN: 0x200, Is: slab | anon}}, nil, nil, nil},
		{"slab that looks free", []coretest.Block{{PFN: 0x200, Is: slab | buddy}}, nil, nil, nil},
		{"slab that looks offline", []coretest.Block{{PFN: 0x200, Is: slab | offline}}, nil, nil, nil},
		{"hugetlb page of 1 GiB", []coretest.Block{{PFN: 1 << 18, Order: 18, Is: huge}}, nil,
			[]mem.PFNRange{frames(1<<18, 2<<18)}, nil},
		{"hugetlb page of 1 GiB, damaged at the end of its first section",
			[]coretest.Block{{PFN: 1 << 18, Order: 18, Is: huge}},
			[]coretest.Field{{PFN: 1<<18 + 1<<15 - 1, Name: coretest.CompoundHead, Value: 0}}, nil, []string{isDamaged}},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := coretest.Kernel{Era: coretest.Linux6_1(), RAM: testMemory, Blocks: test.blocks, Fields: test.fields}
			if test.blocks[0].PFN >= 1<<18 {
				// A little at the beginning, in the middle and at the end, and
				// something that is not of the page before and behind.
				for _, start := range []mem.PhysAddr{1<<30 - 1<<18, 1500 << 20, 2<<30 - 1<<18} {
					k.RAM = append(k.RAM, mem.PhysRange{Start: start, End: start + 1<<19})
				}
			}
			var warnings []string
			sel := filterCore(t, k.Write(t), pagefilter.Options{
				Level: pagefilter.LevelMax, Threads: 2,
				Warn: func(line string) { warnings = append(warnings, line) },
			})
			checkExcluded(t, sel, test.want, warnings, test.warn)
		})
	}
}

// TestUnreadableStructPages has struct pages that are not there.
func TestUnreadableStructPages(t *testing.T) {
	const cannotRead = "cannot be read"
	cachePages := []coretest.Block{{PFN: 0x200, Is: lru | mapping, Times: 0x200}}
	hugePage := []coretest.Block{{PFN: 0x200, Order: 9, Is: lru | anon}}
	for _, test := range []struct {
		name       string
		structPage int
		blocks     []coretest.Block
		unmapped   mem.PFNRange
		want       []mem.PFNRange
		warn       []string
	}{
		// 64 struct pages of 64 bytes lie in a page.
		{"a hole", 64, cachePages, frames(0x240, 0x280),
			[]mem.PFNRange{frames(0x200, 0x240), frames(0x280, 0x400)}, []string{"64 pages " + cannotRead}},
		{"a hole of two pages", 64, cachePages, frames(0x240, 0x2c0),
			[]mem.PFNRange{frames(0x200, 0x240), frames(0x2c0, 0x400)}, []string{"128 pages " + cannotRead}},
		{"a hole at the beginning", 64, cachePages, frames(0x100, 0x240),
			[]mem.PFNRange{frames(0x240, 0x400)}, []string{cannotRead}},
		// 73.1 struct pages of 56 bytes lie in a page. The one that is missing
		// here has the end of that of 0x249 and the beginning of that of 0x292.
		{"a hole between straddling struct pages", 56, cachePages, frames(0x248, 0x293),
			[]mem.PFNRange{frames(0x200, 0x249), frames(0x293, 0x400)}, []string{cannotRead}},
		{"a huge page with a hole in its middle", 64, hugePage, frames(0x280, 0x2c0),
			[]mem.PFNRange{frames(0x200, 0x400)}, nil},
		{"a huge page with a hole at its end", 64, hugePage, frames(0x3c0, 0x400),
			nil, []string{cannotRead, "damaged"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := coretest.Kernel{
				Era: coretest.Linux6_1(), RAM: testMemory, Blocks: test.blocks,
				StructPage: test.structPage, Unmapped: []mem.PFNRange{test.unmapped},
			}
			var warnings []string
			sel := filterCore(t, k.Write(t), pagefilter.Options{
				Level: pagefilter.LevelMax, Threads: 1,
				Warn: func(line string) { warnings = append(warnings, line) },
			})
			checkExcluded(t, sel, test.want, warnings, test.warn)
		})
	}
}

// TestTruncatedStructPages cuts a file off in the middle of the struct pages
// while it is open. With a mapped window that is a memory fault, without one an
// error.
func TestTruncatedStructPages(t *testing.T) {
	for _, access := range []elfcore.Access{elfcore.Read, elfcore.Map, elfcore.MapRuns} {
		k := coretest.Kernel{
			Era: coretest.Linux6_1(), RAM: testMemory, Vmemmap: 2 << 20,
			Blocks: []coretest.Block{{PFN: 0x700, Is: lru, Times: 0x200}},
			Segments: func(segments []coretest.Segment) []coretest.Segment {
				// The struct pages are a block of 2 MiB: the last thing in the file.
				all := segments[len(segments)-1]
				const start = 2 << 20 // of the block, in the kernel's own memory
				before, block, behind := all, all, all
				before.Data = all.Data[:start]
				block.Phys, block.Data = all.Phys+start, all.Data[start:2*start]
				behind.Phys, behind.Data = all.Phys+2*start, all.Data[2*start:]
				return append(segments[:len(segments)-1], before, behind, block)
			},
		}
		path := k.Write(t)
		core, space, pages := openCore(t, path)
		core.Source.(*elfcore.Core).SetAccess(access)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()-2<<20+0x800*64); err != nil {
			t.Fatal(err)
		}
		var warnings []string
		sel, err := pagefilter.Filter(context.Background(), core, space, pages, pagefilter.Options{
			Level: pagefilter.LevelMax, Threads: 1,
			Warn: func(line string) { warnings = append(warnings, line) },
		})
		if err != nil {
			t.Fatal(err)
		}
		lost := sel.RAM.CountRange(frames(0x800, sel.RAM.Len()))
		checkExcluded(t, sel, []mem.PFNRange{frames(0x700, 0x800)}, warnings,
			[]string{fmt.Sprintf("struct pages of %d pages cannot be read", lost)})
	}
}

// TestDamagedSections loses a section: its pages are kept.
func TestDamagedSections(t *testing.T) {
	k := coretest.Kernel{Era: coretest.Linux6_1(), Blocks: []coretest.Block{
		{PFN: 0x200, Is: lru, Times: 0x10},
		{PFN: 300 << 15, Is: lru, Times: 0x10},
	}}
	k.RAM = append(slices.Clone(coretest.DefaultRAM), mem.PhysRange{Start: 300 << 27, End: 300<<27 + 1<<20})
	c := k.Build()
	binary.LittleEndian.PutUint64(c.Virt(c.Sections+8), 0xffff888123456000) // the second root
	var warnings []string
	sel := filterCore(t, c.Write(t), pagefilter.Options{
		Level: pagefilter.LevelMax, Threads: 1, Warn: func(line string) { warnings = append(warnings, line) },
	})
	checkExcluded(t, sel, []mem.PFNRange{frames(0x200, 0x210)}, warnings, []string{"sections are damaged"})
}

// TestMissingKeys takes from VMCOREINFO what rules need. Those rules keep their
// pages and say so; the others do as before.
func TestMissingKeys(t *testing.T) {
	for _, test := range []struct {
		keys []string
		kept []pagefilter.Class // what is not excluded then
		warn string
	}{
		{[]string{"NUMBER(PG_lru)"}, []pagefilter.Class{cache, cachePrivate}, "PG_lru"},
		{[]string{"NUMBER(PG_slab)"}, []pagefilter.Class{cache, cachePrivate, user}, "PG_slab"},
		{[]string{"NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)"}, []pagefilter.Class{free}, "PAGE_BUDDY_MAPCOUNT_VALUE"},
		{[]string{"LENGTH(zone.free_area)"}, []pagefilter.Class{free}, "zone.free_area"},
		{[]string{"NUMBER(PG_lru)", "LENGTH(zone.free_area)"}, []pagefilter.Class{cache, cachePrivate, free}, "PG_lru"},
	} {
		t.Run(strings.Join(test.keys, " "), func(t *testing.T) {
			k, animals := zooKernel(coretest.Linux6_1())
			k.Info = map[string]string{}
			for _, key := range test.keys {
				k.Info[key] = ""
			}
			var warnings []string
			sel := filterCore(t, k.Write(t), pagefilter.Options{
				Level: pagefilter.LevelMax, Threads: 1, Warn: func(line string) { warnings = append(warnings, line) },
			})
			for _, a := range animals {
				want := len(a.want) == 0 || !slices.ContainsFunc(a.want, func(c pagefilter.Class) bool {
					return !slices.Contains(test.kept, c)
				})
				if got := sel.Kept.CountRange(a.pages()); (got > 0) != want {
					t.Errorf("%d pages of %q are kept, want any: %v", got, a.name, want)
				}
			}
			if !strings.Contains(strings.Join(warnings, "\n"), test.warn) {
				t.Errorf("warnings %q, want one that names %s", warnings, test.warn)
			}
		})
	}
}

// TestAbsurdKeys gives rules numbers that make no sense. They may exclude what
// looks like something, but not the rest.
func TestAbsurdKeys(t *testing.T) {
	k, _ := zooKernel(coretest.Linux6_1())
	built := k.Build()
	core, space, _ := openCore(t, built.Write(t))
	for _, key := range []string{
		"NUMBER(PG_lru)", "NUMBER(PG_private)", "NUMBER(PG_swapcache)", "NUMBER(PG_swapbacked)", "NUMBER(PG_slab)",
		"NUMBER(PG_hwpoison)", "NUMBER(PG_head_mask)", "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)",
		"NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)", "NUMBER(HUGETLB_PAGE_DTOR)", "LENGTH(zone.free_area)",
		"OFFSET(page.compound_order)", "OFFSET(page.compound_dtor)", "OFFSET(folio._folio_order)",
		"OFFSET(folio._folio_dtor)", "NUMBER(PG_hugetlb)", "NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)",
		"NUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)", "NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)",
	} {
		for _, value := range []string{"0", "63", "64", "255", "4294967295", "9223372036854775807", "-1", "-9223372036854775808"} {
			if value[0] == '-' && !strings.HasPrefix(key, "NUMBER") {
				continue // not even VMCOREINFO
			}
			old, _ := core.Info.Value(key)
			text := strings.ReplaceAll(built.Info, key+"="+old+"\n", "") + key + "=" + value + "\n"
			info, err := vmcoreinfo.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			changed := *core
			changed.Info = info
			pages, err := memmap.Find(&changed, space)
			if err != nil {
				t.Fatal(err)
			}
			sel, err := pagefilter.Filter(context.Background(), &changed, space, pages,
				pagefilter.Options{Level: pagefilter.LevelMax, Threads: 1})
			if err != nil {
				t.Errorf("%s=%s: %v", key, value, err)
				continue
			}
			// The kernel's own data is like nothing that any rule looks for.
			own := frames(coretest.KernelPhys.PFN(12), sel.RAM.Len())
			if got, want := sel.Kept.CountRange(own), own.Len(); got != want {
				t.Errorf("%s=%s: %d of the kernel's own pages are kept, want all %d", key, value, got, want)
			}
		}
	}
}

func TestCancel(t *testing.T) {
	core, space, pages := openCore(t, coretest.Kernel{Era: coretest.Linux6_1()}.Write(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sel, err := pagefilter.Filter(ctx, core, space, pages, pagefilter.Options{Level: 31, Threads: 2})
	if !errors.Is(err, context.Canceled) || sel != nil {
		t.Errorf("Filter() = %v, %v, want %v", sel, err, context.Canceled)
	}
}

func TestProgress(t *testing.T) {
	core, space, pages := openCore(t, coretest.Kernel{Era: coretest.Linux6_1()}.Write(t))
	var last mem.PFN
	_, err := pagefilter.Filter(context.Background(), core, space, pages, pagefilter.Options{
		Threads: 1, Progress: func(done mem.PFN) { last = max(last, done) },
	})
	if want := (core.End() + 4095).PFN(12); err != nil || last != want {
		t.Errorf("the last progress is %d, %v, want %d, the pages of the only section", last, err, want)
	}
}

// TestAll selects the pages of cores that nothing is known about.
func TestAll(t *testing.T) {
	for _, test := range []struct {
		name     string
		info     string
		pageSize int
		want     uint64 // pages
	}{
		{"no VMCOREINFO", "", 4096, 5},
		{"pages of 64 KiB", "OSRELEASE=6.1\nPAGESIZE=65536\n", 65536, 2},
	} {
		e := coretest.ELF{Segments: []coretest.Segment{
			{Phys: 0x0, Data: make([]byte, 0x3001)},
			{Phys: 0x1_f000, Data: make([]byte, 0x1000)},
		}}
		if test.info != "" {
			e.Notes = coretest.Note(binary.LittleEndian, "VMCOREINFO", 0, []byte(test.info))
		}
		path := t.TempDir() + "/vmcore"
		if err := os.WriteFile(path, e.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		core, err := vmcore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer core.Close()
		sel := pagefilter.All(core, pagefilter.LevelMax)
		if sel.PageSize != test.pageSize || sel.Kept.Count() != test.want || sel.RAM.Count() != test.want || sel.Level != 1 {
			t.Errorf("%s: All() = %d of %d pages of %d bytes at level %d, want %d of %d bytes at level 1",
				test.name, sel.Kept.Count(), sel.RAM.Count(), sel.PageSize, sel.Level, test.want, test.pageSize)
		}
	}
}
