// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package diskdump reads and writes kdump-compressed dumps, the format of
// makedumpfile that crash, drgn and libkdumpfile open, and the flattened form
// in which such a file travels through a pipe.
//
// A dump is a file of blocks, each as large as a page of the crashed machine:
//
//	block 0    main header: signature, utsname, time, status, sizes
//	block 1    sub header: dump level, places of the notes, 64-bit page counts;
//	           then the ELF notes of the core, verbatim, VMCOREINFO among them
//	…          bitmap 1: a bit for each page frame, set if it is memory
//	…          bitmap 2: a bit for each page frame, set if it was dumped
//	…          page descriptors: one for each bit of bitmap 2, in its order
//	…          page data, each page compressed alone, in no particular order
//
// The two headers are C structures as the crashed machine's compiler lays them
// out, in its byte order. The package follows diskdump_mod.h of makedumpfile
// and diskdump.h of crash; the readers' demands beyond that are cited where
// they matter.
package diskdump

import (
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/mem"
)

// ErrFormat is wrapped by every error about the contents of a file.
var ErrFormat = errors.New("not a usable kdump-compressed dump")

// Signature is what a dump begins with.
const Signature = "KDUMP   "

// Version is the header version that the package writes, and the newest that
// it reads. There is no later one.
const Version = 6

// Status is what the main header says of the whole dump: the codec that was
// asked for, in the bits of compress.Codec, and the bits below.
type Status uint32

const (
	// Incomplete marks a dump that lacks pages which it should have. The
	// descriptors of such pages are all zeros.
	Incomplete Status = 0x8
	// NoVmemmap marks a dump from which the struct pages of excluded pages
	// were left out, too.
	NoVmemmap Status = 0x10
)

// Utsname is the crashed kernel's utsname. The format has room for 64 bytes of
// each string.
type Utsname struct {
	Sysname, Nodename, Release, Version, Machine, Domainname string
}

// Meta is what a dump says about the machine and about itself, everything but
// bitmaps and pages.
type Meta struct {
	// Order is the byte order of the crashed machine.
	Order binary.ByteOrder
	// Uts must have Machine right: readers choose the architecture by it.
	Uts Utsname
	// Time is when the machine crashed, in seconds since 1970 UTC.
	Time int64
	// BlockSize is the crashed machine's page size in bytes, a power of two
	// from 4 KiB to 256 KiB.
	BlockSize int
	// CPUs is how many CPUs left their registers; at least 1.
	CPUs int
	// PhysBase is the physical address that the kernel's image was linked to
	// begin at minus the one where it does (x86); a two's complement number.
	PhysBase uint64
	// Level is the dump level at which pages were excluded.
	Level int
	// Status holds the codec; Incomplete is the writer's to set.
	Status Status
	// Split says that the file is one of several and describes only the
	// pages of Part.
	Split bool
	// Part is the page frames that the file describes, if Split. The other
	// readers want Start to be a multiple of 64.
	Part mem.PFNRange
	// Notes is the contents of the core's PT_NOTE segment.
	Notes []byte
}

// Shift returns the base-2 logarithm of BlockSize.
func (m *Meta) Shift() uint { return uint(bits.TrailingZeros(uint(m.BlockSize))) }

// Desc is a page descriptor. The zero Desc says that the page was lost.
type Desc struct {
	Offset uint64         // of the page's data in the file, in bytes
	Size   uint32         // of the data in bytes, at most BlockSize
	Codec  compress.Codec // how the data is compressed
}

// DescSize is the size of a page descriptor in the file, in bytes, for every
// architecture.
const DescSize = 24

// Append appends the form that the descriptor has in a file.
func (d Desc) Append(b []byte, order binary.ByteOrder) []byte {
	b = append(b, make([]byte, DescSize)...)
	at := b[len(b)-DescSize:]
	order.PutUint64(at, d.Offset)
	order.PutUint32(at[8:], d.Size)
	order.PutUint32(at[12:], uint32(d.Codec))
	return b // with 8 bytes of page_flags, which were never used
}

// parseDesc reads the descriptor at the beginning of b.
func parseDesc(b []byte, order binary.ByteOrder) Desc {
	return Desc{order.Uint64(b), order.Uint32(b[8:]), compress.Codec(order.Uint32(b[12:]))}
}

// Bounds on what a header may ask for.
const (
	minBlockSize = 4 << 10   // libkdumpfile takes no other page sizes
	maxBlockSize = 256 << 10 // than those between
	// maxPages is the page frames of 256 TiB at 4 KiB a page, 48 bits of
	// physical address. It bounds how long opening a file may take.
	maxPages = mem.PFN(1) << 36
	// maxNotes is room for the registers of the largest machines and for
	// device dumps, which drivers add as notes.
	maxNotes = 256 << 20
)

func validBlockSize(n int64) bool {
	return n >= minBlockSize && n <= maxBlockSize && bits.OnesCount64(uint64(n)) == 1
}

// blocks returns how many blocks of size bytes n bytes take.
func blocks(n uint64, size int) uint64 { return (n + uint64(size) - 1) / uint64(size) }

// bitmapBlocks returns how many blocks a bitmap over n page frames takes.
func bitmapBlocks(n mem.PFN, size int) uint64 { return blocks((uint64(n)+7)/8, size) }
