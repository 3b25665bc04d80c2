// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// WriteELF writes an ELF core to out, which must be empty. The job's codec is
// not used, and it cannot be one of a split dump. Pages of zeros are left as
// holes in the file if the dump level has 1 in it, and so are pages that cannot
// be read. Errors are those of WriteDiskdump.
func WriteELF(ctx context.Context, out io.WriterAt, job *Job) (Stats, error) {
	raw := *job
	raw.Codec = compress.None
	e, err := newELFWriter(out, &raw)
	if err != nil {
		return Stats{}, err
	}
	defer e.crew.close()
	if err := e.writeHead(math.MaxInt64); err != nil {
		return Stats{}, err
	}
	cause := e.crew.work(ctx, e.emit)
	if cause == nil {
		cause = e.flush()
	}
	return e.stats, outcome(cause, e.finish(cause != nil))
}

// elfWriter is an ELF core being written.
type elfWriter struct {
	job   *Job
	once  bool // nothing may be written twice
	plan  *elfPlan
	crew  *crew
	frame *elfcore.Writer
	data  *stream
	zero  []byte // a page of zeros
	holes int64  // bytes of zeros behind data that were not written
	stats Stats
}

func newELFWriter(out io.WriterAt, job *Job) (*elfWriter, error) {
	meta := job.meta()
	e := &elfWriter{job: job, plan: newELFPlan(job, meta), zero: make([]byte, meta.BlockSize)}
	_, e.once = out.(onceWriter)
	count := e.plan.count()
	if count == 1 {
		e.plan.cut()
		count = e.plan.count()
	}
	var err error
	if e.frame, err = elfcore.NewWriter(out, meta.Order, meta.Uts.Machine, meta.Notes, count); err != nil {
		return nil, err
	}
	e.plan.dataAt = e.frame.DataOffset()
	e.data = newStream(out, e.plan.dataAt)
	e.crew, err = newCrew(job, false, e.plan.runs())
	return e, err
}

// writeHead writes the program headers, as they have to be if the file ends
// after size bytes, and marks the core as incomplete.
func (e *elfWriter) writeHead(size int64) error {
	e.frame.Rewind()
	if err := e.plan.eachSegment(size, e.frame.Segment); err != nil {
		return err
	}
	return e.frame.Finish(true)
}

// emit appends the pages of a batch to the file.
func (e *elfWriter) emit(b *batch) error {
	data, pages := b.data, b.pages
	for _, r := range b.runs {
		for pfn := r.Start; pfn < r.End; pfn++ {
			pg := pages[0]
			pages = pages[1:]
			e.stats.Pages++
			switch {
			case pg.kind == stored:
				if err := e.append(data[:pg.size]); err != nil {
					return fmt.Errorf("write memory: %w", err)
				}
				data = data[pg.size:]
				e.stats.Raw++
				continue
			case pg.kind == zero:
				e.stats.Zero++
			case e.plan.kept.Test(pfn): // in a short gap it need not be there
				e.stats.Unreadable++
			}
			e.holes += int64(len(e.zero))
		}
	}
	if e.job.Progress != nil {
		e.job.Progress(e.stats.Pages, e.data.end())
	}
	return nil
}

// minHole is the smallest hole that is left in the file, in bytes. Smaller ones
// would cut writes short.
const minHole = 1 << 20

// append adds a page to the file, behind the holes.
func (e *elfWriter) append(p []byte) error {
	if e.holes >= minHole {
		if err := e.data.skip(e.holes); err != nil {
			return err
		}
		e.holes = 0
	}
	for ; e.holes > 0; e.holes -= int64(len(e.zero)) {
		if err := e.data.append(e.zero); err != nil {
			return err
		}
	}
	return e.data.append(p)
}

// flush writes what is left. The last page is written even if it is a hole, so
// that the file has its size.
func (e *elfWriter) flush() error {
	if e.holes > 0 {
		e.holes -= int64(len(e.zero))
		if err := e.append(e.zero); err != nil {
			return fmt.Errorf("write memory: %w", err)
		}
	}
	if err := e.data.flush(); err != nil {
		return fmt.Errorf("write memory: %w", err)
	}
	return nil
}

// finish makes a valid core of what was written.
func (e *elfWriter) finish(cut bool) error {
	e.stats.Bytes = e.data.off
	if !cut {
		return e.frame.Finish(e.stats.Incomplete())
	}
	if err := e.flush(); err == nil {
		e.stats.Bytes = e.data.off
	}
	e.stats.Unwritten = e.plan.pages() - uint64(e.stats.Bytes-e.plan.dataAt)/uint64(len(e.zero))
	if e.once {
		return e.frame.Finish(true)
	}
	return e.writeHead(e.stats.Bytes)
}

// elfPlan is what goes where in an ELF core.
type elfPlan struct {
	ram, kept *mem.Bitmap
	shift     uint
	segments  []elfcore.Segment // of the source; none if it is no ELF core
	gap       mem.PFN           // how many pages have to be left out in a row for a hole
	dataAt    int64
}

// elfGap is the number of pages that makedumpfile has for elfPlan.gap. A program
// header for each hole would be more than readers that search them one by one
// can bear. What lies in shorter gaps is written.
const elfGap = 256

func newELFPlan(job *Job, meta *diskdump.Meta) *elfPlan {
	p := &elfPlan{ram: job.Pages.RAM, kept: job.Pages.Kept, shift: meta.Shift(), gap: elfGap}
	source := job.Source
	if core, ok := source.(*vmcore.Core); ok {
		source = core.Source
	}
	if s, ok := source.(interface{ Segments() []elfcore.Segment }); ok {
		p.segments = s.Segments()
	} else {
		p.gap = 1 // it has nothing to put into short gaps
	}
	return p
}

// elfPiece is a range of page frames that lies in one piece in the file, up to
// dataEnd. The rest of it was left out.
type elfPiece struct {
	mem.PFNRange
	dataEnd mem.PFN
	off     int64
}

// pieces returns a function that returns one piece after the other, in
// ascending order, and an empty one at the end.
func (p *elfPlan) pieces() func() elfPiece {
	var run mem.PFNRange      // what is left of a run of memory
	kept := p.kept.NextSet(0) // the first page kept at or behind run.Start
	off := p.dataAt
	return func() elfPiece {
		if run.Len() == 0 {
			run = p.ram.NextRun(run.End)
		}
		piece := elfPiece{mem.PFNRange{Start: run.Start, End: run.Start}, run.Start, off}
		for run.Len() > 0 {
			if kept < run.Start {
				kept = p.kept.NextSet(run.Start)
			}
			next := min(kept, run.End)
			if gap := next - piece.dataEnd; gap > 0 && (gap >= p.gap || next == run.End) {
				piece.End, run.Start = next, next
				break
			}
			piece.dataEnd = min(p.kept.NextClear(next), run.End)
			run.Start = piece.dataEnd
			piece.End = piece.dataEnd
		}
		off += int64(piece.dataEnd-piece.Start) << p.shift
		return piece
	}
}

// runs returns a function that returns one run of pages that are in the file
// after the other, and an empty one at the end.
func (p *elfPlan) runs() func() mem.PFNRange {
	next := p.pieces()
	return func() mem.PFNRange {
		for {
			piece := next()
			if data := (mem.PFNRange{Start: piece.Start, End: piece.dataEnd}); data.Len() > 0 || piece.Len() == 0 {
				return data
			}
		}
	}
}

// pages returns how many pages are in the file.
func (p *elfPlan) pages() uint64 {
	var n uint64
	next := p.runs()
	for r := next(); r.Len() > 0; r = next() {
		n += r.Len()
	}
	return n
}

// count returns the number of program headers.
func (p *elfPlan) count() int {
	n := 0
	p.eachSegment(math.MaxInt64, func(elfcore.Segment) error {
		n++
		return nil
	})
	return n
}

// cut makes two segments of one, behind the first page: crash reads a core with
// only one wrongly where that has less in the file than in memory.
func (p *elfPlan) cut() {
	first := p.ram.NextSet(0).Phys(p.shift) + 1<<p.shift
	whole := elfcore.Segment{MemSize: uint64(p.ram.Len().Phys(p.shift))}
	for _, s := range p.segments {
		if s.Phys < first && s.Phys+mem.PhysAddr(s.MemSize) >= first {
			whole = s
		}
	}
	head, rest := whole, whole
	head.MemSize = uint64(first - whole.Phys)
	rest.Phys, rest.Virt, rest.MemSize = first, whole.Virt+mem.VirtAddr(head.MemSize), whole.MemSize-head.MemSize
	p.segments = []elfcore.Segment{head, rest}
}

// eachSegment calls f with the program header of every piece, as it has to be
// if the file ends after size bytes, until it fails. A piece that several
// segments of the source have, as those of the kernel's image and of the memory
// which that lies in, gets a header for each, with one place in the file.
func (p *elfPlan) eachSegment(size int64, f func(elfcore.Segment) error) error {
	next := p.pieces()
	for piece := next(); piece.Len() > 0; piece = next() {
		start, end := piece.Start.Phys(p.shift), piece.End.Phys(p.shift)
		sources := p.segments
		if sources == nil {
			sources = []elfcore.Segment{{Phys: start, MemSize: uint64(end - start)}}
		}
		for _, s := range sources {
			if s.Phys >= end || s.Phys+mem.PhysAddr(s.MemSize) <= start {
				continue
			}
			if err := f(p.header(&piece, s, size)); err != nil {
				return err
			}
		}
	}
	return nil
}

// header returns the program header for what segment s of the source has of the
// piece.
func (p *elfPlan) header(piece *elfPiece, s elfcore.Segment, size int64) elfcore.Segment {
	first := piece.Start.Phys(p.shift)
	start := max(first, s.Phys)
	end := min(piece.End.Phys(p.shift), s.Phys+mem.PhysAddr(s.MemSize))
	h := elfcore.Segment{
		Phys: start, Virt: s.Virt + mem.VirtAddr(start-s.Phys),
		Offset: uint64(piece.off) + uint64(start-first), MemSize: uint64(end - start),
	}
	h.Offset = min(h.Offset, uint64(size))
	if dataEnd := min(end, piece.dataEnd.Phys(p.shift)); dataEnd > start {
		h.FileSize = min(uint64(dataEnd-start), uint64(size)-h.Offset)
	}
	return h
}
