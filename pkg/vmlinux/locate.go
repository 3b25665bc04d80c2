// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmlinux

import (
	"fmt"
	"iter"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// image is a kernel image that is looked for in the memory of a core.
type image struct {
	core   *vmcore.Core
	linked *vmcoreinfo.Info
	stext  mem.VirtAddr // where the image begins, as linked
	// uts is the address of the struct new_utsname in init_uts_ns, as linked: what
	// shows that the image is found.
	uts mem.VirtAddr
}

// place is where an image may be: the addresses of its first byte.
type place struct {
	virt mem.VirtAddr
	phys mem.PhysAddr
}

// locate finds the kernel that linked describes in the memory of core, which
// does not say where it is.
func locate(core *vmcore.Core, linked *vmcoreinfo.Info, stext mem.VirtAddr) (*vmcoreinfo.Info, error) {
	uts, ok := linked.Symbol("init_uts_ns")
	if !ok || uts < stext {
		return nil, fmt.Errorf("%w: no SYMBOL(init_uts_ns) of an x86_64 kernel", vmcoreinfo.ErrInvalid)
	}
	name, ok := linked.Offset("uts_namespace.name")
	if !ok || name > 4096 {
		name = 4 // before 5.11 (9a56493f6942): behind a reference count
	}
	m := image{core: core, linked: linked, stext: stext, uts: uts + mem.VirtAddr(name)}
	for at := range m.places() {
		for levels := range 2 {
			if info := m.try(at, levels); info != nil {
				return info, nil
			}
		}
	}
	return nil, fmt.Errorf("%s: %w: %s is not found in its memory", core.Path, ErrMismatch, linked.OSRelease())
}

// maxImages bounds how many images of the kernel are looked at. Memory may have
// copies of its parts, but a copy with all else at the right distance is made.
const maxImages = 16

// places returns the places to look at: where a program header shows a kernel
// image, and then where init_uts_ns lies in physical memory as if there were one,
// at every virtual address that KASLR may have chosen.
func (m *image) places() iter.Seq[place] {
	return func(yield func(place) bool) {
		if source, ok := m.core.Source.(interface{ Segments() []elfcore.Segment }); ok {
			for _, s := range source.Segments() {
				if s.Virt >= kernelMap && !yield(place{s.Virt, s.Phys}) {
					return
				}
			}
		}
		left := maxImages
		for phys := range m.scan() {
			if left--; left < 0 {
				return
			}
			for off := mem.VirtAddr(0); off < kernelMapSize; off += kernelAlign {
				if !yield(place{kernelMap + off, phys}) {
					return
				}
			}
		}
	}
}

// scan returns the physical addresses at which the image may begin, for its
// init_uts_ns lies at the right distance.
func (m *image) scan() iter.Seq[mem.PhysAddr] {
	return func(yield func(mem.PhysAddr) bool) {
		const shift = 12 // of a page
		present := mem.NewBitmap(m.core.End().PFN(shift) + 1)
		m.core.FillPresent(present, shift)
		distance := mem.PhysAddr(m.uts - m.stext)
		for phys := mem.PhysAddr(0); ; phys += kernelAlign {
			next := present.NextSet((phys + distance).PFN(shift))
			if next >= present.Len() {
				return
			}
			if ahead := next.Phys(shift); ahead > phys+distance {
				phys = (ahead - distance + kernelAlign - 1) &^ (kernelAlign - 1)
			}
			if isUtsname(m.core.ReadPhys, phys+distance, m.linked.OSRelease()) && !yield(phys) {
				return
			}
		}
	}
}

// try returns VMCOREINFO as it must be if the image is at a place, and the page
// tables have 4 levels and so many more; nil if it is not so, because the page
// tables say otherwise.
func (m *image) try(at place, levels int) *vmcoreinfo.Info {
	offset := uint64(at.virt - m.stext)
	text := move(m.linked, offset, nil) + fmt.Sprintf("KERNELOFFSET=%x\nNUMBER(phys_base)=%d\nNUMBER(pgtable_l5_enabled)=%d\nNUMBER(sme_mask)=%d\n",
		m.linked.KernelOffset()+offset, int64(uint64(at.phys)-uint64(at.virt-kernelMap)), levels, m.smeMask(at))
	info, err := vmcoreinfo.Parse([]byte(text))
	if err != nil {
		return nil
	}
	core := *m.core
	core.Info = info
	space, err := addrxlat.New(&core)
	if err != nil || !isUtsname(space.ReadVirt, m.uts+mem.VirtAddr(offset), m.linked.OSRelease()) {
		return nil
	}
	return info
}

// smeMask returns the bit that marks encrypted memory in the page tables of the
// kernel whose image is at a place.
func (m *image) smeMask(at place) int64 {
	symbol, ok := m.linked.Symbol("sme_me_mask")
	var b [8]byte
	if !ok || m.core.ReadPhys(b[:], at.phys+mem.PhysAddr(symbol-m.stext)) != nil {
		return 0
	}
	return int64(m.core.Order().Uint64(b[:]))
}

// isUtsname reports whether read finds at addr the struct new_utsname of a kernel
// of the release.
func isUtsname[Addr mem.PhysAddr | mem.VirtAddr](read func([]byte, Addr) error, addr Addr, release string) bool {
	var b [releaseOffset + utsField]byte
	if read(b[:], addr) != nil {
		return false
	}
	system, _ := utsString(b[:utsField])
	found, _ := utsString(b[releaseOffset:])
	return system == "Linux" && found == release
}
