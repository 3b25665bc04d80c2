// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import "github.com/ukdump/ukdump/pkg/mem"

// runs returns a function that returns one run of the job's pages after the
// other, in the order in which they are written, and an empty one at the end.
func (j *Job) runs() func() mem.PFNRange {
	kept, part := j.Pages.Kept, j.part()
	if j.Last == nil {
		return runsOf(part, kept.NextRun)
	}
	first := runsOf(part, func(p mem.PFN) mem.PFNRange { return nextWithout(kept, j.Last, p) })
	last := runsOf(part, j.Last.NextRun)
	return func() mem.PFNRange {
		if r := first(); r.Len() > 0 {
			return r
		}
		return last()
	}
}

// runsOf returns a function that returns the runs within part, one after the
// other, of a set of which next returns the first run at or behind a page frame.
func runsOf(part mem.PFNRange, next func(mem.PFN) mem.PFNRange) func() mem.PFNRange {
	at := part.Start
	return func() mem.PFNRange {
		r := next(at)
		r.End = min(r.End, part.End)
		at = max(at, r.End)
		return r
	}
}

// nextWithout returns the first run of pages of set, but not of without, at or
// behind p.
func nextWithout(set, without *mem.Bitmap, p mem.PFN) mem.PFNRange {
	for p = set.NextSet(p); without.Test(p); p = set.NextSet(p) {
		p = without.NextClear(p)
	}
	return mem.PFNRange{Start: p, End: min(set.NextClear(p), without.NextSet(p))}
}

// ranker finds the descriptors of pages, which come in ascending order but for
// the one time when those follow that are written last.
type ranker struct {
	kept *mem.Bitmap // nil if all pages come in their order
	part mem.PFNRange
	at   mem.PFN
	rank uint64 // of the first page at or behind at
}

func newRanker(j *Job) ranker {
	r := ranker{part: j.part()}
	if j.Last != nil {
		r.kept = j.Pages.Kept
	}
	return r
}

// next returns the number of the descriptor of the first page of run, which
// comes after the runs before.
func (r *ranker) next(run mem.PFNRange) uint64 {
	if r.kept != nil {
		if run.Start < r.at {
			r.at, r.rank = r.part.Start, 0
		}
		r.rank += r.kept.CountRange(mem.PFNRange{Start: max(r.at, r.part.Start), End: run.Start})
	}
	first := r.rank
	r.at, r.rank = run.End, first+run.Len()
	return first
}
