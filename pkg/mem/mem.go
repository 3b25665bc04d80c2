// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package mem holds the words that every other package speaks in: physical
// and virtual addresses, page frame numbers, ranges and bitmaps of them, and
// the smallest interface through which the memory of a crashed machine is
// read. The address types are distinct, so that mixing them does not compile.
//
// Nothing here knows a file format or a kernel. All quantities are those of
// the crashed machine, not of the machine that runs this program.
package mem

import (
	"errors"
	"fmt"
)

// PhysAddr is a physical address in the crashed machine, in bytes.
type PhysAddr uint64

// VirtAddr is a virtual address in the crashed kernel's address space, in bytes.
type VirtAddr uint64

// PFN is a page frame number: a physical address divided by the page size of
// the crashed kernel.
type PFN uint64

// PFN returns the number of the page frame that holds a. The shift is the
// base-2 logarithm of the page size (12 for 4 KiB pages).
func (a PhysAddr) PFN(shift uint) PFN { return PFN(a >> shift) }

// Phys returns the address of the first byte of the page frame. The result is
// only meaningful for page frame numbers below 1<<(64-shift).
func (p PFN) Phys(shift uint) PhysAddr { return PhysAddr(p << shift) }

func (a PhysAddr) String() string { return fmt.Sprintf("%#x", uint64(a)) }
func (a VirtAddr) String() string { return fmt.Sprintf("%#x", uint64(a)) }

// PhysRange is the half-open range of physical addresses [Start, End).
type PhysRange struct{ Start, End PhysAddr }

// Len returns the number of bytes in the range; 0 if End lies before Start.
func (r PhysRange) Len() uint64 {
	if r.End <= r.Start {
		return 0
	}
	return uint64(r.End - r.Start)
}

// PFNRange is the half-open range of page frames [Start, End).
type PFNRange struct{ Start, End PFN }

// Len returns the number of page frames in the range; 0 if End lies before Start.
func (r PFNRange) Len() uint64 {
	if r.End <= r.Start {
		return 0
	}
	return uint64(r.End - r.Start)
}

// Errors that a read of the crashed machine's memory ends in. Callers decide
// on them with errors.Is; the wrapping error names the address.
var (
	// ErrNotRAM says that the core describes no memory at the address.
	ErrNotRAM = errors.New("not in the core's memory")
	// ErrExcluded says that the address is memory, but that its page was left
	// out when the core was written.
	ErrExcluded = errors.New("page excluded from the dump")
	// ErrUnreadable says that the page should be there and could not be read:
	// an I/O error, a hardware fault, a truncated file, damaged compressed data.
	ErrUnreadable = errors.New("page cannot be read")
	// ErrNotMapped says that the crashed kernel's page tables map nothing at
	// the virtual address.
	ErrNotMapped = errors.New("virtual address not mapped")
)

// PhysReader reads the physical memory of a crashed machine. Implementations
// may be used from several goroutines at once.
type PhysReader interface {
	// ReadPhys fills p with the memory at addr. It returns nil only if all of
	// p was filled; otherwise an error that wraps one of ErrNotRAM, ErrExcluded
	// or ErrUnreadable, and the contents of p are unspecified.
	ReadPhys(p []byte, addr PhysAddr) error
}

// VirtReader reads the crashed kernel's memory by virtual address.
type VirtReader interface {
	// ReadVirt fills p with the memory at addr. It returns nil only if all of
	// p was filled; besides the errors of PhysReader it may wrap ErrNotMapped.
	ReadVirt(p []byte, addr VirtAddr) error
}
