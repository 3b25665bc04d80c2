// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// Writer writes the headers and notes of an ELF core and knows where the memory
// goes, so that it can be written in any order.
//
// crash decides by small things whether a file is one of its kinds of ELF
// core: the one PT_NOTE comes first, everything else is PT_LOAD, p_align is 0.
type Writer struct {
	out     io.WriterAt
	order   binary.ByteOrder
	layout  layout
	machine uint16
	notes   []byte
	count   int    // of PT_LOAD program headers
	buf     []byte // program headers that were not written yet
	at      int64  // where they go
}

// NewWriter prepares a core of a machine, by its utsname name, with room for
// count segments.
func NewWriter(out io.WriterAt, order binary.ByteOrder, machine string, notes []byte, count int) (*Writer, error) {
	for _, m := range machines {
		if m.name != familyOf(machine) || m.lsb != (order == binary.LittleEndian) {
			continue
		}
		w := &Writer{out: out, order: order, layout: layout64, machine: m.elf, notes: notes, count: count}
		if m.bits == 32 {
			w.layout = layout32
		}
		w.Rewind()
		return w, nil
	}
	return nil, fmt.Errorf("cannot write an ELF core of machine %q in byte order %v", machine, order)
}

// familyOf returns the name in the table of machines for a machine whose name
// has the model of the CPU in it.
func familyOf(machine string) string {
	switch {
	case len(machine) == 4 && machine[0] == 'i' && strings.HasSuffix(machine, "86"):
		return "i686"
	case strings.HasPrefix(machine, "arm"):
		return "armv7l"
	}
	return machine
}

// maxPlainCount is the highest number of program headers that the ELF header
// can hold; from there on it is in section header 0.
const maxPlainCount = extendedPhnum - 1

func (w *Writer) extended() bool { return 1+w.count > maxPlainCount }

func (w *Writer) sectionOffset() int64 {
	return int64(w.layout.ehdr) + int64(1+w.count)*int64(w.layout.phdr)
}

func (w *Writer) notesOffset() int64 {
	off := w.sectionOffset()
	if w.extended() {
		off += int64(w.layout.shdr)
	}
	return off
}

// DataOffset returns where memory may begin in the file: behind the headers and
// notes, and not on a page. makedumpfile 1.7 maps pages that begin on one as if
// all of p_memsz were in the file, and crashes behind its end.
func (w *Writer) DataOffset() int64 {
	off := (w.notesOffset() + int64(len(w.notes)) + 15) &^ 15
	if off%4096 == 0 {
		off += 16
	}
	return off
}

// Rewind makes Segment begin again with the first segment.
func (w *Writer) Rewind() {
	w.at = int64(w.layout.ehdr + w.layout.phdr)
	w.buf = w.buf[:0]
}

// Segment writes the program header of the next segment.
func (w *Writer) Segment(s Segment) error {
	if w.layout.word == 4 && (s.Offset > math.MaxUint32 || uint64(s.Phys) > math.MaxUint32 || s.MemSize > math.MaxUint32) {
		return fmt.Errorf("%d bytes at physical address %v are too much for a 32-bit ELF core", s.MemSize, s.Phys)
	}
	w.buf = append(w.buf, w.programHeader(segmentLoad, s)...)
	if len(w.buf) < 256<<10 {
		return nil
	}
	return w.flush()
}

func (w *Writer) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	if _, err := w.out.WriteAt(w.buf, w.at); err != nil {
		return fmt.Errorf("write program headers: %w", err)
	}
	w.at += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

func (w *Writer) programHeader(kind uint32, s Segment) []byte {
	const readWriteExecute = 7
	l, b := w.layout, make([]byte, w.layout.phdr)
	w.order.PutUint32(b, kind)
	w.order.PutUint32(b[l.pFlags:], readWriteExecute)
	for _, f := range []struct {
		off   int
		value uint64
	}{
		{l.pOffset, s.Offset}, {l.pVaddr, uint64(s.Virt)}, {l.pPaddr, uint64(s.Phys)},
		{l.pFile, s.FileSize}, {l.pMm, s.MemSize},
	} {
		l.putWord(w.order, b, f.off, f.value)
	}
	return b
}

// Finish writes everything that has not been written. The core can be marked as
// incomplete, as makedumpfile does it, in a flag of the ELF header.
func (w *Writer) Finish(incomplete bool) error {
	if err := w.flush(); err != nil {
		return err
	}
	rest := w.notes
	if w.extended() {
		section := make([]byte, w.layout.shdr)
		w.order.PutUint32(section[w.layout.shInfo:], uint32(1+w.count))
		rest = append(section, rest...)
	}
	if len(rest) > 0 {
		if _, err := w.out.WriteAt(rest, w.sectionOffset()); err != nil {
			return fmt.Errorf("write ELF notes: %w", err)
		}
	}
	if _, err := w.out.WriteAt(w.header(incomplete), 0); err != nil {
		return fmt.Errorf("write ELF header: %w", err)
	}
	return nil
}

// header returns the ELF header and the first program header, of the notes.
func (w *Writer) header(incomplete bool) []byte {
	l, b := w.layout, make([]byte, w.layout.ehdr)
	copy(b, "\x7fELF")
	b[classOffset], b[dataOffset], b[6] = class64, dataLSB, 1
	if l.word == 4 {
		b[classOffset] = class32
	}
	if w.order == binary.BigEndian {
		b[dataOffset] = dataMSB
	}
	w.order.PutUint16(b[16:], typeCore)
	w.order.PutUint16(b[18:], w.machine)
	w.order.PutUint32(b[20:], 1) // version
	l.putWord(w.order, b, l.phoff, uint64(l.ehdr))
	if incomplete {
		w.order.PutUint32(b[l.flags:], flagIncomplete)
	}
	w.order.PutUint16(b[l.flags+4:], uint16(l.ehdr))
	w.order.PutUint16(b[l.phentsize:], uint16(l.phdr))
	w.order.PutUint16(b[l.phnum:], uint16(min(1+w.count, extendedPhnum)))
	w.order.PutUint16(b[l.phnum+2:], uint16(l.shdr))
	if w.extended() {
		l.putWord(w.order, b, l.shoff, uint64(w.sectionOffset()))
		w.order.PutUint16(b[l.phnum+4:], 1)
	}
	size := uint64(len(w.notes))
	return append(b, w.programHeader(segmentNote, Segment{Offset: uint64(w.notesOffset()), FileSize: size, MemSize: size})...)
}

// putWord puts an address-sized number at off.
func (l layout) putWord(order binary.ByteOrder, b []byte, off int, v uint64) {
	if l.word == 4 {
		order.PutUint32(b[off:], uint32(v))
		return
	}
	order.PutUint64(b[off:], v)
}
