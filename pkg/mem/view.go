// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package mem

// View is one goroutine's window onto physical memory.
type View interface {
	// Slice returns memory from addr on without copying it where the format
	// allows: between 1 and n bytes, as much as lies in one piece. The bytes
	// are valid until the next call of Slice or Close and must not be changed.
	// Touching them can fault if the core cannot be read there: do it inside
	// vmcore.CatchFault. The errors are those of PhysReader.
	Slice(addr PhysAddr, n int) ([]byte, error)
	Close() error
}
