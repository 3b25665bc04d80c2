// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package addrxlat

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// Of architectures whose page tables are not walked here, the memory that the
// kernel has mapped in one piece can be read all the same: its image and its
// map of all memory. That is enough for the log and for headers. The vmemmap is
// not in there, so nothing can be filtered.

// setLinear prepares that, and checks it against the release that the kernel
// has in its memory: where the formulas of an architecture have changed, or
// do not hold for this kernel, it fails with ErrUnsupported.
func (s *Space) setLinear(info *vmcoreinfo.Info) error {
	s.table = pageTable{shifts: []uint{0}} // of no levels: maps nothing
	s.linear = linearMaps(s.core.Machine(), info)
	if len(s.linear) == 0 {
		return fmt.Errorf("%w: architecture %s", ErrUnsupported, s.core.Machine())
	}
	s.walker = s.NewWalker()
	if release := s.release(info); release != info.OSRelease() {
		return fmt.Errorf("%w: architecture %s, whose kernel image is not where it is looked for", ErrUnsupported, s.core.Machine())
	}
	return nil
}

// linearMaps returns the ranges that an architecture maps in one piece.
func linearMaps(machine string, info *vmcoreinfo.Info) []linearMap {
	number := func(name string) uint64 {
		n, _ := info.Number(name)
		return uint64(n)
	}
	switch machine {
	case "s390x":
		// Since 6.10 the image and the identity map may have been moved
		// (arch/s390/kernel/crash_dump.c); before, addresses are physical.
		image, imagePhys, identity := hexValue(info, "KERNELOFFSET"), hexValue(info, "KERNELOFFPHYS"), hexValue(info, "IDENTITYBASE")
		if imagePhys != 0 {
			return []linearMap{
				{mem.VirtAddr(image), mem.VirtAddr(image + 1<<30), mem.PhysAddr(imagePhys)},
				{mem.VirtAddr(identity), mem.VirtAddr(identity + 1<<46), 0},
			}
		}
		return []linearMap{{0, 1 << 46, 0}}
	case "aarch64":
		// The map of all memory is the lower half of the kernel's addresses, the
		// image lies in the upper one (Documentation/arch/arm64/memory.rst).
		bits := number("VA_BITS")
		if bits < 36 || bits > 52 {
			return nil
		}
		start, middle := -(uint64(1) << bits), -(uint64(1) << (bits - 1))
		return []linearMap{
			{mem.VirtAddr(start), mem.VirtAddr(middle), mem.PhysAddr(number("PHYS_OFFSET"))},
			{mem.VirtAddr(middle), 1<<64 - 1, mem.PhysAddr(middle - number("kimage_voffset"))},
		}
	case "riscv64":
		pageOffset, image := number("PAGE_OFFSET"), number("KERNEL_LINK_ADDR")
		return []linearMap{
			{mem.VirtAddr(image), mem.VirtAddr(image + 1<<30), mem.PhysAddr(image - number("va_kernel_pa_offset"))},
			{mem.VirtAddr(pageOffset), mem.VirtAddr(pageOffset + 1<<37), mem.PhysAddr(number("phys_ram_base"))},
		}
	case "ppc64", "ppc64le":
		return []linearMap{{0xc << 60, 0xc<<60 + 1<<51, 0}}
	case "loongarch64":
		return []linearMap{{0x9 << 60, 0x9<<60 + 1<<48, 0}, {0x8 << 60, 0x8<<60 + 1<<48, 0}}
	case "i686", "ppc":
		return []linearMap{{0xc0000000, 1 << 32, 0}} // CONFIG_PAGE_OFFSET as nearly all have it
	}
	return nil
}

// hexValue returns the value of a VMCOREINFO line that is a hexadecimal number;
// 0 if there is none.
func hexValue(info *vmcoreinfo.Info, key string) uint64 {
	text, _ := info.Value(key)
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// release reads the kernel's release from its memory: the third of the strings
// of init_uts_ns.name, each of 65 bytes; "" if it cannot be read.
func (s *Space) release(info *vmcoreinfo.Info) string {
	symbol, ok := info.Symbol("init_uts_ns")
	offset, known := info.Offset("uts_namespace.name")
	if !known {
		offset = 4 // behind a reference count, before 5.11
	}
	var buf [65]byte
	if !ok || offset > 4096 || s.ReadVirt(buf[:], symbol+mem.VirtAddr(offset+2*65)) != nil {
		return ""
	}
	text, _, _ := strings.Cut(string(buf[:]), "\x00")
	return text
}
