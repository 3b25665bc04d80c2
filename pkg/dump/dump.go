// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package dump takes the chosen pages of a core to a file: runs of pages are
// cut into batches, workers compress the batches, and one writer puts the
// results into the file in the order of the pages.
//
// Memory is bounded by the number of workers: batches come from a fixed ring,
// each worker has one encoder, output is gathered in two buffers. Nothing is
// allocated or locked for a page, and nobody spins: a batch is handed over by
// one channel operation each way. With one worker everything runs on the
// caller's goroutine.
package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// ErrIncomplete says that writing ended early, but that what there is can be
// opened: a valid dump, marked as incomplete. The error that wraps it wraps the
// cause as well.
var ErrIncomplete = errors.New("dump is incomplete")

// Job is a dump to be written.
type Job struct {
	// Source is where pages are read from.
	Source vmcore.Source
	// Pages is which pages are written.
	Pages *pagefilter.Selection
	// Last, a subset of Pages.Kept, is the pages that are written after all
	// others, because they matter least should the device be full; nil if all
	// matter alike.
	Last *mem.Bitmap
	// Meta is what the dump says about the machine. BlockSize, Level and the
	// codec in Status are set from Pages and Codec.
	Meta diskdump.Meta
	// Codec compresses the pages.
	Codec compress.Codec
	// Threads is how many goroutines compress; 0 means one for each CPU.
	Threads int
	// Progress, if not nil, is called after every batch of pages with the
	// number of pages done and the size of the output so far in bytes. It is
	// called on the goroutine that writes and should be quick.
	Progress func(pages uint64, bytes int64)
}

// Stats is what was written.
type Stats struct {
	// Pages is how many pages the dump describes.
	Pages uint64
	// Zero is how many of them share the one page of zeros.
	Zero uint64
	// Copies is how many share the data of another page with the same contents.
	Copies uint64
	// Raw is how many were stored as they are, for compression did not make
	// them smaller.
	Raw uint64
	// Unreadable is how many could not be read. Their descriptors say so.
	Unreadable uint64
	// Unwritten is how many are missing because writing ended early.
	Unwritten uint64
	// Bytes is the size of the dump.
	Bytes int64
}

// Incomplete reports whether the dump is marked as incomplete.
func (s *Stats) Incomplete() bool { return s.Unreadable+s.Unwritten > 0 }

// WriteDiskdump writes a kdump-compressed dump to out, which must be empty.
//
// A page that cannot be read is left out and counted. If writing fails (a full
// device) or ctx ends, the pages written so far make a valid dump, marked as
// incomplete, and the error wraps ErrIncomplete. Any other error leaves nothing
// of use in out.
func WriteDiskdump(ctx context.Context, out io.WriterAt, job *Job) (Stats, error) {
	p, err := newPipeline(out, job)
	if err != nil {
		return Stats{}, err
	}
	defer p.close()
	cause, err := p.write(ctx)
	if err == nil {
		err = p.finish(p.stats.Incomplete())
	}
	return p.stats, outcome(cause, err)
}

// outcome returns the error that a caller gets when writing ended early because
// of cause, if that is not nil, and what there is could not be made a valid dump
// because of err, if that is not nil.
func outcome(cause, err error) error {
	if cause == nil || err != nil {
		return errors.Join(cause, err)
	}
	return fmt.Errorf("%w: %w", ErrIncomplete, cause)
}

// threads returns how many workers the job is done by. More than one for each
// CPU only costs memory.
func (j *Job) threads() int {
	cpus := runtime.GOMAXPROCS(0)
	if j.Threads <= 0 {
		return cpus
	}
	return min(j.Threads, cpus)
}

// meta returns the header data with the fields filled in that follow from the
// rest of the job.
func (j *Job) meta() *diskdump.Meta {
	m := j.Meta
	m.BlockSize = j.Pages.PageSize
	m.Level = j.Pages.Level
	m.Status |= diskdump.Status(j.Codec)
	return &m
}

// part returns the page frames that the job is about.
func (j *Job) part() mem.PFNRange {
	if j.Meta.Split {
		return j.Meta.Part
	}
	return mem.PFNRange{End: j.Pages.Kept.Len()}
}
