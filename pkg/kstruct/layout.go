// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kstruct

import (
	"errors"
	"fmt"
)

// ErrUnknownLayout says that a layout is missing or makes no sense.
var ErrUnknownLayout = errors.New("kernel's memory layout not understood")

// maxStructPage bounds SIZE(page) in bytes. It is 64 on 64-bit kernels, up to
// 96 with debug options.
const maxStructPage = 512

// Page is the layout of struct page (include/linux/mm_types.h): byte offsets
// of its fields from its start. All fields lie within Size.
type Page struct {
	Size     int
	Flags    int // unsigned long
	Mapping  int // pointer; bit 0 set: anonymous memory
	MapCount int // u32 _mapcount, in a union with page_type
	Private  int // unsigned long; the order of a free block
	// CompoundHead is the unsigned long whose bit 0 says that the page is a
	// tail of a compound page. 7.1 renamed it compound_info (f50c0156).
	CompoundHead int
}

// ReadPage returns the layout of struct page, or an error that wraps
// ErrUnknownLayout and names the key that is missing or absurd.
func ReadPage(k *Kernel) (Page, error) {
	k.Need("SIZE(page)", "OFFSET(page.flags)", "OFFSET(page.mapping)", "OFFSET(page._mapcount)",
		"OFFSET(page.private)", "OFFSET(page.compound_head) OFFSET(page.compound_info)")
	r := reader{k: k}
	p := Page{Size: int(r.size("page", maxStructPage))}
	p.Flags = r.offset(p.Size, wordSize, "page.flags")
	p.Mapping = r.offset(p.Size, wordSize, "page.mapping")
	p.MapCount = r.offset(p.Size, 4, "page._mapcount")
	p.Private = r.offset(p.Size, wordSize, "page.private")
	p.CompoundHead = r.offset(p.Size, wordSize, "page.compound_head", "page.compound_info")
	return p, r.err
}

// wordSize is the size in bytes of an unsigned long. There is no address
// translation for machines on which it is 4.
const wordSize = 8

// Sections is the layout of the sparse memory model (include/linux/mmzone.h).
type Sections struct {
	// SectionSize is the size in bytes of struct mem_section, MemMap the byte
	// offset of its field section_mem_map.
	SectionSize, MemMap int
	// SizeBits is the base-2 logarithm of the bytes of memory in a section.
	SizeBits uint
	// PhysBits is how many bits a physical address can have.
	PhysBits uint
	// Roots is the length of the array mem_section; 0 if unknown.
	Roots uint64
}

// ReadSections returns the layout of the sparse memory model of a kernel for
// the given architecture, or an error like that of ReadPage.
func ReadSections(k *Kernel, machine string) (Sections, error) {
	k.Need("SIZE(mem_section)", "OFFSET(mem_section.section_mem_map)")
	r := reader{k: k}
	s := Sections{SectionSize: int(r.size("mem_section", 4096))}
	s.MemMap = r.offset(s.SectionSize, wordSize, "mem_section.section_mem_map")
	s.Roots, _ = k.Length("mem_section")
	defSize, defPhys := sectionDefaults(k, machine)
	s.SizeBits = r.bits("SECTION_SIZE_BITS", defSize)
	s.PhysBits = r.bits("MAX_PHYSMEM_BITS", defPhys)
	if r.err == nil && (s.SizeBits < k.info.PageShift()+6 || s.PhysBits < s.SizeBits || s.PhysBits > 56) {
		r.err = fmt.Errorf("%w: sections of 2^%d bytes in 2^%d", ErrUnknownLayout, s.SizeBits, s.PhysBits)
	}
	return s, r.err
}

// sectionDefaults returns SECTION_SIZE_BITS and MAX_PHYSMEM_BITS of kernels that
// do not state them in VMCOREINFO: before 5.14 (4f5aecdff25f) and before 5.8
// (1d50e5d0c505). They are in arch/*/include/asm/sparsemem.h.
func sectionDefaults(k *Kernel, machine string) (size, phys int64) {
	if machine != "x86_64" {
		return 0, 0
	}
	if l5, _ := k.Number("pgtable_l5_enabled"); l5 != 0 {
		return 27, 52
	}
	return 27, 46
}

// reader collects the first error of several look-ups.
type reader struct {
	k   *Kernel
	err error
}

func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{ErrUnknownLayout}, args...)...)
	}
}

func (r *reader) size(name string, limit uint64) uint64 {
	n, ok := r.k.Size(name)
	if !ok {
		r.fail("no SIZE(%s) in VMCOREINFO or BTF", name)
		return 0
	}
	if n == 0 || n > limit {
		r.fail("SIZE(%s) is %d", name, n)
		return 0
	}
	return n
}

// offset returns the first of names that is known. The field of width bytes
// must lie within size bytes, aligned to its width.
func (r *reader) offset(size, width int, names ...string) int {
	for _, name := range names {
		n, ok := r.k.Offset(name)
		if !ok {
			continue
		}
		if n > uint64(size) || uint64(size)-n < uint64(width) || n%uint64(width) != 0 {
			r.fail("OFFSET(%s) is %d in a structure of %d bytes", name, n, size)
			return 0
		}
		return int(n)
	}
	r.fail("no OFFSET(%s) in VMCOREINFO or BTF", names[0])
	return 0
}

func (r *reader) bits(name string, def int64) uint {
	n, ok := r.k.Number(name)
	if !ok {
		n = def
	}
	if n <= 0 || n > 64 {
		r.fail("NUMBER(%s) is %d", name, n)
		return 0
	}
	return uint(n)
}
