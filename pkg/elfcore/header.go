// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ukdump/ukdump/pkg/mem"
)

// ErrFormat is wrapped by every error about the contents of the file.
var ErrFormat = errors.New("not a usable ELF core")

// Bounds on what a header may ask for. A machine has a segment for each range
// of memory and a note of a few hundred bytes for each CPU.
const (
	maxSegments  = 1 << 20
	maxNotesSize = 64 << 20
)

// From the ELF specification (System V ABI, chapters 4 and 5).
const (
	classOffset, dataOffset = 4, 5
	class32, class64        = 1, 2
	dataLSB, dataMSB        = 1, 2
	typeCore                = 4
	segmentLoad             = 1
	segmentNote             = 4
	extendedPhnum           = 0xffff // PN_XNUM: the count is in section 0's sh_info
	identSize               = 16
	flagIncomplete          = 1 // of e_flags: makedumpfile's mark of a core that lacks memory
)

// machines has the utsname name of every architecture whose kernel can leave a
// vmcore, by e_machine and word size in bits.
var machines = []struct {
	elf  uint16
	bits int
	lsb  bool
	name string
}{
	{62, 64, true, "x86_64"},
	{183, 64, true, "aarch64"},
	{22, 64, false, "s390x"},
	{21, 64, true, "ppc64le"},
	{21, 64, false, "ppc64"},
	{243, 64, true, "riscv64"},
	{258, 64, true, "loongarch64"},
	{3, 32, true, "i686"},
	{40, 32, true, "armv7l"},
	{20, 32, false, "ppc"},
}

// Segment is a PT_LOAD program header.
type Segment struct {
	Phys mem.PhysAddr // p_paddr
	Virt mem.VirtAddr // p_vaddr: where the crashed kernel had the memory mapped
	// Offset is where the memory begins in the file, in bytes.
	Offset uint64
	// FileSize bytes are in the file; the rest up to MemSize was left out.
	FileSize, MemSize uint64
}

// header is what the ELF header and the program headers say.
type header struct {
	order    binary.ByteOrder
	machine  string
	flags    uint32 // e_flags
	segments []Segment
	// notes are the PT_NOTE segments' places in the file.
	notes []fileRange
}

type fileRange struct{ off, size uint64 }

// layout has the places of the fields in the headers of one word size.
type layout struct {
	word                                      int // size in bytes of an address
	ehdr, phoff, shoff, phentsize, phnum      int
	flags                                     int // the 16-bit fields follow
	phdr, pOffset, pVaddr, pPaddr, pFile, pMm int
	pFlags                                    int
	shdr, shInfo                              int
}

var (
	layout32 = layout{word: 4, ehdr: 52, phoff: 28, shoff: 32, flags: 36, pFlags: 24, phentsize: 42, phnum: 44,
		phdr: 32, pOffset: 4, pVaddr: 8, pPaddr: 12, pFile: 16, pMm: 20, shdr: 40, shInfo: 28}
	layout64 = layout{word: 8, ehdr: 64, phoff: 32, shoff: 40, flags: 48, pFlags: 4, phentsize: 54, phnum: 56,
		phdr: 56, pOffset: 8, pVaddr: 16, pPaddr: 24, pFile: 32, pMm: 40, shdr: 64, shInfo: 44}
)

// readHeader reads and checks the headers of the size bytes long file r.
func readHeader(r io.ReaderAt, size uint64) (*header, error) {
	var buf [64]byte
	if err := readFull(r, buf[:identSize], 0, size); err != nil {
		return nil, err
	}
	if string(buf[:4]) != "\x7fELF" {
		return nil, fmt.Errorf("%w: no ELF magic number", ErrFormat)
	}
	h := &header{}
	var l layout
	switch buf[classOffset] {
	case class32:
		l = layout32
	case class64:
		l = layout64
	default:
		return nil, fmt.Errorf("%w: ELF class %d", ErrFormat, buf[classOffset])
	}
	switch buf[dataOffset] {
	case dataLSB:
		h.order = binary.LittleEndian
	case dataMSB:
		h.order = binary.BigEndian
	default:
		return nil, fmt.Errorf("%w: ELF data encoding %d", ErrFormat, buf[dataOffset])
	}
	ehdr := buf[:l.ehdr]
	if err := readFull(r, ehdr, 0, size); err != nil {
		return nil, err
	}
	if t := h.order.Uint16(ehdr[16:]); t != typeCore {
		return nil, fmt.Errorf("%w: ELF type %d, a core has %d", ErrFormat, t, typeCore)
	}
	if err := h.setMachine(h.order.Uint16(ehdr[18:]), l); err != nil {
		return nil, err
	}
	if n := h.order.Uint16(ehdr[l.phentsize:]); int(n) != l.phdr {
		return nil, fmt.Errorf("%w: program headers of %d bytes, want %d", ErrFormat, n, l.phdr)
	}
	h.flags = h.order.Uint32(ehdr[l.flags:])
	count, err := h.programHeaderCount(r, ehdr, l, size)
	if err != nil {
		return nil, err
	}
	return h, h.readProgramHeaders(r, l, l.getWord(h.order, ehdr, l.phoff), count, size)
}

func (h *header) setMachine(machine uint16, l layout) error {
	for _, m := range machines {
		if m.elf == machine && m.bits == 8*l.word && m.lsb == (h.order == binary.LittleEndian) {
			h.machine = m.name
			return nil
		}
	}
	return fmt.Errorf("%w: ELF machine %d with %d-bit words", ErrFormat, machine, 8*l.word)
}

func (h *header) programHeaderCount(r io.ReaderAt, ehdr []byte, l layout, size uint64) (uint64, error) {
	count := uint64(h.order.Uint16(ehdr[l.phnum:]))
	if count == extendedPhnum {
		section := make([]byte, l.shdr)
		if err := readFull(r, section, l.getWord(h.order, ehdr, l.shoff), size); err != nil {
			return 0, fmt.Errorf("section header 0, which counts the program headers: %w", err)
		}
		count = uint64(h.order.Uint32(section[l.shInfo:]))
	}
	if count == 0 || count > maxSegments {
		return 0, fmt.Errorf("%w: %d program headers", ErrFormat, count)
	}
	return count, nil
}

// readProgramHeaders reads the table in pieces, so that a false count cannot
// make it allocate more than the file holds.
func (h *header) readProgramHeaders(r io.ReaderAt, l layout, off, count, size uint64) error {
	buf := make([]byte, l.phdr)
	for i := range count {
		if err := readFull(r, buf, off+i*uint64(l.phdr), size); err != nil {
			return fmt.Errorf("program header %d: %w", i, err)
		}
		if err := h.addProgramHeader(buf, l, size); err != nil {
			return fmt.Errorf("program header %d: %w", i, err)
		}
	}
	if len(h.segments) == 0 {
		return fmt.Errorf("%w: no PT_LOAD program header", ErrFormat)
	}
	return nil
}

func (h *header) addProgramHeader(buf []byte, l layout, size uint64) error {
	kind := h.order.Uint32(buf)
	if kind != segmentLoad && kind != segmentNote {
		return nil
	}
	s := Segment{
		Phys:     mem.PhysAddr(l.getWord(h.order, buf, l.pPaddr)),
		Virt:     mem.VirtAddr(l.getWord(h.order, buf, l.pVaddr)),
		Offset:   l.getWord(h.order, buf, l.pOffset),
		FileSize: l.getWord(h.order, buf, l.pFile),
		MemSize:  l.getWord(h.order, buf, l.pMm),
	}
	if s.Offset > size || s.FileSize > size-s.Offset {
		return fmt.Errorf("%w: %d bytes at %d lie outside the file of %d bytes (cut off?)",
			ErrFormat, s.FileSize, s.Offset, size)
	}
	if kind == segmentNote {
		h.notes = append(h.notes, fileRange{s.Offset, s.FileSize})
		return nil
	}
	if s.FileSize > s.MemSize {
		return fmt.Errorf("%w: %d bytes in the file for %d bytes of memory", ErrFormat, s.FileSize, s.MemSize)
	}
	if s.MemSize == 0 || uint64(s.Phys) == l.noAddr() {
		return nil
	}
	// No machine has more than 52 bits of physical address. Staying below keeps
	// sums of addresses and sizes within 64 bits, and bitmaps of page frames
	// within mem.MaxBitmapBits.
	const limit = 1 << 52
	if s.Phys >= limit || s.MemSize > limit || uint64(s.Phys)+s.MemSize > limit {
		return fmt.Errorf("%w: %d bytes at physical address %v", ErrFormat, s.MemSize, s.Phys)
	}
	h.segments = append(h.segments, s)
	return nil
}

// noAddr is what /proc/kcore has as p_paddr of memory that does not lie in one
// piece: what vmalloc gave out, modules (since Linux 4.11, 464920104bf7).
func (l layout) noAddr() uint64 { return ^uint64(0) >> (64 - 8*l.word) }

// getWord returns the address-sized number at off.
func (l layout) getWord(order binary.ByteOrder, b []byte, off int) uint64 {
	if l.word == 4 {
		return uint64(order.Uint32(b[off:]))
	}
	return order.Uint64(b[off:])
}

// readFull fills p from off in the file of size bytes.
func readFull(r io.ReaderAt, p []byte, off, size uint64) error {
	if off > size || uint64(len(p)) > size-off {
		return fmt.Errorf("%w: file of %d bytes ends before byte %d (cut off?)", ErrFormat, size, off+uint64(len(p)))
	}
	n, err := r.ReadAt(p, int64(off))
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}
