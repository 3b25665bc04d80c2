// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// abi is how the compiler of the crashed machine's architecture lays out a
// structure.
type abi struct {
	order binary.ByteOrder
	long  int // size of a long, and of a time_t, in bytes: 4 or 8
	align int // alignment of 8-byte numbers: 4 on i386, else 8
}

// abiFor returns the layout of a machine by its utsname name. Machines that
// are not listed have 64-bit words.
func abiFor(machine string, order binary.ByteOrder) abi {
	i386 := len(machine) == 4 && machine[0] == 'i' && strings.HasSuffix(machine, "86")
	switch {
	case i386:
		return abi{order, 4, 4}
	case machine == "ppc", machine == "mips", machine == "s390", machine == "parisc",
		strings.HasPrefix(machine, "arm"):
		return abi{order, 4, 8}
	}
	return abi{order, 8, 8}
}

// walker goes through the fields of a structure in their order, each at the
// place that the abi gives it, and reads or writes them. The structures are
// declared once, as functions that walk their fields.
type walker struct {
	abi
	buf   []byte
	at    int
	write bool
}

// next returns the bytes of the next field, a number of size bytes.
func (w *walker) next(size int) []byte {
	align := min(size, w.align)
	w.at = (w.at + align - 1) &^ (align - 1)
	w.at += size
	return w.buf[w.at-size : w.at]
}

func (w *walker) u32(v *uint32) {
	if b := w.next(4); w.write {
		w.order.PutUint32(b, *v)
	} else {
		*v = w.order.Uint32(b)
	}
}

func (w *walker) u64(v *uint64) {
	if b := w.next(8); w.write {
		w.order.PutUint64(b, *v)
	} else {
		*v = w.order.Uint64(b)
	}
}

// word is a C long.
func (w *walker) word(v *uint64) {
	if w.long == 8 {
		w.u64(v)
		return
	}
	v32 := uint32(*v)
	w.u32(&v32)
	*v = uint64(v32)
}

// text is a char array that ends with a zero byte at the latest in its last.
func (w *walker) text(s *string, size int) {
	b := w.buf[w.at : w.at+size]
	w.at += size
	if w.write {
		copy(b[:size-1], *s)
		return
	}
	b, _, _ = bytes.Cut(b, []byte{0})
	*s = string(b)
}

// mainHeader is struct disk_dump_header. Of its fields tv_usec,
// total_ram_blocks, device_blocks, written_blocks and current_cpu mean nothing
// in a kdump-compressed dump and are written as zeros. For tv_usec that is
// vital: libkdumpfile tries the 32-bit layout first, which has block_size
// there, and gives up on a 64-bit dump whose tv_usec looks like a page size.
type mainHeader struct {
	signature    string
	version      uint32
	uts          Utsname
	seconds      uint64
	status       uint32
	blockSize    uint32
	subBlocks    uint32 // blocks of sub header and notes
	bitmapBlocks uint32 // blocks of both bitmaps
	maxMapNr     uint32 // page frames, cut off at 32 bits
	cpus         uint32
}

const utsLen = 65

func (h *mainHeader) walk(w *walker) {
	var unused32 uint32
	var unusedWord uint64
	w.text8(&h.signature)
	w.u32(&h.version)
	for _, s := range []*string{
		&h.uts.Sysname, &h.uts.Nodename, &h.uts.Release,
		&h.uts.Version, &h.uts.Machine, &h.uts.Domainname,
	} {
		w.text(s, utsLen)
	}
	w.word(&h.seconds)
	w.word(&unusedWord) // tv_usec
	w.u32(&h.status)
	w.u32(&h.blockSize)
	w.u32(&h.subBlocks)
	w.u32(&h.bitmapBlocks)
	w.u32(&h.maxMapNr)
	w.u32(&unused32) // total_ram_blocks
	w.u32(&unused32) // device_blocks
	w.u32(&unused32) // written_blocks
	w.u32(&unused32) // current_cpu
	w.u32(&h.cpus)
}

// text8 is the signature, 8 characters without a zero byte.
func (w *walker) text8(s *string) {
	b := w.buf[w.at : w.at+8]
	w.at += 8
	if w.write {
		copy(b, *s)
		return
	}
	*s = string(b)
}

// subHeader is struct kdump_sub_header. Each version of the format added fields
// at the end.
type subHeader struct {
	physBase           uint64
	level              uint32 // since version 1
	split              uint32 // since version 2
	start, end         uint64 // since version 2; cut off at 32 bits since 6
	infoOff, infoSize  uint64 // since version 3: VMCOREINFO
	notesOff, noteSize uint64 // since version 4
	eraseOff, eraseLen uint64 // since version 5
	start64, end64     uint64 // since version 6
	maxMapNr64         uint64 // since version 6
}

func (h *subHeader) walk(w *walker) {
	w.word(&h.physBase)
	w.u32(&h.level)
	w.u32(&h.split)
	w.word(&h.start)
	w.word(&h.end)
	w.u64(&h.infoOff)
	w.word(&h.infoSize)
	w.u64(&h.notesOff)
	w.word(&h.noteSize)
	w.u64(&h.eraseOff)
	w.word(&h.eraseLen)
	w.u64(&h.start64)
	w.u64(&h.end64)
	w.u64(&h.maxMapNr64)
}

// structure is one of the two headers.
type structure interface{ walk(*walker) }

// headerRoom is more than the larger of the two headers takes in any layout.
const headerRoom = 512

// encode returns the structure as it lies in memory.
func (a abi) encode(s structure) []byte {
	w := walker{abi: a, buf: make([]byte, headerRoom), write: true}
	s.walk(&w)
	return w.buf[:w.at]
}

// decode reads the structure from b, which has at least headerRoom bytes.
func (a abi) decode(s structure, b []byte) {
	s.walk(&walker{abi: a, buf: b})
}
