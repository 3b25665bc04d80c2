// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/ukdump/ukdump/pkg/mem"
)

// WriteSplit writes a kdump-compressed dump in as many parts as there are outs,
// all at the same time: they can lie on different devices. Each part describes
// about the same number of pages. Errors are those of WriteDiskdump; what makes
// one part incomplete marks all of them, as crash wants their headers alike.
func WriteSplit(ctx context.Context, outs []io.WriterAt, job *Job) (Stats, error) {
	parts := job.split(len(outs))
	pipes := make([]*pipeline, len(outs))
	for i, out := range outs {
		p, err := newPipeline(out, parts[i])
		if err != nil {
			return Stats{}, err
		}
		defer p.close()
		pipes[i] = p
	}
	causes, errs := make([]error, len(pipes)), make([]error, len(pipes))
	each(len(pipes), func(i int) {
		defer func() {
			if r := recover(); r != nil {
				errs[i] = fmt.Errorf("panic while writing part %d of %d: %v", i+1, len(pipes), r)
			}
		}()
		causes[i], errs[i] = pipes[i].write(ctx)
	})
	cause, err := errors.Join(causes...), errors.Join(errs...)
	var sum Stats
	for _, p := range pipes {
		sum.add(&p.stats)
	}
	for _, p := range pipes {
		if err == nil {
			err = p.finish(sum.Incomplete())
		}
	}
	return sum, outcome(cause, err)
}

// each calls f with the numbers below n, at the same time, and waits.
func each(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func (s *Stats) add(o *Stats) {
	s.Pages += o.Pages
	s.Zero += o.Zero
	s.Copies += o.Copies
	s.Raw += o.Raw
	s.Unreadable += o.Unreadable
	s.Unwritten += o.Unwritten
	s.Bytes += o.Bytes
}

// split returns the jobs that write j in n parts. They divide its threads, and
// together call Progress, from several goroutines.
func (j *Job) split(n int) []*Job {
	ranges := splitPages(j.Pages.Kept, n)
	jobs := make([]*Job, n)
	progress := j.sumProgress(n)
	for i := range jobs {
		part := *j
		part.Meta.Split, part.Meta.Part = true, ranges[i]
		part.Threads = max(1, j.threads()/n)
		if progress != nil {
			part.Progress = func(pages uint64, bytes int64) { progress(i, pages, bytes) }
		}
		jobs[i] = &part
	}
	return jobs
}

// sumProgress returns a function that calls Progress with the sums of what n
// parts say.
func (j *Job) sumProgress(n int) func(i int, pages uint64, bytes int64) {
	if j.Progress == nil {
		return nil
	}
	type part struct {
		pages atomic.Uint64
		bytes atomic.Int64
	}
	parts := make([]part, n)
	return func(i int, pages uint64, bytes int64) {
		parts[i].pages.Store(pages)
		parts[i].bytes.Store(bytes)
		var allPages uint64
		var allBytes int64
		for k := range parts {
			allPages += parts[k].pages.Load()
			allBytes += parts[k].bytes.Load()
		}
		j.Progress(allPages, allBytes)
	}
}

// splitAlign is what the first page frame of a part is a multiple of: crash
// counts the bits of a part's bitmap in words from there.
const splitAlign = 64

// splitPages divides the page frames of kept into n ranges with about the same
// number of pages in each.
func splitPages(kept *mem.Bitmap, n int) []mem.PFNRange {
	const step = 1 << 10 * splitAlign
	ranges := make([]mem.PFNRange, n)
	total := kept.Count()
	var at mem.PFN   // end of the range under way
	var count uint64 // pages below at
	for i := range ranges {
		ranges[i].Start = at
		want := total * uint64(i+1) / uint64(n)
		for size := mem.PFN(step); size >= splitAlign; size /= 1 << 10 {
			for at < kept.Len() {
				more := kept.CountRange(mem.PFNRange{Start: at, End: at + size})
				if count+more > want {
					break
				}
				count += more
				at += size
			}
		}
		at = min(at, kept.Len())
		ranges[i].End = at
	}
	ranges[n-1].End = kept.Len()
	return ranges
}
