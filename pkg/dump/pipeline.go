// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"context"
	"fmt"
	"io"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/mem"
)

// pipeline is a dump being written.
type pipeline struct {
	job    *Job
	out    io.WriterAt
	frame  *diskdump.Writer
	crew   *crew
	data   *stream
	descs  *stream
	zero   diskdump.Desc // of the page of zeros
	last   diskdump.Desc // of the page that was stored last
	copies *copies
	buf    []byte // descriptors of one batch
	tally         // of what is in data and descs
	safe   tally  // of what certainly is in the file, but for descs.buf
	forgot bool   // descriptors were taken back, as their data could not be written
}

// tally counts pages.
type tally struct {
	done  uint64 // descriptors made
	stats Stats
}

func newPipeline(out io.WriterAt, job *Job) (*pipeline, error) {
	frame, err := diskdump.NewWriter(out, job.meta(), job.Pages.RAM, job.Pages.Kept)
	if err != nil {
		return nil, err
	}
	crew, err := newCrew(job, true, runsOf(job.Pages.Kept, job.part()))
	if err != nil {
		return nil, err
	}
	p := &pipeline{
		job: job, out: out, frame: frame, crew: crew,
		data:   newStream(out, frame.DataOffset(), dataChunk),
		descs:  newStream(out, frame.DescsOffset(), descsChunk),
		copies: newCopies(job.Source, job.Pages.PageSize),
		buf:    make([]byte, 0, batchPages(job.Pages.PageSize)*diskdump.DescSize),
	}
	p.stats.Pages = frame.Descs()
	p.safe = p.tally
	return p, nil
}

// runsOf returns a function that returns one run of the pages of set in r after
// the other, and an empty one at the end.
func runsOf(set *mem.Bitmap, r mem.PFNRange) func() mem.PFNRange {
	at := r.Start
	return func() mem.PFNRange {
		run := set.NextRun(at)
		run.End = min(run.End, r.End)
		at = run.End
		return run
	}
}

func (p *pipeline) close() { p.crew.close() }

// write writes all but the final header. If it ends early, it makes a valid dump
// of what there is and returns why as cause; err says that there is none.
func (p *pipeline) write(ctx context.Context) (cause, err error) {
	if err := p.begin(); err != nil {
		return nil, err
	}
	cause = p.run(ctx)
	return cause, p.settle(cause != nil)
}

// begin writes everything that comes before the first page.
func (p *pipeline) begin() error {
	if err := p.frame.WriteHead(); err != nil {
		return err
	}
	if err := p.reserve(); err != nil {
		return fmt.Errorf("write page descriptors: %w", err)
	}
	if p.job.Pages.Level&1 == 0 {
		return nil
	}
	// makedumpfile --reassemble looks for the page of zeros in front of all
	// data, uncompressed.
	size := p.job.Pages.PageSize
	p.zero = diskdump.Desc{Offset: uint64(p.data.end()), Size: uint32(size)}
	return p.data.append(make([]byte, size))
}

// reserve fills the place of the descriptors with zeros, for it must be there
// when the device is full. A flattened file may not be written twice at one
// place, and a pipe does not fill up.
func (p *pipeline) reserve() error {
	if _, flat := p.out.(*diskdump.FlatWriter); flat {
		return nil
	}
	return p.zeroDescs(0, p.frame.Descs())
}

// zeroDescs overwrites the descriptors from first up to, but not including, end
// in the file.
func (p *pipeline) zeroDescs(first, end uint64) error {
	off := p.frame.DescsOffset() + int64(first)*diskdump.DescSize
	left := int64(end-first) * diskdump.DescSize
	zeros := make([]byte, min(left, dataChunk))
	for left > 0 {
		n, err := p.out.WriteAt(zeros[:min(left, dataChunk)], off)
		if err != nil {
			return err
		}
		off += int64(n)
		left -= int64(n)
	}
	return nil
}

// run takes all pages through the pipeline.
func (p *pipeline) run(ctx context.Context) error {
	if err := p.crew.work(ctx, p.emit); err != nil {
		return err
	}
	return p.flushData()
}

// emit puts a batch that was worked on into the output.
func (p *pipeline) emit(b *batch) error {
	written := p.data.off
	next := p.tally
	descs, err := p.store(b, &next)
	if err != nil {
		return fmt.Errorf("write pages: %w", err)
	}
	if p.data.off != written {
		p.safe = p.tally
	}
	if err := p.descs.append(descs); err != nil {
		return fmt.Errorf("write page descriptors: %w", err)
	}
	p.tally = next
	if p.job.Progress != nil {
		p.job.Progress(p.done, p.data.end())
	}
	return nil
}

// store puts the data of the batch's pages into the file, counts the pages, and
// returns their descriptors.
func (p *pipeline) store(b *batch, count *tally) ([]byte, error) {
	descs, data := p.buf[:0], b.data
	pages := b.pages
	for _, r := range b.runs {
		for pfn := r.Start; pfn < r.End; pfn++ {
			pg := pages[0]
			pages = pages[1:]
			var d diskdump.Desc
			switch pg.kind {
			case lost:
				count.stats.Unreadable++
			case zero:
				count.stats.Zero++
				d = p.zero
			case same:
				count.stats.Copies++
				d = p.last
			case stored:
				var err error
				if d, err = p.storePage(data[:pg.size], pg.codec, pfn, count); err != nil {
					return nil, err
				}
				data = data[pg.size:]
				p.last = d
			}
			descs = d.Append(descs, p.job.Meta.Order)
			count.done++
		}
	}
	return descs, nil
}

// storePage puts the data of a page into the file, unless that of a page with
// the same contents is there.
func (p *pipeline) storePage(data []byte, codec compress.Codec, pfn mem.PFN, count *tally) (diskdump.Desc, error) {
	hash := diskdump.Sum(0, data)
	if d, ok := p.copies.find(hash, pfn); ok {
		count.stats.Copies++
		return d, nil
	}
	if codec == compress.None {
		count.stats.Raw++
	}
	d := diskdump.Desc{Offset: uint64(p.data.end()), Size: uint32(len(data)), Codec: codec}
	p.copies.add(hash, pfn, d)
	return d, p.data.append(data)
}

func (p *pipeline) flushData() error {
	if err := p.data.flush(); err != nil {
		return fmt.Errorf("write pages: %w", err)
	}
	p.safe = p.tally
	return nil
}

// settle makes sure that the descriptors in the file are those of data in it.
func (p *pipeline) settle(cut bool) error {
	if cut && p.flushData() != nil {
		p.forgot = true
		if err := p.forget(); err != nil {
			return fmt.Errorf("write page descriptors: %w", err)
		}
	}
	if err := p.descs.flush(); err != nil {
		return fmt.Errorf("write page descriptors: %w", err)
	}
	p.stats.Unwritten = p.stats.Pages - p.done
	p.stats.Bytes = max(p.data.off, p.frame.DataOffset())
	return nil
}

// finish writes the final header and seals the dump.
func (p *pipeline) finish(incomplete bool) error {
	if p.forgot {
		return p.frame.Finish(incomplete, nil)
	}
	return p.frame.Finish(incomplete, p.sums())
}

// sums returns the checksums of what was written.
func (p *pipeline) sums() *diskdump.Sums {
	s := &diskdump.Sums{Descs: p.descs.sum, Data: p.data.sum, End: p.data.off}
	zeros := make([]byte, diskdump.DescSize)
	for range p.stats.Unwritten {
		s.Descs = diskdump.Sum(s.Descs, zeros)
	}
	return s
}

// forget makes zeros of the descriptors of pages whose data is not in the file.
func (p *pipeline) forget() error {
	base := p.frame.DescsOffset()
	first := base + int64(p.safe.done)*diskdump.DescSize
	if first < p.descs.off {
		written := uint64(p.descs.off-base+diskdump.DescSize-1) / diskdump.DescSize
		if err := p.zeroDescs(p.safe.done, written); err != nil {
			return err
		}
		first = p.descs.off
	}
	clear(p.descs.buf[first-p.descs.off:])
	p.tally = p.safe
	return nil
}
