// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package vmcore opens the memory of a crashed machine, whatever format it is
// kept in. It is the one door through which every tool reads a core: the
// formats themselves live in elfcore and diskdump, and the packages above see
// a Core.
package vmcore

import (
	"encoding/binary"
	"io"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// Source is what a format offers. elfcore.Core and diskdump.Dump implement it.
type Source interface {
	mem.PhysReader
	io.Closer

	// NewView returns a window onto the memory for one goroutine. Views of the
	// same Source may be used at the same time. Close it when done.
	NewView() View
	// End returns the address behind the last byte of memory that the core
	// speaks of.
	End() mem.PhysAddr
	// FillRAM adds to set the page frames, of 1<<shift bytes, that are memory,
	// whether or not they were kept. A page frame that is memory only in part
	// is added; the rest of it reads as zeros.
	FillRAM(set *mem.Bitmap, shift uint)
	// FillPresent adds to set the page frames whose contents the core has: a
	// subset of what FillRAM adds.
	FillPresent(set *mem.Bitmap, shift uint)
	// PageSize returns the page size in bytes if the format states it, else 0.
	PageSize() uint64
	// Notes returns the contents of the PT_NOTE segment, verbatim; nil if none.
	Notes() []byte
	// Order returns the byte order of the crashed machine.
	Order() binary.ByteOrder
	// Machine returns the crashed machine's architecture by its utsname name,
	// for example "x86_64", "aarch64", "s390x".
	Machine() string
}

// View is mem.View. It is declared down there because the formats give it out
// and vmcore imports them to open one.
type View = mem.View

// Core is an open core of any format.
type Core struct {
	Source
	// Path is what the core was opened from, for messages.
	Path string
	// Format is the file format in words, for example "ELF" or
	// "kdump-compressed".
	Format string
	// Info is the crashed kernel's VMCOREINFO; nil if the core has none or if
	// InfoErr says why it could not be used.
	Info *vmcoreinfo.Info
	// InfoErr is why Info is nil.
	InfoErr error
}

// PageSize returns the crashed kernel's page size in bytes: as VMCOREINFO has
// it, as the format has it, or the smallest that there is.
func (c *Core) PageSize() uint64 {
	if c.Info != nil {
		return c.Info.PageSize()
	}
	if n := c.Source.PageSize(); n != 0 {
		return n
	}
	return 4096
}
