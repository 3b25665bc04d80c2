// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"

	"github.com/ukdump/ukdump/pkg/mem"
)

// Dump is a kdump-compressed dump open for reading. It implements
// vmcore.Source and may be used by several goroutines.
type Dump struct {
	r    io.ReaderAt
	size int64
	abi
	main     mainHeader
	sub      subHeader
	meta     Meta
	maxMapNr mem.PFN
	bitmaps  [2]int64 // where memory and kept pages begin; the same place if there is one bitmap
	descs    int64    // where descriptors begin
	ranks    []uint64 // kept pages of the part in front of each rankStep page frames
	cache    cache
}

// Open opens the dump at path.
func Open(path string) (*Dump, error) {
	f, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	d, err := New(f, size)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// openFile opens a regular file and returns its size.
func openFile(path string) (*os.File, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w: not a regular file", path, ErrFormat)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// New reads headers, notes and the second bitmap of the dump in the first size
// bytes of r. It reads r again whenever memory is asked for. Close closes r if
// it can be closed.
func New(r io.ReaderAt, size int64) (*Dump, error) {
	d := &Dump{r: r, size: size}
	if err := d.readHeaders(); err != nil {
		return nil, err
	}
	if err := d.countKept(); err != nil {
		return nil, err
	}
	return d, nil
}

// readHeaders finds out how the headers are laid out, which nothing in the file
// says: by the layout of the machine that the utsname names, else by trying.
func (d *Dump) readHeaders() error {
	buf := make([]byte, headerRoom)
	if err := d.readAt(buf, 0); err != nil {
		return err
	}
	if string(buf[:len(Signature)]) != Signature {
		return fmt.Errorf("%w: no signature %q", ErrFormat, Signature)
	}
	// The strings lie at the same places in every layout.
	var main mainHeader
	abi{binary.LittleEndian, 8, 8}.decode(&main, buf)
	var first error
	for _, a := range layouts(main.uts.Machine) {
		err := d.tryLayout(a, buf)
		if err == nil {
			return nil
		}
		if first == nil || errors.Is(first, errLayout) {
			first = err
		}
	}
	return first
}

// layouts returns all layouts, the likely ones first.
func layouts(machine string) []abi {
	little, big := abiFor(machine, binary.LittleEndian), abiFor(machine, binary.BigEndian)
	all := []abi{little, big}
	for _, a := range []abi{
		{binary.LittleEndian, 8, 8}, {binary.LittleEndian, 4, 8}, {binary.LittleEndian, 4, 4},
		{binary.BigEndian, 8, 8}, {binary.BigEndian, 4, 8}, {binary.BigEndian, 4, 4},
	} {
		if a != little && a != big {
			all = append(all, a)
		}
	}
	return all
}

// errLayout says that the main header makes no sense in a layout.
var errLayout = fmt.Errorf("%w: header makes no sense", ErrFormat)

// tryLayout takes the headers, of which buf has the first, to be laid out as a
// says, and fails if that gives no usable dump.
func (d *Dump) tryLayout(a abi, buf []byte) error {
	var main mainHeader
	a.decode(&main, buf)
	if main.version > Version || !validBlockSize(int64(main.blockSize)) ||
		main.subBlocks == 0 || main.bitmapBlocks == 0 {
		return errLayout
	}
	block := int64(main.blockSize)
	descs := block * (1 + int64(main.subBlocks) + int64(main.bitmapBlocks))
	if descs > d.size {
		return fmt.Errorf("%w: headers and bitmaps of %d bytes in a file of %d (cut off?)", ErrFormat, descs, d.size)
	}
	buf = make([]byte, headerRoom)
	if err := d.readAt(buf, block); err != nil {
		return err
	}
	var sub subHeader
	a.decode(&sub, buf)
	sub.drop(&main)

	d.abi, d.main, d.sub, d.descs = a, main, sub, descs
	if err := d.setPages(&main, &sub); err != nil {
		return err
	}
	d.meta = Meta{
		Order: a.order, Uts: main.uts, Time: int64(main.seconds),
		BlockSize: int(block), CPUs: int(main.cpus),
		PhysBase: sub.physBase, Level: int(int32(sub.level)), Status: Status(main.status),
		Split: sub.split != 0, Part: mem.PFNRange{Start: mem.PFN(sub.start64), End: mem.PFN(sub.end64)},
	}
	if d.meta.Split && (d.meta.Part.Start > d.meta.Part.End || d.meta.Part.End > d.maxMapNr) {
		return fmt.Errorf("%w: part from page frame %d to %d of %d", ErrFormat, sub.start64, sub.end64, d.maxMapNr)
	}
	return d.readNotes(&sub)
}

// drop clears the fields that the version of the dump does not have, and sets
// the 64-bit ones from their predecessors.
func (s *subHeader) drop(main *mainHeader) {
	if main.version < 6 {
		s.start64, s.end64, s.maxMapNr64 = s.start, s.end, uint64(main.maxMapNr)
	}
	if main.version < 4 {
		s.notesOff, s.noteSize = 0, 0
	}
	if main.version < 3 {
		s.infoOff, s.infoSize = 0, 0
	}
	if main.version < 2 {
		s.split = 0
	}
	if main.version < 1 {
		s.level = 0
	}
}

// setPages finds the bitmaps.
func (d *Dump) setPages(main *mainHeader, sub *subHeader) error {
	if sub.maxMapNr64 == 0 || sub.maxMapNr64 > uint64(maxPages) {
		return fmt.Errorf("%w: %d page frames", ErrFormat, sub.maxMapNr64)
	}
	d.maxMapNr = mem.PFN(sub.maxMapNr64)
	need := bitmapBlocks(d.maxMapNr, int(main.blockSize))
	if uint64(main.bitmapBlocks) < need {
		return fmt.Errorf("%w: bitmap of %d blocks for %d page frames, which take %d",
			ErrFormat, main.bitmapBlocks, d.maxMapNr, need)
	}
	block := int64(main.blockSize)
	d.bitmaps[0] = block * (1 + int64(main.subBlocks))
	d.bitmaps[1] = d.bitmaps[0]
	if uint64(main.bitmapBlocks) >= 2*need {
		d.bitmaps[1] += block * int64(main.bitmapBlocks/2)
	}
	return nil
}

func (d *Dump) readNotes(sub *subHeader) (err error) {
	d.meta.Notes, err = d.readRange("notes", sub.notesOff, sub.noteSize)
	if err != nil || len(d.meta.Notes) > 0 {
		return err
	}
	// Version 3 had VMCOREINFO, but no notes: make one.
	info, err := d.readRange("VMCOREINFO", sub.infoOff, sub.infoSize)
	if err != nil || len(info) == 0 {
		return err
	}
	const name = "VMCOREINFO\x00\x00"
	note := make([]byte, 12)
	d.order.PutUint32(note, uint32(len(name)-1))
	d.order.PutUint32(note[4:], uint32(len(info)))
	note = append(append(note, name...), info...)
	d.meta.Notes = append(note, make([]byte, -len(note)&3)...)
	return nil
}

// readRange reads something that the sub header points to.
func (d *Dump) readRange(what string, off, size uint64) ([]byte, error) {
	if off == 0 || size == 0 {
		return nil, nil
	}
	if size > maxNotes || off > uint64(d.size) || size > uint64(d.size)-off {
		return nil, fmt.Errorf("%w: %d bytes of %s at %d in a file of %d (cut off?)", ErrFormat, size, what, off, d.size)
	}
	buf := make([]byte, size)
	if err := d.readAt(buf, int64(off)); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return buf, nil
}

// readAt fills p from off in the file.
func (d *Dump) readAt(p []byte, off int64) error {
	if off < 0 || off > d.size || int64(len(p)) > d.size-off {
		return fmt.Errorf("%w: file of %d bytes ends before byte %d (cut off?)", ErrFormat, d.size, off+int64(len(p)))
	}
	n, err := d.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// rankStep is the distance in page frames between entries of the rank table:
// those of one bitmapPiece. The table for 1 TiB in 4 KiB pages has 64 KiB.
const (
	bitmapPiece = 4 << 10
	rankStep    = 8 * bitmapPiece
)

// countKept makes the rank table, so that the descriptor of a page is found by
// counting bits in one piece of the bitmap.
func (d *Dump) countKept() error {
	var n uint64
	d.ranks = make([]uint64, 0, d.maxMapNr/rankStep+1)
	return d.eachChunk(d.bitmaps[1], d.part(), func(b []byte, _ uint64) error {
		for len(b) > 0 {
			piece := b[:min(bitmapPiece, len(b))]
			d.ranks = append(d.ranks, n)
			n += popcount(piece)
			b = b[len(piece):]
		}
		return nil
	})
}

// popcount returns the number of bits set in b.
func popcount(b []byte) uint64 {
	var n int
	for ; len(b) >= 8; b = b[8:] {
		n += bits.OnesCount64(binary.LittleEndian.Uint64(b))
	}
	for _, v := range b {
		n += bits.OnesCount8(v)
	}
	return uint64(n)
}

// eachChunk calls f with the bitmap at off in the file, a chunk at a time and
// at which byte of the bitmap it begins, until f fails. Bits outside of r are
// clear.
func (d *Dump) eachChunk(off int64, r mem.PFNRange, f func(b []byte, at uint64) error) error {
	total := (uint64(d.maxMapNr) + 7) / 8
	buf := make([]byte, min(chunk, total))
	for at := uint64(0); at < total; at += uint64(len(buf)) {
		buf = buf[:min(uint64(len(buf)), total-at)]
		if err := d.readAt(buf, off+int64(at)); err != nil {
			return fmt.Errorf("bitmap: %w", err)
		}
		mask(buf, at, r)
		if err := f(buf, at); err != nil {
			return err
		}
	}
	return nil
}

// mask clears the bits outside of r in b, which begins at byte at of a bitmap.
func mask(b []byte, at uint64, r mem.PFNRange) {
	first, end := uint64(r.Start), uint64(r.End)
	low, high := at*8, (at+uint64(len(b)))*8
	if first >= high || end <= low {
		clear(b)
		return
	}
	if first > low {
		i := first/8 - at
		clear(b[:i])
		b[i] &= 0xff << (first % 8)
	}
	if end < high {
		i := end/8 - at
		b[i] &= 1<<(end%8) - 1
		clear(b[i+1:])
	}
}

// part returns the page frames that the file describes.
func (d *Dump) part() mem.PFNRange {
	if d.meta.Split {
		return d.meta.Part
	}
	return mem.PFNRange{End: d.maxMapNr}
}
