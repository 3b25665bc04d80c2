// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package memmap_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// find finds the struct pages of the core in b.
func find(t testing.TB, b []byte) (*vmcore.Core, *memmap.Map, error) {
	t.Helper()
	source, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	core := &vmcore.Core{Source: source, Path: "vmcore"}
	note, _ := elfcore.FindVMCoreInfo(source.Notes(), source.Order())
	if core.Info, err = vmcoreinfo.Parse(note.Desc); err != nil {
		t.Fatal(err)
	}
	space, err := addrxlat.New(core)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := memmap.Find(core, space)
	return core, pages, err
}

// farApart is a machine with memory in sections 0, 3 and 300, the second root of
// SPARSEMEM_EXTREME.
func farApart(model coretest.Model) coretest.Kernel {
	k := coretest.Kernel{Era: coretest.Linux6_1(), Model: model, RAM: slices.Clone(coretest.DefaultRAM)}
	k.RAM = append(k.RAM, mem.PhysRange{Start: 3<<27 + 1<<20, End: 3<<27 + 2<<20})
	if model != coretest.Static {
		k.RAM = append(k.RAM, mem.PhysRange{Start: 300 << 27, End: 300<<27 + 1<<20})
	}
	return k
}

func TestFind(t *testing.T) {
	for _, test := range []struct {
		name   string
		model  coretest.Model
		levels int
	}{
		{"extreme", coretest.Extreme, 4},
		{"extreme, 5 levels", coretest.Extreme, 5},
		{"pointer", coretest.Pointer, 4},
		{"static", coretest.Static, 4},
		{"scattered", coretest.Scattered, 4},
		{"flat", coretest.Flat, 4},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := farApart(test.model)
			k.Levels = test.levels
			built := k.Build()
			core, pages, err := find(t, built.File)
			if err != nil {
				t.Fatal(err)
			}
			if pages.Damaged != 0 {
				t.Errorf("Damaged = %d, want 0", pages.Damaged)
			}
			checkSections(t, core, pages, built)
		})
	}
}

// checkSections checks that every page of the core has its struct page, where it
// ought to be, and that sections are sorted and do not overlap.
func checkSections(t *testing.T, core *vmcore.Core, pages *memmap.Map, built *coretest.Core) {
	t.Helper()
	end := mem.PFN(0)
	for _, s := range pages.Sections {
		if s.PFNRange.Start < end || s.PFNRange.Len() == 0 {
			t.Errorf("section %#x after page frame %#x", s.PFNRange, end)
		}
		end = s.PFNRange.End
	}
	present := mem.NewBitmap(core.End().PFN(12))
	core.FillPresent(present, 12)
	for p := present.NextSet(0); p < present.Len(); p = present.NextSet(p + 1) {
		i := slices.IndexFunc(pages.Sections, func(s memmap.Section) bool { return p >= s.PFNRange.Start && p < s.PFNRange.End })
		if i < 0 {
			t.Fatalf("no section has page frame %#x", p)
		}
		s := pages.Sections[i]
		got := s.Pages + mem.VirtAddr(uint64(p-s.PFNRange.Start)*uint64(pages.Page.Size))
		if want := built.PageAddr(p); got != want {
			t.Fatalf("struct page of %#x is at %v, want %v", p, got, want)
		}
	}
}

// TestDamaged damages sections and the arrays that lead to them. The others are
// found.
func TestDamaged(t *testing.T) {
	le := binary.LittleEndian
	for _, test := range []struct {
		name    string
		damage  func(c *coretest.Core)
		want    []mem.PFN // first page frames of the sections that are left
		damaged bool
	}{
		{"none", func(*coretest.Core) {}, []mem.PFN{0, 3 << 15, 300 << 15}, false},
		{"section not present", func(c *coretest.Core) {
			root := mem.VirtAddr(le.Uint64(c.Virt(c.Sections)))
			le.PutUint64(c.Virt(root+3*16), 2)
		}, []mem.PFN{0, 300 << 15}, false},
		{"section without a memory map", func(c *coretest.Core) {
			root := mem.VirtAddr(le.Uint64(c.Virt(c.Sections)))
			le.PutUint64(c.Virt(root+3*16), 1)
		}, []mem.PFN{0, 300 << 15}, false},
		{"root missing", func(c *coretest.Core) { le.PutUint64(c.Virt(c.Sections), 0) }, []mem.PFN{300 << 15}, false},
		{"root outside memory", func(c *coretest.Core) { le.PutUint64(c.Virt(c.Sections), 0xffff888123456000) }, []mem.PFN{300 << 15}, true},
		{"root at the end of all addresses", func(c *coretest.Core) { le.PutUint64(c.Virt(c.Sections+8), 1<<64-8) }, []mem.PFN{0, 3 << 15}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := farApart(coretest.Extreme).Build()
			test.damage(c)
			_, pages, err := find(t, c.File)
			if err != nil {
				t.Fatal(err)
			}
			var got []mem.PFN
			for _, s := range pages.Sections {
				got = append(got, s.PFNRange.Start)
			}
			if !slices.Equal(got, test.want) || (pages.Damaged > 0) != test.damaged {
				t.Errorf("sections at %#x, %d damaged, want %#x, damaged %v", got, pages.Damaged, test.want, test.damaged)
			}
		})
	}
}

// TestFindBad changes VMCOREINFO so that struct pages cannot be found, or could
// only be found by reading what is not there.
func TestFindBad(t *testing.T) {
	for _, test := range []struct {
		name, key, value string
		want             string // part of the error
	}{
		{"no size", "SIZE(page)", "", "SIZE(page)"},
		{"size 0", "SIZE(page)", "0", "SIZE(page)"},
		{"absurd size", "SIZE(page)", "1000000", "SIZE(page)"},
		{"huge size", "SIZE(page)", "18446744073709551615", "SIZE(page)"},
		{"no flags", "OFFSET(page.flags)", "", "OFFSET(page.flags)"},
		{"flags behind the struct", "OFFSET(page.flags)", "64", "OFFSET(page.flags)"},
		{"flags across its end", "OFFSET(page.flags)", "60", "OFFSET(page.flags)"},
		{"flags far away", "OFFSET(page.flags)", "18446744073709551615", "OFFSET(page.flags)"},
		{"no mapping", "OFFSET(page.mapping)", "", "OFFSET(page.mapping)"},
		{"no mapcount", "OFFSET(page._mapcount)", "", "OFFSET(page._mapcount)"},
		{"mapcount across the end", "OFFSET(page._mapcount)", "62", "OFFSET(page._mapcount)"},
		{"no private", "OFFSET(page.private)", "", "OFFSET(page.private)"},
		{"no compound_head", "OFFSET(page.compound_head)", "", "OFFSET(page.compound_head)"},
		{"no memory model", "SYMBOL(mem_section)", "", "mem_section"},
		{"no section size", "SIZE(mem_section)", "", "SIZE(mem_section)"},
		{"section size 0", "SIZE(mem_section)", "0", "SIZE(mem_section)"},
		{"absurd section size", "SIZE(mem_section)", "4194304", "SIZE(mem_section)"},
		{"no section_mem_map", "OFFSET(mem_section.section_mem_map)", "", "section_mem_map"},
		{"section_mem_map behind the struct", "OFFSET(mem_section.section_mem_map)", "16", "section_mem_map"},
		{"sections of 0 bits", "NUMBER(SECTION_SIZE_BITS)", "0", "SECTION_SIZE_BITS"},
		{"sections of -1 bits", "NUMBER(SECTION_SIZE_BITS)", "-1", "SECTION_SIZE_BITS"},
		{"sections of a page", "NUMBER(SECTION_SIZE_BITS)", "12", "sections"},
		{"sections larger than memory", "NUMBER(SECTION_SIZE_BITS)", "60", "sections"},
		{"memory of 63 bits", "NUMBER(MAX_PHYSMEM_BITS)", "63", "sections"},
		{"array that is not there", "SYMBOL(mem_section)", "ffff88800dead000", "mem_section"},
		{"array of zeros", "SYMBOL(mem_section)", "ffff888000100000", "mem_section"},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := coretest.Kernel{Era: coretest.Linux6_1(), Info: map[string]string{test.key: test.value}}
			_, _, err := find(t, k.Build().File)
			if !errors.Is(err, kstruct.ErrUnknownLayout) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Find() = %v, want an error that wraps %v and names %s", err, kstruct.ErrUnknownLayout, test.want)
			}
		})
	}
}

// TestFind32 has the one key that could make a 64-bit kernel look like one
// with words of 32 bits, and fields at the end of struct page.
func TestFind32(t *testing.T) {
	k := coretest.Kernel{Era: coretest.Linux6_1(), Info: map[string]string{
		"SIZE(list_head)": "8", "OFFSET(page.flags)": "60",
	}}
	if _, _, err := find(t, k.Build().File); !errors.Is(err, kstruct.ErrUnknownLayout) {
		t.Errorf("Find() = %v, want an error that wraps %v", err, kstruct.ErrUnknownLayout)
	}
}

// TestFindHuge has a segment at the end of all physical addresses and says that
// sections are small. The sections there must not be looked at one by one.
func TestFindHuge(t *testing.T) {
	for _, model := range []coretest.Model{coretest.Extreme, coretest.Static, coretest.Flat} {
		k := coretest.Kernel{
			Era: coretest.Linux6_1(), Model: model,
			Info: map[string]string{"NUMBER(SECTION_SIZE_BITS)": "20", "NUMBER(MAX_PHYSMEM_BITS)": "52"},
			Segments: func(segments []coretest.Segment) []coretest.Segment {
				return append(segments,
					coretest.Segment{Phys: 1<<52 - 4096, Data: make([]byte, 4096)},
					coretest.Segment{Phys: 1 << 51, MemSize: 1 << 50}) // all of it left out
			},
		}
		if model == coretest.Static {
			k.Info["LENGTH(mem_section)"] = "4294967296"
		}
		_, pages, err := find(t, k.Build().File)
		if err != nil && !errors.Is(err, kstruct.ErrUnknownLayout) {
			t.Errorf("model %d: Find() = %v, want nil or %v", model, err, kstruct.ErrUnknownLayout)
		}
		if pages != nil && len(pages.Sections) > 100 {
			t.Errorf("model %d: %d sections for a few MiB of memory, want fewer", model, len(pages.Sections))
		}
	}
}
