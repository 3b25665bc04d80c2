// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// Options is how to filter.
type Options struct {
	// Level is the dump level, 0 to LevelMax.
	Level int
	// StructPages asks to leave out, too, the pages that hold nothing but struct
	// pages of pages that are left out: makedumpfile's option -e.
	StructPages bool
	// Threads is how many goroutines go through the struct pages; at least 1.
	Threads int
	// Warn is called with a line for everything that makes the filter keep more
	// pages than the level asks for. It may be nil.
	Warn func(line string)
	// Progress, if not nil, is called with the page frames looked at so far,
	// from any of the goroutines.
	Progress func(done mem.PFN)
}

// All returns the selection of every page that core has, at level 0 or 1: what
// can be had without understanding the kernel.
func All(core *vmcore.Core, level int) *Selection {
	pageSize := core.PageSize()
	s := &Selection{PageSize: int(pageSize), Level: level & LevelZero}
	shift := s.pageShift()
	// The bitmaps are sized by the memory there is: a format's Open has
	// bounded End by what its file can describe.
	end := (core.End() + mem.PhysAddr(pageSize-1)).PFN(shift)
	s.RAM, s.Kept = mem.NewBitmap(end), mem.NewBitmap(end)
	core.FillRAM(s.RAM, shift)
	core.FillPresent(s.Kept, shift)
	return s
}

// Filter returns the selection of the pages of core that the dump level does
// not exclude. Struct pages that cannot be read or cannot be right cost
// nothing but their own pages' exclusion. The error is ctx's, or a panic's.
func Filter(ctx context.Context, core *vmcore.Core, space *addrxlat.Space, pages *memmap.Map, opts Options) (*Selection, error) {
	if opts.Warn == nil {
		opts.Warn = func(string) {}
	}
	s := All(core, opts.Level)
	s.Level = opts.Level
	if pages.Damaged > 0 {
		opts.Warn(fmt.Sprintf("%d memory sections are damaged; their pages are kept", pages.Damaged))
	}
	f, err := pass(ctx, core, space, pages, s, opts)
	if err != nil {
		return nil, err
	}
	f.finish(opts.Warn)
	if opts.StructPages {
		s.NoStructPages = true
		s.Excluded.StructPages = f.excludeStructPages(ctx)
	}
	if opts.Level|LevelZero != LevelMax {
		err = s.setLast(ctx, core, space, pages, opts)
	}
	return s, cmp.Or(ctx.Err(), err)
}

// pass takes out of s what the level in opts excludes.
func pass(ctx context.Context, core *vmcore.Core, space *addrxlat.Space, pages *memmap.Map, s *Selection, opts Options) (*filter, error) {
	bigEndian := core.Order() == binary.ByteOrder(binary.BigEndian)
	f := &filter{
		rules: newRules(pages.Kernel, pages.Page, s.pageShift(), bigEndian, opts.Level, opts.Warn),
		space: space, sections: pages.Sections, sel: s, progress: opts.Progress,
	}
	f.run(ctx, opts.Threads)
	return f, cmp.Or(ctx.Err(), f.err)
}

// setLast finds the pages that matter least, by a second pass at the highest
// level.
func (s *Selection) setLast(ctx context.Context, core *vmcore.Core, space *addrxlat.Space, pages *memmap.Map, opts Options) error {
	matter := All(core, LevelMax)
	opts.Level, opts.Warn, opts.Progress = LevelMax, func(string) {}, nil
	f, err := pass(ctx, core, space, pages, matter, opts)
	if err != nil {
		return err
	}
	f.finish(opts.Warn)
	s.Last = mem.NewBitmap(s.Kept.Len())
	for r := s.Kept.NextRun(0); r.Len() > 0; r = s.Kept.NextRun(r.End) {
		s.Last.SetRange(r)
	}
	for r := matter.Kept.NextRun(0); r.Len() > 0; r = matter.Kept.NextRun(r.End) {
		s.Last.ClearRange(r)
	}
	return nil
}

// filter is one pass over all sections by several workers.
type filter struct {
	*rules
	space    *addrxlat.Space
	sections []memmap.Section
	sel      *Selection
	progress func(mem.PFN)

	next atomic.Int64 // section to take
	done atomic.Uint64

	mu     sync.Mutex // guards what follows, taken once by each worker
	counts [numClasses]uint64
	spills []spill
	unread uint64
	err    error // of a worker that panicked
}

// spill is the part of a compound page that reaches beyond its section: it is
// cleared after all sections, because another worker may be at work there.
type spill struct {
	class Class
	pages mem.PFNRange
}

func (f *filter) run(ctx context.Context, threads int) {
	var wg sync.WaitGroup
	for range max(threads, 1) {
		wg.Go(func() { f.worker(ctx) })
	}
	wg.Wait()
}

func (f *filter) worker(ctx context.Context) {
	defer func() {
		if r := recover(); r != nil {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.err = fmt.Errorf("panic while filtering: %v", r)
		}
	}()
	w := &worker{filter: f, walker: f.space.NewWalker()}
	defer w.walker.Close()
	for ctx.Err() == nil {
		i := int(f.next.Add(1) - 1)
		if i >= len(f.sections) {
			break
		}
		w.scan(f.sections[i])
		n := f.done.Add(f.sections[i].PFNRange.Len())
		if f.progress != nil {
			f.progress(mem.PFN(n))
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for c, n := range w.counts {
		f.counts[c] += n
	}
	f.spills = append(f.spills, w.spills...)
	f.unread += w.unread
}

// finish applies what the workers left for later and puts the counts into the
// selection.
func (f *filter) finish(warn func(string)) {
	for _, s := range f.spills {
		f.counts[s.class] += f.sel.Kept.ClearRange(s.pages)
	}
	f.sel.Excluded = Counts{
		Cache: f.counts[Cache], CachePrivate: f.counts[CachePrivate], User: f.counts[User],
		Free: f.counts[Free], HWPoison: f.counts[HWPoison], Offline: f.counts[Offline],
	}
	if n := f.unread; n > 0 {
		warn(fmt.Sprintf("struct pages of %d pages cannot be read; the pages are kept", n))
	}
	if n := f.counts[damaged]; n > 0 {
		warn(fmt.Sprintf("%d struct pages are damaged; their pages are kept", n))
	}
}
