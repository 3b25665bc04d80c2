// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package addrxlat

import (
	"fmt"

	"github.com/ukdump/ukdump/pkg/mem"
)

// pageTable describes a radix tree of page tables of 8-byte entries.
type pageTable struct {
	root mem.PhysAddr // of the table of the highest level
	// shifts has, by level from 1 (whose entries map pages) up, the base-2
	// logarithm of what one entry maps; the last one is the size of the whole
	// address range that the root maps.
	shifts []uint
	// present and large are bits of an entry: valid at all; maps memory itself
	// although its level is above 1.
	present, large uint64
	// addr masks the physical address in an entry.
	addr uint64
	// maxLarge is the highest level whose entries may be large.
	maxLarge int
}

func (t *pageTable) levels() int { return len(t.shifts) - 1 }

// maxTableSize is the size in bytes of the largest table of any supported
// page table format.
const maxTableSize = 4096

// cachedTable is a copy of one page table.
type cachedTable struct {
	phys  mem.PhysAddr
	valid bool
	data  [maxTableSize]byte
}

// walk follows the page tables from the root to the entry that maps addr. It
// returns the physical address of the leaf's first byte and the leaf's size.
// The number of steps is the number of levels: no loop in the tables matters.
func (w *Walker) walk(addr mem.VirtAddr) (mem.PhysAddr, uint64, error) {
	t := &w.space.table
	// Addresses are sign-extended: all bits above the range that the root maps
	// repeat its highest bit.
	if top := int64(addr) >> (t.shifts[t.levels()] - 1); top != 0 && top != -1 {
		return 0, 0, mem.ErrNotMapped
	}
	table := t.root
	for level := t.levels(); level >= 1; level-- {
		shift := t.shifts[level-1]
		index := uint64(addr) >> shift & (1<<(t.shifts[level]-shift) - 1)
		entry, err := w.entry(level, table, index)
		if err != nil {
			return 0, 0, err
		}
		if entry&t.present == 0 {
			return 0, 0, mem.ErrNotMapped
		}
		if level == 1 || level <= t.maxLarge && entry&t.large != 0 {
			size := uint64(1) << shift
			return mem.PhysAddr(entry & t.addr &^ (size - 1)), size, nil
		}
		table = mem.PhysAddr(entry & t.addr)
	}
	return 0, 0, mem.ErrNotMapped
}

// entry returns an entry of the table of the given level at phys.
func (w *Walker) entry(level int, phys mem.PhysAddr, index uint64) (uint64, error) {
	c := &w.tables[level-1]
	if !c.valid || c.phys != phys {
		c.valid = false
		if err := w.space.core.ReadPhys(c.data[:], phys); err != nil {
			return 0, fmt.Errorf("page table of level %d: %w: %w", level, mem.ErrUnreadable, err)
		}
		c.phys, c.valid = phys, true
	}
	return w.space.core.Order().Uint64(c.data[index*8:]), nil
}
