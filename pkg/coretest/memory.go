// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package coretest

import (
	"encoding/binary"
	"fmt"

	"github.com/ukdump/ukdump/pkg/mem"
)

// memory is physical memory. Pages that nothing was written to have Contents.
type memory struct {
	pages map[mem.PFN]*[pageSize]byte
	next  mem.PFN // the first page that alloc has not given out
}

// page returns the page of pfn for writing.
func (m *memory) page(pfn mem.PFN) []byte {
	p := m.pages[pfn]
	if p == nil {
		p = new([pageSize]byte)
		m.pages[pfn] = p
	}
	return p[:]
}

// alloc returns the first of n pages of zeros that follow each other, aligned to
// n pages.
func (m *memory) alloc(n mem.PFN) mem.PFN {
	first := (m.next + n - 1) / n * n
	m.next = first + n
	for pfn := first; pfn < m.next; pfn++ {
		m.page(pfn)
	}
	return first
}

// read returns a copy of memory at page frame borders.
func (m *memory) read(addr mem.PhysAddr, n uint64) []byte {
	b := make([]byte, n)
	for at := uint64(0); at < n; at += pageSize {
		pfn := (addr + mem.PhysAddr(at)).PFN(pageShift)
		dst := b[at:min(at+pageSize, n)]
		if p := m.pages[pfn]; p != nil {
			copy(dst, p[:])
		} else if pfn < KernelPhys.PFN(pageShift) || pfn >= m.next {
			Contents(dst, pfn)
		}
	}
	return b
}

// Tables is a tree of x86_64 page tables that is being built (Intel Software
// Developer's Manual, volume 3, chapter 4).
type Tables struct {
	Root   mem.PhysAddr
	Levels int
	// SME is added to every entry.
	SME uint64
	// Page returns the page of a page frame, Alloc a new one.
	Page  func(mem.PFN) []byte
	Alloc func() mem.PFN

	leaves map[mem.VirtAddr]mem.PhysAddr // by 4 KiB, 2 MiB or 1 GiB
}

// Bits of entries.
const (
	entryPresent = 1 << 0
	entryLarge   = 1 << 7
	entryFlags   = 0x62 // accessed, dirty, writable
	entryNX      = 1 << 63
)

// Map maps size bytes at virt by pages of that size, 4 KiB, 2 MiB or 1 GiB.
func (t *Tables) Map(virt mem.VirtAddr, phys mem.PhysAddr, size uint64) {
	leaf := map[uint64]int{4 << 10: 1, 2 << 20: 2, 1 << 30: 3}[size]
	if leaf == 0 || uint64(virt)%size != 0 || uint64(phys)%size != 0 {
		panic(fmt.Sprintf("coretest: cannot map %v to %v by %d bytes", virt, phys, size))
	}
	if t.leaves == nil {
		t.leaves = map[mem.VirtAddr]mem.PhysAddr{}
	}
	t.leaves[virt] = phys
	entry := uint64(phys) | t.SME | entryPresent | entryFlags | entryNX
	if leaf > 1 {
		entry |= entryLarge
	}
	binary.LittleEndian.PutUint64(t.Entry(virt, leaf), entry)
}

// Entry returns the entry of the given level for virt, making the tables above.
func (t *Tables) Entry(virt mem.VirtAddr, level int) []byte {
	table := t.Root.PFN(pageShift)
	for at := t.Levels; ; at-- {
		index := uint64(virt) >> (pageShift + 9*(at-1)) % 512
		entry := t.Page(table)[index*8:][:8]
		if at == level {
			return entry
		}
		v := binary.LittleEndian.Uint64(entry)
		if v&entryPresent == 0 {
			v = uint64(t.Alloc().Phys(pageShift)) | t.SME | entryPresent | entryFlags
			binary.LittleEndian.PutUint64(entry, v)
		}
		table = mem.PhysAddr(v &^ t.SME & (1<<52 - 1)).PFN(pageShift)
	}
}

// Lookup returns what virt was mapped to.
func (t *Tables) Lookup(virt mem.VirtAddr) (mem.PhysAddr, bool) {
	for _, size := range []mem.VirtAddr{4 << 10, 2 << 20, 1 << 30} {
		if phys, ok := t.leaves[virt&^(size-1)]; ok {
			return phys + mem.PhysAddr(virt&(size-1)), true
		}
	}
	return 0, false
}
