// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package memmap

import (
	"fmt"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// Flags in the low bits of section_mem_map (include/linux/mmzone.h). The rest
// of it is the address of the section's struct pages, less what the section's
// first page frame number contributes; that address is a multiple of the page
// size, so that it does not matter how many flags a kernel has.
const (
	sectionPresent   = 1 << 0 // SECTION_MARKED_PRESENT
	sectionHasMemMap = 1 << 1 // SECTION_HAS_MEM_MAP
)

// sparse is a walk over the sections of CONFIG_SPARSEMEM. They are structs of
// type mem_section, in arrays of perRoot ("roots"). With SPARSEMEM_EXTREME,
// mem_section is an array of pointers to roots of one page each; without, it
// is the roots themselves.
type sparse struct {
	space    *addrxlat.Space
	layout   kstruct.Sections
	pageSize uint64
	perRoot  uint64
	extreme  bool
	count    uint64 // of sections to look at
}

// findSparse handles CONFIG_SPARSEMEM and CONFIG_SPARSEMEM_EXTREME. VMCOREINFO
// has the address of the array; a symbol table has that of the pointer to it.
func (m *Map) findSparse(core *vmcore.Core, space *addrxlat.Space, symbol mem.VirtAddr, end mem.PFN) error {
	layout, err := kstruct.ReadSections(m.Kernel, core.Machine())
	if err != nil {
		return err
	}
	s := newSparse(space, layout, core.Info.PageSize(), core.Info.PageShift(), end)
	err = m.walkSparse(s, symbol, end)
	if err == nil || !s.extreme {
		return wrapSparse(err)
	}
	array, pointerErr := readPointer(space, symbol)
	if pointerErr != nil {
		return wrapSparse(err)
	}
	if m.walkSparse(s, array, end) != nil {
		return wrapSparse(err)
	}
	return nil
}

func wrapSparse(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: mem_section: %w", kstruct.ErrUnknownLayout, err)
}

func newSparse(space *addrxlat.Space, layout kstruct.Sections, pageSize uint64, pageShift uint, end mem.PFN) *sparse {
	s := &sparse{space: space, layout: layout, pageSize: pageSize, perRoot: 1}
	all := uint64(1) << (layout.PhysBits - layout.SizeBits)
	perPage := max(pageSize/uint64(layout.SectionSize), 1)
	if layout.Roots == 0 || layout.Roots == (all+perPage-1)/perPage {
		s.extreme, s.perRoot = true, perPage
	}
	sectionPages := uint64(1) << (layout.SizeBits - pageShift)
	s.count = min(all, (uint64(end)+sectionPages-1)/sectionPages)
	if layout.Roots != 0 {
		s.count = min(s.count, layout.Roots*s.perRoot)
	}
	return s
}

// walkSparse looks at every section, taking array for the address of the
// mem_section array.
func (m *Map) walkSparse(s *sparse, array mem.VirtAddr, end mem.PFN) error {
	m.Sections, m.Damaged = nil, 0
	for first := uint64(0); first < s.count; first += s.perRoot {
		n := min(s.perRoot, s.count-first)
		root, err := s.root(array, first/s.perRoot)
		if err == nil && root != 0 {
			err = m.readRoot(s, root, first, n, end)
		}
		if err != nil {
			m.Damaged += int(n)
		}
	}
	if len(m.Sections) == 0 {
		return errNoSections
	}
	return nil
}

// root returns the address of the i-th root; 0 if there is none.
func (s *sparse) root(array mem.VirtAddr, i uint64) (mem.VirtAddr, error) {
	if !s.extreme {
		return array + mem.VirtAddr(i*uint64(s.layout.SectionSize)), nil
	}
	return readPointer(s.space, array+mem.VirtAddr(8*i))
}

// readRoot adds the n sections from number first on, whose structs are at root.
func (m *Map) readRoot(s *sparse, root mem.VirtAddr, first, n uint64, end mem.PFN) error {
	buf := make([]byte, n*uint64(s.layout.SectionSize))
	if err := s.space.ReadVirt(buf, root); err != nil {
		return err
	}
	sectionPages := mem.PFN(1) << s.layout.SizeBits / mem.PFN(s.pageSize)
	for i := range n {
		coded := s.space.Order().Uint64(buf[int(i)*s.layout.SectionSize+s.layout.MemMap:])
		if coded&sectionPresent == 0 || coded&sectionHasMemMap == 0 {
			continue // a hole, or hot-removed
		}
		start := mem.PFN(first+i) * sectionPages
		m.Sections = append(m.Sections, Section{
			PFNRange: mem.PFNRange{Start: start, End: min(start+sectionPages, end)},
			Pages:    mem.VirtAddr(coded&^(s.pageSize-1)) + mem.VirtAddr(uint64(start)*uint64(m.Page.Size)),
		})
	}
	return nil
}
