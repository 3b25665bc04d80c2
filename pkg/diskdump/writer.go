// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"fmt"
	"io"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
)

// Writer writes all of a dump but descriptors and page data, and knows where
// those go, so that they can be written in any order. The order of calls is
// WriteHead, descriptors and data by the caller, Finish.
type Writer struct {
	out       io.WriterAt
	meta      Meta
	abi       abi
	main      mainHeader
	sub       subHeader
	ram, kept *mem.Bitmap
	descs     uint64 // number of descriptors
	sealAt    int64
	dataAt    int64
	bodySum   xxhash.Digest // of what lies between the first block and the descriptors
}

// NewWriter prepares a dump of the pages in kept, a subset of the memory in
// ram; both range over the same page frames. The bitmaps are read by WriteHead
// and must not change until then.
func NewWriter(out io.WriterAt, meta *Meta, ram, kept *mem.Bitmap) (*Writer, error) {
	w := &Writer{out: out, meta: *meta, abi: abiFor(meta.Uts.Machine, meta.Order), ram: ram, kept: kept}
	if err := w.check(); err != nil {
		return nil, fmt.Errorf("kdump-compressed: %w", err)
	}
	w.fillSub()
	w.fillMain()
	w.descs = kept.CountRange(w.part())
	w.sealAt, w.dataAt = dataPlace(w.DescsOffset(), w.descs, kept.Count(), meta)
	return w, nil
}

func (w *Writer) check() error {
	m := &w.meta
	switch {
	case !validBlockSize(int64(m.BlockSize)):
		return fmt.Errorf("page size %d is not in the format's range", m.BlockSize)
	case w.ram.Len() != w.kept.Len():
		return fmt.Errorf("bitmaps of %d and %d page frames", w.ram.Len(), w.kept.Len())
	case len(m.Notes) > maxNotes:
		return fmt.Errorf("%d bytes of notes are too many", len(m.Notes))
	case w.ram.Len() > maxPages:
		return fmt.Errorf("%d page frames are too many", w.ram.Len())
	case m.Split && (m.Part.Start > m.Part.End || m.Part.End > w.kept.Len()):
		return fmt.Errorf("part %d to %d of %d page frames", m.Part.Start, m.Part.End, w.kept.Len())
	}
	return nil
}

// part returns the page frames that the file describes.
func (w *Writer) part() mem.PFNRange {
	if w.meta.Split {
		return w.meta.Part
	}
	return mem.PFNRange{End: w.kept.Len()}
}

func (w *Writer) fillSub() {
	m, s := &w.meta, &w.sub
	s.physBase = m.PhysBase
	s.level = uint32(m.Level)
	s.maxMapNr64 = uint64(w.ram.Len())
	if m.Split {
		s.split = 1
		s.start64, s.end64 = uint64(m.Part.Start), uint64(m.Part.End)
		s.start, s.end = min(s.start64, math.MaxUint32), min(s.end64, math.MaxUint32)
	}
	if len(m.Notes) == 0 {
		return
	}
	s.notesOff = uint64(m.BlockSize + len(w.abi.encode(s)))
	s.noteSize = uint64(len(m.Notes))
	// crash looks for VMCOREINFO where these two say, drgn in the notes.
	if note, ok := elfcore.FindVMCoreInfo(m.Notes, m.Order); ok {
		s.infoOff = s.notesOff + uint64(note.DescOffset)
		s.infoSize = uint64(len(note.Desc))
	}
}

func (w *Writer) fillMain() {
	m := &w.meta
	w.main = mainHeader{
		signature:    Signature,
		version:      Version,
		uts:          m.Uts,
		seconds:      uint64(m.Time),
		status:       uint32(m.Status | Incomplete),
		blockSize:    uint32(m.BlockSize),
		subBlocks:    uint32(blocks(uint64(len(w.abi.encode(&w.sub))+len(m.Notes)), m.BlockSize)),
		bitmapBlocks: uint32(2 * bitmapBlocks(w.ram.Len(), m.BlockSize)),
		maxMapNr:     uint32(min(w.ram.Len(), math.MaxUint32)),
		cpus:         uint32(max(m.CPUs, 1)),
	}
}

// Descs returns the number of page descriptors: one for each page of the
// second bitmap, in its order, within Meta.Part if the dump is split.
func (w *Writer) Descs() uint64 { return w.descs }

// DescsOffset returns where the page descriptors begin in the file.
func (w *Writer) DescsOffset() int64 {
	return int64(w.meta.BlockSize) * (1 + int64(w.main.subBlocks) + int64(w.main.bitmapBlocks))
}

// DataOffset returns where page data may begin in the file.
func (w *Writer) DataOffset() int64 { return w.dataAt }

// dataPlace returns where the seal and the data of a dump are, which has its
// descriptors at descs: own of them, and all together in all parts.
//
// Every part of a split dump has room for the descriptors of all parts, and its
// data begins right behind: makedumpfile --reassemble expects that, and with
// dump level 1 a page of zeros there. Else data begins on a block.
func dataPlace(descs int64, own, all uint64, m *Meta) (seal, data int64) {
	seal = descs + int64(own)*DescSize
	if m.Split {
		return seal, descs + int64(all)*DescSize
	}
	size := int64(m.BlockSize)
	return seal, (seal + sealSize + size - 1) &^ (size - 1)
}

// chunk is how much of a bitmap is written or read at a time, in bytes.
const chunk = 256 << 10

// WriteHead writes everything in front of the descriptors. The dump is marked
// as incomplete until Finish.
func (w *Writer) WriteHead() error {
	size := w.meta.BlockSize
	head := make([]byte, size*int(1+w.main.subBlocks))
	copy(head, w.abi.encode(&w.main))
	n := copy(head[size:], w.abi.encode(&w.sub))
	copy(head[size+n:], w.meta.Notes)
	if _, err := w.out.WriteAt(head, 0); err != nil {
		return fmt.Errorf("write dump header: %w", err)
	}
	w.bodySum.Reset()
	w.bodySum.Write(head[size:])
	off := int64(len(head))
	buf := make([]byte, chunk)
	for _, b := range []*mem.Bitmap{w.ram, w.kept} {
		if err := w.writeBitmap(b, off, buf); err != nil {
			return fmt.Errorf("write dump bitmap: %w", err)
		}
		off += int64(w.main.bitmapBlocks/2) * int64(size)
	}
	return nil
}

func (w *Writer) writeBitmap(b *mem.Bitmap, off int64, buf []byte) error {
	total := uint64(w.main.bitmapBlocks/2) * uint64(w.meta.BlockSize)
	for at := uint64(0); at < total; at += uint64(len(buf)) {
		buf = buf[:min(uint64(len(buf)), total-at)]
		b.ReadBytes(buf, at)
		w.bodySum.Write(buf)
		if _, err := w.out.WriteAt(buf, off+int64(at)); err != nil {
			return err
		}
	}
	return nil
}

// Finish rewrites the first block of the file, to say that the dump is complete
// unless incomplete is set. If sums are given, it seals the dump.
func (w *Writer) Finish(incomplete bool, sums *Sums) error {
	w.main.status = uint32(w.meta.Status &^ Incomplete)
	if incomplete {
		w.main.status |= uint32(Incomplete)
	}
	head := make([]byte, w.meta.BlockSize)
	copy(head, w.abi.encode(&w.main))
	if sums != nil && w.dataAt-w.sealAt >= sealSize {
		s := seal{xxhash.Sum64(head), w.bodySum.Sum64(), sums.Descs, sums.Data, uint64(sums.End)}
		if _, err := w.out.WriteAt(s.encode(), w.sealAt); err != nil {
			return fmt.Errorf("write dump seal: %w", err)
		}
	}
	if _, err := w.out.WriteAt(head, 0); err != nil {
		return fmt.Errorf("write dump header: %w", err)
	}
	return nil
}
