// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"context"
	"fmt"
	"io"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
)

// pipeline is a dump being written.
type pipeline struct {
	job    *Job
	out    io.WriterAt
	frame  *diskdump.Writer
	crew   *crew
	data   *stream
	descs  *descs
	rank   ranker
	last   diskdump.Desc // of the page that was stored last
	copies *copies
	done   uint64 // pages that got a descriptor
	stats  Stats  // complete when the dump is settled
}

func newPipeline(out io.WriterAt, job *Job) (*pipeline, error) {
	frame, err := diskdump.NewWriter(out, job.meta(), job.Pages.RAM, job.Pages.Kept)
	if err != nil {
		return nil, err
	}
	crew, err := newCrew(job, true, job.runs())
	if err != nil {
		return nil, err
	}
	data := newStream(out, frame.DataOffset())
	p := &pipeline{
		job: job, out: out, frame: frame, crew: crew,
		data:   data,
		descs:  newDescs(out, job.Meta.Order, frame.DescsOffset()),
		rank:   newRanker(job),
		copies: newCopies(data),
	}
	p.stats.Pages = frame.Descs()
	return p, nil
}

func (p *pipeline) close() { p.crew.close() }

// write writes all but the final header. If it ends early, it makes a valid dump
// of what there is and returns why as cause; err says that there is none.
func (p *pipeline) write(ctx context.Context) (cause, err error) {
	if err := p.begin(); err != nil {
		return nil, err
	}
	cause = p.run(ctx)
	return cause, p.settle()
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
	p.descs.zero = diskdump.Desc{Offset: uint64(p.data.end()), Size: uint32(size)}
	return p.data.append(make([]byte, size))
}

// onceWriter is an output in which nothing may be written twice, as
// diskdump.FlatWriter.
type onceWriter interface{ WriteOnce() }

// reserve fills the place of the descriptors with zeros, for it must be there
// when the device is full. A pipe does not fill up.
func (p *pipeline) reserve() error {
	if _, once := p.out.(onceWriter); once {
		return nil
	}
	off, left := p.frame.DescsOffset(), int64(p.frame.Descs())*diskdump.DescSize
	zeros := p.data.buf[:dataChunk] // nothing has been there yet
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
	if err := p.store(b); err != nil {
		return fmt.Errorf("write pages: %w", err)
	}
	if len(p.descs.waiting) >= mostDescs {
		if err := p.flushData(); err != nil {
			return err
		}
	}
	if err := p.flushDescs(descsChunk); err != nil {
		return err
	}
	if p.job.Progress != nil {
		p.job.Progress(p.done, p.data.end())
	}
	return nil
}

// store gives the pages of the batch their descriptors and puts their data into
// the file.
func (p *pipeline) store(b *batch) error {
	data, pages := b.data, b.pages
	for _, r := range b.runs {
		i := p.rank.next(r)
		for pfn := r.Start; pfn < r.End; pfn++ {
			pg := pages[0]
			pages = pages[1:]
			var d diskdump.Desc
			switch pg.kind {
			case zero:
				d = p.descs.zero
			case same:
				d = p.last
			case stored:
				var err error
				if d, err = p.storePage(data[:pg.size], pg.codec); err != nil {
					return err
				}
				data = data[pg.size:]
				p.last = d
			}
			p.descs.add(i, d)
			i++
			p.done++
		}
	}
	return nil
}

// storePage puts the data of a page into the file, unless it is there.
func (p *pipeline) storePage(data []byte, codec compress.Codec) (diskdump.Desc, error) {
	d, same := p.copies.find(data, codec)
	if same {
		return *d, nil
	}
	*d = diskdump.Desc{Offset: uint64(p.data.end()), Size: uint32(len(data)), Codec: codec}
	return *d, p.data.append(data)
}

func (p *pipeline) flushData() error {
	if err := p.data.flush(); err != nil {
		return fmt.Errorf("write pages: %w", err)
	}
	return nil
}

// flushDescs writes the descriptors whose data is in the file, if they are
// least or more.
func (p *pipeline) flushDescs(least int) error {
	if err := p.descs.flush(p.data.off, least); err != nil {
		return fmt.Errorf("write page descriptors: %w", err)
	}
	return nil
}

// settle ends the dump behind the last page whose data can be written.
func (p *pipeline) settle() error {
	p.flushData() // if it fails, that was so before
	if err := p.flushDescs(0); err != nil {
		return err
	}
	pages := p.stats.Pages
	p.stats = p.descs.count
	p.stats.Pages = pages
	p.stats.Unwritten = pages - p.descs.written
	p.stats.Bytes = max(p.data.off, p.frame.DataOffset())
	return nil
}

// finish writes the final header and seals the dump.
func (p *pipeline) finish(incomplete bool) error {
	return p.frame.Finish(incomplete, &diskdump.Sums{Descs: p.descs.sum, Data: p.data.sum.Sum64(), End: p.data.off})
}
