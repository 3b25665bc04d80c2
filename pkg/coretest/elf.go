// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package coretest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"

	"github.com/ukdump/ukdump/pkg/mem"
)

// ELF is an ELF core. The zero value of its fields is what an x86_64 kernel
// writes.
type ELF struct {
	Class    elf.Class        // 64-bit if 0
	Order    binary.ByteOrder // little-endian if nil
	Machine  elf.Machine      // x86_64 if 0
	Notes    []byte           // a PT_NOTE segment, if not nil
	Segments []Segment
	// Extended puts the number of program headers into section header 0, as
	// cores with more than 65534 of them do (PN_XNUM).
	Extended bool
}

// Segment is a PT_LOAD.
type Segment struct {
	Phys mem.PhysAddr
	Virt mem.VirtAddr
	Data []byte // what the file has of it
	// MemSize is its size in memory in bytes; that of Data if 0.
	MemSize uint64
	// Offset is where Data is in the file; set when the file is made, unless
	// Data is nil and FileSize is not 0.
	Offset uint64
	// FileSize is p_filesz if Data is nil: for headers that are wrong.
	FileSize uint64
}

// Bytes returns the file.
func (e ELF) Bytes() []byte {
	b, _ := e.build()
	return b
}

// build returns the file and the segments with their offsets.
func (e ELF) build() ([]byte, []Segment) {
	if e.Class == 0 {
		e.Class = elf.ELFCLASS64
	}
	if e.Order == nil {
		e.Order = binary.LittleEndian
	}
	if e.Machine == 0 {
		e.Machine = elf.EM_X86_64
	}
	headers := binary.Size(elf.Header64{}) + (len(e.Segments)+1)*binary.Size(elf.Prog64{}) + binary.Size(elf.Section64{})
	data := make([]byte, -headers&(pageSize-1)) // begins at a page border
	add := func(b []byte) uint64 {
		at := headers + len(data)
		data = append(data, b...)
		return uint64(at)
	}
	var progs []elf.Prog64
	if e.Notes != nil {
		n := uint64(len(e.Notes))
		progs = append(progs, elf.Prog64{Type: uint32(elf.PT_NOTE), Off: add(e.Notes), Filesz: n, Memsz: n})
	}
	add(make([]byte, -(headers+len(data))&(pageSize-1)))
	segments := append([]Segment(nil), e.Segments...)
	for i := range segments {
		s := &segments[i]
		if s.Data != nil || s.FileSize == 0 {
			s.Offset, s.FileSize = add(s.Data), uint64(len(s.Data))
		}
		if s.MemSize == 0 {
			s.MemSize = s.FileSize
		}
		progs = append(progs, elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: 7, Off: s.Offset,
			Vaddr: uint64(s.Virt), Paddr: uint64(s.Phys), Filesz: s.FileSize, Memsz: s.MemSize,
		})
	}
	var buf bytes.Buffer
	if e.Class == elf.ELFCLASS32 {
		e.write32(&buf, progs)
	} else {
		e.write64(&buf, progs)
	}
	buf.Write(make([]byte, headers-buf.Len()))
	buf.Write(data)
	return buf.Bytes(), segments
}

func (e ELF) ident() (ident [elf.EI_NIDENT]byte) {
	copy(ident[:], elf.ELFMAG)
	ident[elf.EI_CLASS], ident[elf.EI_VERSION] = byte(e.Class), byte(elf.EV_CURRENT)
	ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	if e.Order == binary.BigEndian {
		ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB)
	}
	return ident
}

// extendedCount is PN_XNUM.
const extendedCount = 0xffff

func (e ELF) write64(w *bytes.Buffer, progs []elf.Prog64) {
	h := elf.Header64{
		Ident: e.ident(), Type: uint16(elf.ET_CORE), Machine: uint16(e.Machine), Version: 1,
		Ehsize: 64, Phoff: 64, Phentsize: 56, Phnum: uint16(len(progs)),
	}
	if e.Extended {
		h.Phnum, h.Shnum, h.Shentsize, h.Shoff = extendedCount, 1, 64, 64+56*uint64(len(progs))
	}
	binary.Write(w, e.Order, h)
	binary.Write(w, e.Order, progs)
	binary.Write(w, e.Order, elf.Section64{Info: uint32(len(progs))})
}

func (e ELF) write32(w *bytes.Buffer, progs []elf.Prog64) {
	h := elf.Header32{
		Ident: e.ident(), Type: uint16(elf.ET_CORE), Machine: uint16(e.Machine), Version: 1,
		Ehsize: 52, Phoff: 52, Phentsize: 32, Phnum: uint16(len(progs)),
	}
	if e.Extended {
		h.Phnum, h.Shnum, h.Shentsize, h.Shoff = extendedCount, 1, 40, 52+32*uint32(len(progs))
	}
	binary.Write(w, e.Order, h)
	for _, p := range progs {
		binary.Write(w, e.Order, elf.Prog32{
			Type: p.Type, Off: uint32(p.Off), Vaddr: uint32(p.Vaddr), Paddr: uint32(p.Paddr),
			Filesz: uint32(p.Filesz), Memsz: uint32(p.Memsz), Flags: p.Flags,
		})
	}
	binary.Write(w, e.Order, elf.Section32{Info: uint32(len(progs))})
}

// Note returns an entry of a PT_NOTE segment.
func Note(order binary.ByteOrder, name string, kind uint32, desc []byte) []byte {
	var buf bytes.Buffer
	binary.Write(&buf, order, []uint32{uint32(len(name) + 1), uint32(len(desc)), kind})
	buf.WriteString(name)
	buf.Write(make([]byte, 1+-(len(name)+1)&3))
	buf.Write(desc)
	buf.Write(make([]byte, -len(desc)&3))
	return buf.Bytes()
}
