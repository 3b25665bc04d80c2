// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package addrxlat

import (
	"fmt"

	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// x86KernelMap is where the kernel image is mapped, whatever KASLR does:
// __START_KERNEL_map of arch/x86/include/asm/page_64_types.h. KASLR moves the
// image within the range and, with phys_base, in physical memory.
const x86KernelMap = 0xffffffff80000000

// setX86_64 prepares the translation for x86_64. Paging is that of the Intel
// Software Developer's Manual, volume 3, chapter 4: 4 or 5 levels of 512 entries,
// pages of 4 KiB, 2 MiB and 1 GiB. The keys are written by
// arch_crash_save_vmcoreinfo() in arch/x86/kernel/vmcore_info_64.c.
func (s *Space) setX86_64(info *vmcoreinfo.Info) error {
	physBase, err := x86PhysBase(s.core.Source, info)
	if err != nil {
		return err
	}
	top, ok := info.Symbol("init_top_pgt")
	if !ok {
		top, ok = info.Symbol("swapper_pg_dir") // a macro for the former
	}
	if !ok {
		return fmt.Errorf("%w: VMCOREINFO has no SYMBOL(init_top_pgt)", ErrUnsupported)
	}
	if top < x86KernelMap || top%maxTableSize != 0 {
		return fmt.Errorf("%w: VMCOREINFO has SYMBOL(init_top_pgt)=%v, not a page of the kernel image", ErrUnsupported, top)
	}
	s.table = pageTable{
		// phys_base may be negative; the sum is meant modulo 2^64.
		root:     mem.PhysAddr(uint64(top) - x86KernelMap + uint64(physBase)),
		shifts:   []uint{12, 21, 30, 39, 48},
		present:  1 << 0,
		large:    1 << 7, // PS; in an entry of level 1 this bit is PAT
		addr:     1<<52 - 1<<12,
		maxLarge: 3,
	}
	if l5, ok := info.Number("pgtable_l5_enabled"); ok && l5 != 0 {
		s.table.shifts = append(s.table.shifts, 57)
	}
	if sme, ok := info.Number("sme_mask"); ok {
		// The bit that says "encrypted" lies among the address bits.
		s.table.addr &^= uint64(sme)
	}
	if size, ok := info.Number("KERNEL_IMAGE_SIZE"); ok && size > 0 && size <= 1<<30 {
		s.linear = []linearMap{{
			start: x86KernelMap,
			end:   x86KernelMap + mem.VirtAddr(size),
			phys:  mem.PhysAddr(physBase),
		}}
	}
	return nil
}

// x86PhysBase returns where x86KernelMap would lie in physical memory, a number
// modulo 2^64. The program header of the kernel image shows it, too.
func x86PhysBase(source vmcore.Source, info *vmcoreinfo.Info) (int64, error) {
	if n, ok := info.Number("phys_base"); ok {
		return n, nil
	}
	if elf, ok := source.(interface{ Segments() []elfcore.Segment }); ok {
		for _, s := range elf.Segments() {
			if s.Virt >= x86KernelMap {
				return int64(uint64(s.Phys) - (uint64(s.Virt) - x86KernelMap)), nil
			}
		}
	}
	return 0, fmt.Errorf("%w: VMCOREINFO has no NUMBER(phys_base)", ErrUnsupported)
}
