// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package coretest

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ukdump/ukdump/pkg/mem"
)

// Block is a page, a free block or a compound page, and what its struct pages
// say.
type Block struct {
	PFN   mem.PFN
	Order uint // of a free block (Buddy) or a compound page; others have 0
	Is    Is
	// Times is how many of them follow each other; 1 if 0.
	Times int
}

// Is is what a struct page says, as bits that add up.
type Is uint

// What a struct page can say. Era decides how.
const (
	LRU        Is = 1 << iota // PG_lru
	Private                   // PG_private
	SwapCache                 // PG_swapcache
	SwapBacked                // PG_swapbacked
	HWPoison                  // PG_hwpoison
	Slab                      // PG_slab, or the page type since 6.10
	Anon                      // the mapping is an anon_vma
	Mapping                   // the mapping is a file's
	Buddy                     // the first page of a free block
	Offline                   // page type, for example of a balloon
	Unaccepted                // page type
	HugeTLB                   // the compound page is hugetlbfs'
)

// Field sets a field of the struct page of a page frame to a value.
type Field struct {
	PFN   mem.PFN
	Name  FieldName
	Value uint64
}

// FieldName is a field of struct page: its offset, and its size in the high bits.
type FieldName int

// The fields, where every 64-bit kernel since 4.18 has them.
const (
	Flags        FieldName = 0
	CompoundHead FieldName = 8
	CompoundDtor FieldName = 16 | 1<<8 // in the second struct page
	CompoundOrd  FieldName = 17 | 1<<8 // in the second struct page
	MappingField FieldName = 24
	PrivateField FieldName = 40
	MapCount     FieldName = 48 | 4<<8
)

func (f FieldName) put(structPage []byte, v uint64) {
	b := structPage[f&0xff:]
	switch f >> 8 {
	case 1:
		b[0] = byte(v)
	case 4:
		binary.LittleEndian.PutUint32(b, uint32(v))
	default:
		binary.LittleEndian.PutUint64(b, v)
	}
}

// builder is a core in the making.
type builder struct {
	k          *Kernel
	memory     memory
	tables     Tables
	direct     mem.VirtAddr // PAGE_OFFSET
	vmemmap    mem.VirtAddr
	structPage int
	arrays     map[uint64][]byte  // struct pages by section number
	seen       map[string]mem.PFN // where the pages of them are, by contents
	// sectionSymbol is the value of SYMBOL(mem_section), modelInfo the lines of
	// VMCOREINFO about the memory model.
	sectionSymbol mem.VirtAddr
	modelInfo     string
}

// What lies where in the kernel image, in bytes from KernelPhys.
const (
	utsOffset     = 0 * pageSize
	rootOffset    = 1 * pageSize
	pointerOffset = 2 * pageSize // a pointer to the section array, or mem_map
	imagePages    = 3
)

func newBuilder(k *Kernel) *builder {
	b := &builder{k: k, structPage: k.StructPage, arrays: map[uint64][]byte{}, seen: map[string]mem.PFN{}}
	if b.structPage == 0 {
		b.structPage = 64
	}
	b.memory = memory{pages: map[mem.PFN]*[pageSize]byte{}, next: KernelPhys.PFN(pageShift)}
	b.memory.alloc(imagePages)
	b.tables = Tables{
		Root: KernelPhys + rootOffset, Levels: max(k.Levels, 4), SME: k.SME,
		Page: b.memory.page, Alloc: func() mem.PFN { return b.memory.alloc(1) },
	}
	// Documentation/arch/x86/x86_64/mm.rst
	b.direct, b.vmemmap = 0xffff888000000000, 0xffffea0000000000
	if b.tables.Levels == 5 {
		b.direct, b.vmemmap = 0xff11000000000000, 0xffd4000000000000
	}
	b.tables.Map(KernelLink+mem.VirtAddr(k.KASLR), KernelPhys, 2<<20)
	return b
}

// ram returns the machine's memory.
func (b *builder) ram() []mem.PhysRange {
	ram := b.k.RAM
	if ram == nil {
		ram = DefaultRAM
	}
	return append(slices.Clone(ram), mem.PhysRange{Start: KernelPhys, End: b.memory.next.Phys(pageShift)})
}

// buildStructPages makes the struct pages of every section in which there is
// memory or a block, and maps them and all memory.
func (b *builder) buildStructPages() {
	for _, r := range append(b.ram(), b.k.Absent...) {
		last := (r.End - 1).PFN(pageShift)
		for pfn := r.Start.PFN(pageShift); pfn <= last; pfn = (pfn/SectionPages + 1) * SectionPages {
			b.page(pfn)
		}
	}
	for _, block := range b.k.Blocks {
		for i := range mem.PFN(max(block.Times, 1)) {
			b.fill(block, block.PFN+i<<block.Order)
		}
	}
	for _, f := range b.k.Fields {
		f.Name.put(b.page(f.PFN), f.Value)
	}
	for r, i := b.k.Repeat, b.k.Repeat.Count; i < r.Count*r.Times; i++ {
		b.arrays[r.First+i] = b.arrays[r.First+i-r.Count]
	}
	for _, section := range b.sections() {
		b.mapSection(section)
	}
	b.mapDirect()
}

// sections returns the numbers of the sections that exist.
func (b *builder) sections() []uint64 {
	var all []uint64
	for n := range b.arrays {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// page returns the struct page of pfn. Those of a section come into being as
// those of pages that no rule matches.
func (b *builder) page(pfn mem.PFN) []byte {
	section := uint64(pfn / SectionPages)
	array := b.arrays[section]
	if array == nil {
		array = make([]byte, int(SectionPages)*b.structPage)
		for at := 0; at < len(array); at += b.structPage {
			MapCount.put(array[at:], 0xffffffff)
		}
		b.arrays[section] = array
	}
	return array[int(pfn%SectionPages)*b.structPage:][:b.structPage]
}

// pageAddr returns where the struct page of pfn is.
func (b *builder) pageAddr(pfn mem.PFN) mem.VirtAddr {
	at := b.vmemmap
	if b.k.Model == Scattered {
		at += mem.VirtAddr(pfn/SectionPages) * 0x7_0000_0000
	}
	return at + mem.VirtAddr(uint64(pfn)*uint64(b.structPage))
}

// fill writes the struct pages of a block at pfn.
func (b *builder) fill(block Block, pfn mem.PFN) {
	e, p := b.k.Era, b.page(pfn)
	flags, mapping, mapCount := uint64(0), uint64(0), uint64(0xffffffff)
	for _, f := range []struct {
		is  Is
		key string
	}{
		{LRU, "PG_lru"}, {Private, "PG_private"}, {SwapCache, "PG_swapcache"},
		{SwapBacked, "PG_swapbacked"}, {HWPoison, "PG_hwpoison"}, {Slab, "PG_slab"},
	} {
		if n, ok := e.numbers[f.key]; ok && block.Is&f.is != 0 {
			flags |= 1 << n
		}
	}
	if block.Is&(Anon|Mapping) != 0 {
		mapping, mapCount = uint64(b.direct)+0x1000, 0
	}
	if block.Is&Anon != 0 {
		mapping |= 1
	}
	for _, t := range []struct {
		is  Is
		key string
	}{
		{Slab, "PAGE_SLAB_MAPCOUNT_VALUE"}, {Buddy, "PAGE_BUDDY_MAPCOUNT_VALUE"},
		{Offline, "PAGE_OFFLINE_MAPCOUNT_VALUE"}, {Unaccepted, "PAGE_UNACCEPTED_MAPCOUNT_VALUE"},
		{HugeTLB, "PAGE_HUGETLB_MAPCOUNT_VALUE"},
	} {
		if n, ok := e.numbers[t.key]; ok && block.Is&t.is != 0 {
			mapCount = uint64(n)
		}
	}
	switch {
	case block.Is&Buddy != 0:
		PrivateField.put(p, uint64(block.Order))
	case block.Order > 0:
		flags |= uint64(e.numbers["PG_head_mask"])
		for i := pfn + 1; i < pfn+1<<block.Order; i++ {
			CompoundHead.put(b.page(i), uint64(b.pageAddr(pfn))|1)
		}
		e.second(b.page(pfn+1), block.Order, block.Is&HugeTLB != 0)
	}
	Flags.put(p, flags)
	MappingField.put(p, mapping)
	MapCount.put(p, mapCount)
}

// mapSection puts the struct pages of a section into memory, a page for all
// those that are equal, and maps them.
func (b *builder) mapSection(section uint64) {
	array := b.arrays[section]
	virt := b.pageAddr(mem.PFN(section) * SectionPages)
	unit := int(max(b.k.Vmemmap, pageSize))
	if len(array)%unit != 0 {
		panic(fmt.Sprintf("coretest: struct pages of %d bytes cannot be mapped by %d", b.structPage, unit))
	}
	for at := 0; at < len(array); at += unit {
		if b.unmapped(section, at, unit) {
			continue
		}
		data := array[at : at+unit]
		first, ok := b.seen[string(data)]
		if !ok {
			first = b.memory.alloc(mem.PFN(unit / pageSize))
			for i := 0; i < unit; i += pageSize {
				copy(b.memory.page(first+mem.PFN(i/pageSize)), data[i:])
			}
			b.seen[string(data)] = first
		}
		b.tables.Map(virt+mem.VirtAddr(at), first.Phys(pageShift), uint64(unit))
	}
}

// unmapped reports whether all struct pages in size bytes at offset at of a
// section's array belong to Kernel.Unmapped.
func (b *builder) unmapped(section uint64, at, size int) bool {
	first := mem.PFN(section)*SectionPages + mem.PFN(at/b.structPage)
	last := mem.PFN(section)*SectionPages + mem.PFN((at+size-1)/b.structPage)
	return slices.ContainsFunc(b.k.Unmapped, func(r mem.PFNRange) bool {
		return first >= r.Start && last < r.End
	})
}

// mapDirect maps all memory one to one.
func (b *builder) mapDirect() {
	size := mem.PhysAddr(max(b.k.DirectMap, 2<<20))
	// What is still to be allocated lies within the next few MiB.
	ranges := append(b.ram(), mem.PhysRange{Start: KernelPhys, End: b.memory.next.Phys(pageShift) + 8<<20})
	for _, r := range ranges {
		for at := r.Start &^ (size - 1); at < r.End; at += size {
			b.tables.Map(b.direct+mem.VirtAddr(at), at, uint64(size))
		}
	}
}

// buildSections makes the mem_section array, or what the memory model has
// instead. Arrays are only as long as the first 32 GiB of memory need.
func (b *builder) buildSections() {
	array := b.memory.alloc(1)
	pointer := b.memory.page(KernelPhys.PFN(pageShift) + pointerOffset/pageSize)
	pointerAddr := KernelLink + mem.VirtAddr(b.k.KASLR) + pointerOffset
	directOf := func(pfn mem.PFN) mem.VirtAddr { return b.direct + mem.VirtAddr(pfn.Phys(pageShift)) }
	physBits := 46
	if b.tables.Levels == 5 {
		physBits = 52
	}
	sections := 1 << (physBits - sectionBits)
	const perRoot = pageSize / sectionSize
	b.sectionSymbol = directOf(array)
	length := sections / perRoot
	switch b.k.Model {
	case Flat:
		binary.LittleEndian.PutUint64(pointer, uint64(b.pageAddr(0)))
		b.modelInfo = fmt.Sprintf("SYMBOL(mem_map)=%x\n", uint64(pointerAddr))
		return
	case Static:
		length = sections
		b.putSections(array, 0)
	case Pointer:
		binary.LittleEndian.PutUint64(pointer, uint64(directOf(array)))
		b.sectionSymbol = pointerAddr
		fallthrough
	default:
		roots := b.memory.page(array)
		for _, n := range b.sections() {
			i := n / perRoot
			if entry := roots[i*8:][:8]; binary.LittleEndian.Uint64(entry) == 0 {
				root := b.memory.alloc(1)
				b.putSections(root, i*perRoot)
				binary.LittleEndian.PutUint64(entry, uint64(directOf(root)))
			}
		}
	}
	b.modelInfo = fmt.Sprintf("SYMBOL(mem_section)=%x\nLENGTH(mem_section)=%d\nSIZE(mem_section)=%d\n"+
		"OFFSET(mem_section.section_mem_map)=0\n", uint64(b.sectionSymbol), length, sectionSize)
	if b.k.Era.sectionBits {
		b.modelInfo += fmt.Sprintf("NUMBER(SECTION_SIZE_BITS)=%d\nNUMBER(MAX_PHYSMEM_BITS)=%d\n", sectionBits, physBits)
	}
}

// sectionSize is SIZE(mem_section).
const sectionSize = 16

// putSections writes the structs mem_section that fit into the page at pfn, from
// section number first on.
func (b *builder) putSections(pfn mem.PFN, first uint64) {
	const present, hasMemMap, online, early = 1, 2, 4, 8
	p := b.memory.page(pfn)
	for _, n := range b.sections() {
		if n < first || n >= first+pageSize/sectionSize {
			continue
		}
		start := mem.PFN(n) * SectionPages
		coded := uint64(b.pageAddr(start)) - uint64(start)*uint64(b.structPage)
		binary.LittleEndian.PutUint64(p[(n-first)*sectionSize:], coded|present|hasMemMap|online|early)
	}
}

// buildUtsname writes init_uts_ns.
func (b *builder) buildUtsname() {
	p := b.memory.page(KernelPhys.PFN(pageShift) + utsOffset/pageSize)[b.k.Era.utsName:]
	for i, s := range []string{"Linux", "coretest", b.k.Era.Release, "#1 SMP", "x86_64", "(none)"} {
		copy(p[65*i:], s)
	}
}
