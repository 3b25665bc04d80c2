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
	present  *mem.Bitmap // page frames whose sections are looked for
	pages    mem.PFN     // page frames in a section
	perRoot  uint64
	extreme  bool
	count    uint64 // of sections that there can be
}

// findSparse handles CONFIG_SPARSEMEM and CONFIG_SPARSEMEM_EXTREME. VMCOREINFO
// has the address of the array; a symbol table has that of the pointer to it.
func (m *Map) findSparse(core *vmcore.Core, space *addrxlat.Space, symbol mem.VirtAddr, present *mem.Bitmap) error {
	layout, err := kstruct.ReadSections(m.Kernel, core.Machine())
	if err != nil {
		return err
	}
	s := newSparse(space, layout, core.Info.PageShift(), present)
	err = m.walkSparse(s, symbol)
	if err == nil || !s.extreme {
		return wrapSparse(err)
	}
	array, pointerErr := readPointer(space, symbol)
	if pointerErr != nil {
		return wrapSparse(err)
	}
	if m.walkSparse(s, array) != nil {
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

func newSparse(space *addrxlat.Space, layout kstruct.Sections, pageShift uint, present *mem.Bitmap) *sparse {
	s := &sparse{
		space: space, layout: layout, pageSize: 1 << pageShift, present: present,
		pages: 1 << (layout.SizeBits - pageShift), perRoot: 1,
	}
	s.count = 1 << (layout.PhysBits - layout.SizeBits)
	perPage := max(s.pageSize/uint64(layout.SectionSize), 1)
	if layout.Roots == 0 || layout.Roots == (s.count+perPage-1)/perPage {
		s.extreme, s.perRoot = true, perPage
	} else {
		s.count = min(s.count, layout.Roots)
	}
	return s
}

// walkSparse looks at every section that has pages, taking array for the address
// of the mem_section array.
func (m *Map) walkSparse(s *sparse, array mem.VirtAddr) error {
	m.Sections, m.Damaged = nil, 0
	for p := s.present.NextSet(0); p < s.present.Len(); {
		section := uint64(p / s.pages)
		if section >= s.count {
			break
		}
		first := section - section%s.perRoot
		n := min(s.perRoot, s.count-first)
		root, err := s.root(array, first/s.perRoot)
		if err == nil && root != 0 {
			err = m.readRoot(s, root, first, n)
		}
		if err != nil {
			m.Damaged += int(n)
		}
		p = s.present.NextSet(mem.PFN(first+n) * s.pages)
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
func (m *Map) readRoot(s *sparse, root mem.VirtAddr, first, n uint64) error {
	buf := make([]byte, n*uint64(s.layout.SectionSize))
	if err := s.space.ReadVirt(buf, root); err != nil {
		return err
	}
	for i := range n {
		start := mem.PFN(first+i) * s.pages
		end := min(start+s.pages, s.present.Len())
		if s.present.CountRange(mem.PFNRange{Start: start, End: end}) == 0 {
			continue
		}
		coded := s.space.Order().Uint64(buf[int(i)*s.layout.SectionSize+s.layout.MemMap:])
		if coded&sectionPresent == 0 || coded&sectionHasMemMap == 0 {
			continue // a hole, or hot-removed
		}
		m.Sections = append(m.Sections, Section{
			PFNRange: mem.PFNRange{Start: start, End: end},
			Pages:    mem.VirtAddr(coded&^(s.pageSize-1)) + mem.VirtAddr(uint64(start)*uint64(m.Page.Size)),
		})
	}
	return nil
}
