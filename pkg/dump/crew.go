// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"context"
	"sync"

	"github.com/ukdump/ukdump/pkg/mem"
)

// crew takes pages from the core to whoever writes them: in batches, which
// workers fill.
type crew struct {
	pageSize int
	// next returns the next run of pages to write, in ascending order; an empty
	// one at the end.
	next    func() mem.PFNRange
	run     mem.PFNRange // what is left of the run under way
	workers []*worker
}

// newCrew makes a worker for each of the job's threads. If same is set they find
// pages that are copies of the one before.
func newCrew(job *Job, same bool, next func() mem.PFNRange) (*crew, error) {
	c := &crew{pageSize: job.Pages.PageSize, next: next}
	for range job.threads() {
		w, err := newWorker(job, same)
		if err != nil {
			c.close()
			return nil, err
		}
		c.workers = append(c.workers, w)
	}
	return c, nil
}

func (c *crew) close() {
	for _, w := range c.workers {
		w.close()
	}
}

// work calls emit with all batches, in the order of their pages, until it fails
// or ctx ends.
func (c *crew) work(ctx context.Context, emit func(*batch) error) error {
	checked := func(b *batch) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if b.err != nil {
			return b.err
		}
		return emit(b)
	}
	if len(c.workers) == 1 {
		return c.workInline(checked)
	}
	return c.workParallel(checked)
}

func (c *crew) workInline(emit func(*batch) error) error {
	b := newBatch(c.pageSize)
	for c.fill(b) {
		c.workers[0].do(b)
		if err := emit(b); err != nil {
			return err
		}
	}
	return nil
}

// workParallel keeps a ring of batches: at one end they are filled with pages
// and given to the workers, at the other they are waited for and written.
func (c *crew) workParallel(emit func(*batch) error) error {
	ring := make([]*batch, 2*len(c.workers)+1)
	for i := range ring {
		ring[i] = newBatch(c.pageSize)
	}
	work := make(chan *batch, len(ring)) // never full
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(work)
	for _, w := range c.workers {
		wg.Go(func() {
			for b := range work {
				w.do(b)
				b.done <- struct{}{}
			}
		})
	}
	for first, next := 0, 0; ; first++ {
		for next-first < len(ring) && c.fill(ring[next%len(ring)]) {
			work <- ring[next%len(ring)]
			next++
		}
		if first == next {
			return nil
		}
		b := ring[first%len(ring)]
		<-b.done
		if err := emit(b); err != nil {
			return err
		}
	}
}

// fill puts the next pages into b and reports whether there were any.
func (c *crew) fill(b *batch) bool {
	b.runs = b.runs[:0]
	for room := batchPages(c.pageSize); room > 0; {
		if c.run.Len() == 0 {
			if c.run = c.next(); c.run.Len() == 0 {
				break
			}
		}
		n := min(c.run.Len(), uint64(room))
		r := mem.PFNRange{Start: c.run.Start, End: c.run.Start + mem.PFN(n)}
		b.runs = append(b.runs, r)
		c.run.Start = r.End
		room -= int(n)
	}
	return len(b.runs) > 0
}
