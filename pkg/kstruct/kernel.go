// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package kstruct knows where the fields of the crashed kernel's structures lie
// and what its constants are: the layouts that walking its memory map needs,
// checked for sense, so that the packages above index memory without asking
// again.
//
// VMCOREINFO is the first source. A kernel newer than this program may have
// stopped stating a key there; then the kernel's own type information (btf) is
// the second, found through its symbol table (kallsyms). No version number
// decides anything.
package kstruct

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/ukdump/ukdump/pkg/btf"
	"github.com/ukdump/ukdump/pkg/kallsyms"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// Kernel answers what VMCOREINFO would be asked, by the same names. It is for
// one goroutine.
type Kernel struct {
	info  *vmcoreinfo.Info
	vm    mem.VirtReader
	order binary.ByteOrder

	symbols *kallsyms.Table
	types   *btf.Types
	// missing is the first key that made the kernel's own tables necessary; ""
	// if none did. err is why they could not be read.
	missing string
	err     error
}

// New returns what is known of the kernel whose memory vm reads.
func New(info *vmcoreinfo.Info, vm mem.VirtReader, order binary.ByteOrder) *Kernel {
	return &Kernel{info: info, vm: vm, order: order}
}

// FromTypes returns what a kernel's type information alone says of it.
func FromTypes(types *btf.Types) *Kernel {
	return &Kernel{info: new(vmcoreinfo.Info), types: types}
}

// Need says which keys, written as in "OFFSET(page.flags)", the caller cannot do
// without. Where several do, they are separated by blanks. If VMCOREINFO lacks
// one, the kernel's own tables are opened, and answer from then on whatever
// VMCOREINFO does not. They are not opened without need: that takes time and
// memory, and most keys that VMCOREINFO lacks stand for things that the kernel
// does not have.
func (k *Kernel) Need(keys ...string) {
	for _, alternatives := range keys {
		if k.missing != "" {
			return
		}
		known := false
		for key := range strings.FieldsSeq(alternatives) {
			_, ok := k.info.Value(key)
			known = known || ok
		}
		if !known {
			k.missing = alternatives
			k.err = k.open()
		}
	}
}

// open opens the kernel's symbol table and type information.
func (k *Kernel) open() (err error) {
	if k.symbols, err = kallsyms.Open(k.info, k.vm, k.order); err != nil {
		return err
	}
	found, err := k.symbols.Find("__start_BTF", "__stop_BTF")
	if err != nil {
		return err
	}
	if found[0].Addr == 0 || found[1].Addr == 0 {
		return errors.New("the kernel has no BTF")
	}
	k.types, err = btf.Open(k.vm, found[0].Addr, found[1].Addr, k.order)
	return err
}

// Warning returns a line that says why the kernel's own tables could not fill
// the gaps in VMCOREINFO; "" if they could or need not.
func (k *Kernel) Warning() string {
	if k.err == nil {
		return ""
	}
	return fmt.Sprintf("VMCOREINFO has no %s, and the kernel's own type information cannot be read: %v", k.missing, k.err)
}

// WordSize returns the size in bytes of the kernel's unsigned long, 4 or 8.
func (k *Kernel) WordSize() uint64 { return k.info.WordSize() }

// Symbol returns the run-time address of a kernel symbol.
func (k *Kernel) Symbol(name string) (mem.VirtAddr, bool) {
	if addr, ok := k.info.Symbol(name); ok {
		return addr, true
	}
	if k.symbols == nil {
		return 0, false
	}
	found, err := k.symbols.Find(name)
	if err != nil || found[0].Addr == 0 {
		return 0, false
	}
	return found[0].Addr, true
}

// Size returns the size in bytes of a structure.
func (k *Kernel) Size(name string) (uint64, bool) {
	if n, ok := k.info.Size(name); ok || k.types == nil {
		return n, ok
	}
	n, err := k.types.Size(name)
	return n, err == nil
}

// Offset returns the byte offset of a field, named as in "page.flags".
func (k *Kernel) Offset(name string) (uint64, bool) {
	if n, ok := k.info.Offset(name); ok || k.types == nil {
		return n, ok
	}
	structure, member, _ := strings.Cut(name, ".")
	n, err := k.types.Offset(structure, member)
	return n, err == nil
}

// Length returns the number of elements of an array, named as in
// "zone.free_area".
func (k *Kernel) Length(name string) (uint64, bool) {
	n, ok := k.info.Length(name)
	structure, member, isMember := strings.Cut(name, ".")
	if ok || k.types == nil || !isMember {
		return n, ok
	}
	n, err := k.types.Length(structure, member)
	return n, err == nil
}

// Number returns a constant. Constants that are enumerators, of page flags and
// page types above all, are known to BTF.
func (k *Kernel) Number(name string) (int64, bool) {
	if n, ok := k.info.Number(name); ok || k.types == nil {
		return n, ok
	}
	if name == "PG_head_mask" {
		bit, ok := k.Number("PG_head")
		return 1 << (bit & 63), ok && bit >= 0 && bit < 64
	}
	if kind, ok := strings.CutPrefix(name, "PAGE_"); ok {
		if kind, ok = strings.CutSuffix(kind, "_MAPCOUNT_VALUE"); ok {
			return k.pageType(strings.ToLower(kind))
		}
	}
	for _, enum := range [...]string{"pageflags", "compound_dtor_id", "zone_stat_item"} {
		if n, err := k.types.EnumValue(enum, name); err == nil {
			return n, true
		}
	}
	return 0, false
}

// pageType returns the value that the page_type field of struct page has on
// pages of the kind. Since 6.12 the enumerator is the top byte of it
// (4ffca5a96678), in 6.11 it is the bit that is cleared (ff202303c398).
func (k *Kernel) pageType(kind string) (int64, bool) {
	if n, err := k.types.EnumValue("pagetype", "PGTY_"+kind); err == nil {
		return int64(int32(n << 24)), true
	}
	if n, err := k.types.EnumValue("pagetype", "PG_"+kind); err == nil {
		return int64(int32(^n)), true
	}
	return k.oldPageType(kind)
}

// oldPageType is pageType for kernels from 4.18 (6e292b9be7f4) to 6.10, in which
// the bits that are cleared are macros, so that type information does not have
// them. None of these values stands for anything else in any kernel.
func (k *Kernel) oldPageType(kind string) (int64, bool) {
	if _, err := k.types.Size("pagetype"); err == nil {
		return 0, false
	}
	if _, err := k.types.Offset("page", "page_type"); err != nil {
		return 0, false
	}
	switch kind {
	case "buddy":
		return ^0x80, true
	case "offline":
		return ^0x100, true
	case "hugetlb": // 6.9 (d99e3140a4d3); before, other marks
		_, flag := k.Number("PG_hugetlb")
		_, dtor := k.Number("COMPOUND_PAGE_DTOR")
		return ^0x800, !flag && !dtor
	case "slab": // 6.10 (46df8e73a4a3); before, a flag
		_, flag := k.Number("PG_slab")
		return ^0x1000, !flag
	}
	return 0, false
}
