// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package memmap finds the crashed kernel's struct pages: the array, or the
// many arrays, with one entry for each page frame. Where they lie depends on
// the kernel's memory model. On sparsemem (with or without vmemmap, with one or
// two levels of sections) every section of physical memory has its own array; on
// flatmem there is one for all memory.
package memmap

import (
	"errors"
	"fmt"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// Section is a range of page frames whose struct pages are one array in
// virtual memory.
type Section struct {
	PFNRange mem.PFNRange
	// Pages is the address of the struct page of the first page frame.
	Pages mem.VirtAddr
}

// Map is where the struct pages of a core are.
type Map struct {
	// Kernel is what is known of the crashed kernel's layout.
	Kernel *kstruct.Kernel
	// Page is the layout of each of them.
	Page kstruct.Page
	// Sections are sorted by page frame and disjoint. Their bounds are multiples
	// of 64 page frames, but for the end of the last one.
	Sections []Section
	// Damaged is how many sections could not be read. Nothing is known of
	// their page frames.
	Damaged int
}

// Find finds the struct pages of all page frames whose contents the core has.
// It fails, with an error that wraps kstruct.ErrUnknownLayout, if none are found;
// sections that cannot be read are counted and left out.
func Find(core *vmcore.Core, space *addrxlat.Space) (*Map, error) {
	if core.Info == nil {
		return nil, fmt.Errorf("%w: %w", kstruct.ErrUnknownLayout, core.InfoErr)
	}
	kernel := kstruct.New(core.Info, space, core.Order())
	page, err := kstruct.ReadPage(kernel)
	if err != nil {
		return nil, err
	}
	kernel.Need("SYMBOL(mem_section) SYMBOL(mem_map)")
	m := &Map{Kernel: kernel, Page: page}
	present := presentPages(core)
	if symbol, ok := kernel.Symbol("mem_section"); ok {
		return m, m.findSparse(core, space, symbol, present)
	}
	if symbol, ok := kernel.Symbol("mem_map"); ok {
		return m, m.findFlat(space, symbol, present)
	}
	return nil, fmt.Errorf("%w: neither SYMBOL(mem_section) nor SYMBOL(mem_map) is known", kstruct.ErrUnknownLayout)
}

// presentPages returns the page frames whose contents the core has. Only where
// they are are sections looked for: there may be terabytes in between, or
// petabytes if a header lies.
func presentPages(core *vmcore.Core) *mem.Bitmap {
	shift := core.Info.PageShift()
	end := (core.End() + mem.PhysAddr(core.Info.PageSize()-1)).PFN(shift)
	present := mem.NewBitmap(end)
	core.FillPresent(present, shift)
	return present
}

// chunkPages is how many page frames of a flat memory map make a Section, so
// that work can be shared out by Section as with sparsemem.
const chunkPages = 1 << 15

// findFlat handles CONFIG_FLATMEM: mem_map points to one array.
func (m *Map) findFlat(space *addrxlat.Space, symbol mem.VirtAddr, present *mem.Bitmap) error {
	array, err := readPointer(space, symbol)
	if err != nil {
		return fmt.Errorf("%w: mem_map: %w", kstruct.ErrUnknownLayout, err)
	}
	for p := present.NextSet(0); p < present.Len(); {
		start := p &^ (chunkPages - 1)
		end := min(start+chunkPages, present.Len())
		m.Sections = append(m.Sections, Section{
			PFNRange: mem.PFNRange{Start: start, End: end},
			Pages:    array + mem.VirtAddr(uint64(start)*uint64(m.Page.Size)),
		})
		p = present.NextSet(end)
	}
	return nil
}

func readPointer(space *addrxlat.Space, addr mem.VirtAddr) (mem.VirtAddr, error) {
	var buf [8]byte
	if err := space.ReadVirt(buf[:], addr); err != nil {
		return 0, err
	}
	return mem.VirtAddr(space.Order().Uint64(buf[:])), nil
}

// errNoSections says that a candidate for the section array holds none.
var errNoSections = errors.New("no section with a memory map found")
