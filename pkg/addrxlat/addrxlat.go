// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package addrxlat translates the crashed kernel's virtual addresses into
// physical ones, with what VMCOREINFO says of its layout and by walking its page
// tables as they lie in the core. There is one file per architecture. The name
// is libkdumpfile's.
package addrxlat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// ErrUnsupported says that the address space cannot be understood: an
// architecture without a file here, or VMCOREINFO without a key that is needed.
var ErrUnsupported = errors.New("address translation not possible")

// Space is the crashed kernel's virtual address space. It may be used from
// several goroutines at once.
type Space struct {
	core   *vmcore.Core
	linear []linearMap
	table  pageTable

	mu     sync.Mutex
	walker *Walker // of ReadVirt, guarded by mu
}

// linearMap is a range of virtual addresses that lies in one piece in physical
// memory, whatever the page tables say: it can be read even if they are damaged.
type linearMap struct {
	start, end mem.VirtAddr
	phys       mem.PhysAddr
}

// New finds the kernel's page tables with what VMCOREINFO says of them. It
// fails with ErrUnsupported if core has no VMCOREINFO, if the architecture has
// no translation here, or if a key is missing.
func New(core *vmcore.Core) (*Space, error) {
	if core.Info == nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, core.InfoErr)
	}
	s := &Space{core: core}
	var err error
	switch core.Machine() {
	case "x86_64":
		err = s.setX86_64(core.Info)
	default:
		err = s.setLinear(core.Info)
	}
	if err != nil {
		return nil, err
	}
	s.walker = s.NewWalker()
	return s, nil
}

// Order returns the byte order of the crashed machine.
func (s *Space) Order() binary.ByteOrder { return s.core.Order() }

// ReadVirt implements mem.VirtReader.
func (s *Space) ReadVirt(p []byte, addr mem.VirtAddr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		phys, size, err := s.walker.Translate(addr)
		if err != nil {
			return err
		}
		n := int(min(uint64(len(p)), size))
		if err := s.core.ReadPhys(p[:n], phys); err != nil {
			return fmt.Errorf("virtual address %v: %w", addr, err)
		}
		p, addr = p[n:], addr+mem.VirtAddr(n)
	}
	return nil
}

// Walker translates for one goroutine. It keeps the last table of each level
// and the last leaf, so that a walk along an array seldom reads a table.
type Walker struct {
	space  *Space
	view   mem.View
	tables []cachedTable // by level, 1 first
	leaf   struct {
		start, size uint64 // size 0: none
		phys        mem.PhysAddr
	}
}

// NewWalker returns a new walker. Close it when done.
func (s *Space) NewWalker() *Walker {
	return &Walker{space: s, tables: make([]cachedTable, s.table.levels()), view: s.core.NewView()}
}

// Close gives up the walker's window onto the core.
func (w *Walker) Close() error { return w.view.Close() }

// Translate returns where the byte at addr lies in physical memory, and how
// many bytes from there on, at least one, are mapped in one piece. The error
// wraps mem.ErrNotMapped, or mem.ErrUnreadable if a page table cannot be read.
func (w *Walker) Translate(addr mem.VirtAddr) (mem.PhysAddr, uint64, error) {
	if in := uint64(addr) - w.leaf.start; in < w.leaf.size {
		return w.leaf.phys + mem.PhysAddr(in), w.leaf.size - in, nil
	}
	for _, l := range w.space.linear {
		if addr >= l.start && addr < l.end {
			return l.phys + mem.PhysAddr(addr-l.start), uint64(l.end - addr), nil
		}
	}
	phys, size, err := w.walk(addr)
	if err != nil {
		return 0, 0, fmt.Errorf("virtual address %v: %w", addr, err)
	}
	in := uint64(addr) & (size - 1)
	w.leaf.start, w.leaf.size, w.leaf.phys = uint64(addr)-in, size, phys
	return phys + mem.PhysAddr(in), size - in, nil
}

// Slice returns between 1 and n bytes of memory at addr without copying, as
// mem.View's Slice does.
func (w *Walker) Slice(addr mem.VirtAddr, n int) ([]byte, error) {
	phys, size, err := w.Translate(addr)
	if err != nil {
		return nil, err
	}
	b, err := w.view.Slice(phys, int(min(uint64(n), size)))
	if err != nil {
		return nil, fmt.Errorf("virtual address %v: %w", addr, err)
	}
	return b, nil
}
