// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package collector is the core collector: it takes an open core to a written
// dump. It understands the kernel (addrxlat, memmap), chooses the pages
// (pagefilter) and writes them (dump). The capture run and the makedumpfile
// applet are its two callers, and makedumpfile's command line is how both say
// what they want.
package collector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/dump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// Options is what to write. The zero value is a level-0 dump without
// compression.
type Options struct {
	// Levels are dump levels, 0 to 31: the sum of 1 zero pages, 2 page cache
	// without private data, 4 all page cache, 8 user data, 16 free pages. The
	// first is taken, the next one when the dump does not fit; none means 0.
	Levels []int
	// ELF asks for an ELF core instead of a kdump-compressed dump.
	ELF bool
	// Codec compresses the pages of a kdump-compressed dump.
	Codec compress.Codec
	// StructPages asks to leave out the struct pages of pages that are left out.
	StructPages bool
	// Threads is how many goroutines filter and compress; 0 means one for each CPU.
	Threads int
	// NoMmap asks for reads instead of mapped windows.
	NoMmap bool
	// Fallback asks for a level-1 dump where the kernel's memory management
	// cannot be understood, instead of an error.
	Fallback bool
	// Progress, if not nil, is called often while filtering and writing, from
	// several goroutines. It must be quick.
	Progress func(Progress)
	// Warn, if not nil, is called with one line for everything that was given
	// up: a damaged section, an unknown layout, an unreadable page.
	Warn func(line string)
}

func (o *Options) threads() int {
	if o.Threads <= 0 {
		return runtime.GOMAXPROCS(0)
	}
	return o.Threads
}

// setAccess has the core's file read in the way that suits the options.
func (o *Options) setAccess(core *elfcore.Core) {
	switch {
	case o.NoMmap:
		core.SetAccess(elfcore.Read)
	case core.Access() == elfcore.Map:
	case o.threads() == 1:
		core.SetAccess(elfcore.MapRuns)
	default:
		core.SetAccess(elfcore.Read)
	}
}

// Progress is how far a step has come.
type Progress struct {
	Step        Step
	Done, Total uint64 // in pages
	Bytes       int64  // of output so far
}

// Step is a part of making a dump that takes its time.
type Step string

// The steps.
const (
	Filtering Step = "filtering"
	Writing   Step = "writing"
)

// Report is what was written.
type Report struct {
	Level    int    // the dump level of the dump; 1 after a fallback
	PageSize int    // bytes
	RAM      uint64 // pages of memory that the core describes
	Kept     uint64 // pages that the dump describes, zero pages among them
	Zero     uint64 // pages among Kept that share the one page of zeros
	// Excluded is how many pages each class cost.
	Excluded pagefilter.Counts
	// Unreadable is how many pages should have been kept and could not be read,
	// Unwritten how many are missing because writing ended early.
	Unreadable, Unwritten uint64
	Bytes                 int64 // size of the dump
}

// Incomplete reports whether the dump is marked as lacking pages.
func (r *Report) Incomplete() bool { return r.Unreadable+r.Unwritten > 0 }

// truncater is an output that can start over with a smaller dump.
type truncater interface{ Truncate(size int64) error }

// Save writes a dump of core to out, which must be empty. If a dump does not
// fit and out has a Truncate method, the next dump level is tried.
//
// With an error that wraps dump.ErrIncomplete there is a dump in out, which can
// be opened and is marked as incomplete, and the report is about it; with any
// other error there is none. A dump that only lacks pages which could not be
// read is no error; see Report.Incomplete.
func Save(ctx context.Context, core *vmcore.Core, out io.WriterAt, opts Options) (*Report, error) {
	return SaveSplit(ctx, core, []io.WriterAt{out}, opts)
}

// SaveSplit is Save for a dump in several parts, all written at the same time.
// A dump in more than one part must be kdump-compressed.
func SaveSplit(ctx context.Context, core *vmcore.Core, outs []io.WriterAt, opts Options) (*Report, error) {
	if opts.Warn == nil {
		opts.Warn = func(string) {}
	}
	if file, ok := core.Source.(*elfcore.Core); ok {
		opts.setAccess(file)
	}
	levels := opts.Levels
	if len(levels) == 0 {
		levels = []int{0}
	}
	for {
		report, err := save(ctx, core, outs, levels[0], &opts)
		levels = levels[1:]
		full := errors.Is(err, unix.ENOSPC) || errors.Is(err, target.ErrNoSpace)
		if !full || len(levels) == 0 || !canRestart(outs) {
			return report, err
		}
		opts.Warn(fmt.Sprintf("the dump does not fit, trying dump level %d: %v", levels[0], err))
		for _, out := range outs {
			if err := out.(truncater).Truncate(0); err != nil {
				return nil, err
			}
		}
	}
}

func canRestart(outs []io.WriterAt) bool {
	for _, out := range outs {
		if _, ok := out.(truncater); !ok {
			return false
		}
	}
	return true
}

// save makes one dump.
func save(ctx context.Context, core *vmcore.Core, outs []io.WriterAt, level int, opts *Options) (*Report, error) {
	if err := checkSpan(core); err != nil && !opts.ELF {
		return nil, err
	}
	pages, err := choose(ctx, core, level, opts)
	if err != nil {
		return nil, err
	}
	if d, ok := core.Source.(describer); ok {
		pages.Level |= d.Meta().Level // what was left out before is still missing
	}
	kept := pages.Kept.Count()
	job := &dump.Job{
		Source: core, Pages: pages, Last: pages.Last, Meta: meta(core), Codec: opts.Codec, Threads: opts.Threads,
	}
	if opts.Progress != nil {
		job.Progress = func(done uint64, bytes int64) {
			opts.Progress(Progress{Step: Writing, Done: done, Total: kept, Bytes: bytes})
		}
	}
	if pages.NoStructPages {
		job.Meta.Status |= diskdump.NoVmemmap
	}
	stats, err := write(ctx, outs, job, opts.ELF)
	if err != nil && !errors.Is(err, dump.ErrIncomplete) {
		return nil, err
	}
	if stats.Unreadable > 0 {
		opts.Warn(fmt.Sprintf("%d pages cannot be read and are missing from the dump", stats.Unreadable))
	}
	return &Report{
		Level: pages.Level, PageSize: pages.PageSize,
		RAM: pages.RAM.Count(), Kept: kept, Zero: stats.Zero, Excluded: pages.Excluded,
		Unreadable: stats.Unreadable, Unwritten: stats.Unwritten, Bytes: stats.Bytes,
	}, err
}

// write writes the dump in its format.
func write(ctx context.Context, outs []io.WriterAt, job *dump.Job, elf bool) (dump.Stats, error) {
	switch {
	case len(outs) > 1:
		return dump.WriteSplit(ctx, outs, job)
	case elf:
		return dump.WriteELF(ctx, outs[0], job)
	}
	return dump.WriteDiskdump(ctx, outs[0], job)
}

// choose selects the pages. At levels 0 and 1 a kernel that is not understood
// costs only the exclusion of poisoned and offline pages.
func choose(ctx context.Context, core *vmcore.Core, level int, opts *Options) (*pagefilter.Selection, error) {
	pages, err := filter(ctx, core, level, opts)
	switch {
	case err == nil || ctx.Err() != nil:
		return pages, err
	case level <= pagefilter.LevelZero:
		opts.Warn(fmt.Sprintf("all pages are kept: %v", err))
		return pagefilter.All(core, level), nil
	case opts.Fallback:
		opts.Warn(fmt.Sprintf("dump level %d is not possible, all pages but zeros are kept: %v", level, err))
		return pagefilter.All(core, pagefilter.LevelZero), nil
	}
	return nil, fmt.Errorf("%s: dump level %d is not possible, 0 and 1 are: %w", core.Path, level, err)
}

func filter(ctx context.Context, core *vmcore.Core, level int, opts *Options) (*pagefilter.Selection, error) {
	space, err := addrxlat.New(core)
	if err != nil {
		return nil, err
	}
	shift := uint(bits.TrailingZeros64(core.Info.PageSize()))
	end := (core.End() + mem.PhysAddr(core.Info.PageSize()-1)).PFN(shift)
	sections, err := memmap.Find(core, space)
	if err != nil {
		return nil, err
	}
	filterOpts := pagefilter.Options{
		Level: level, StructPages: opts.StructPages, Threads: opts.threads(), Warn: opts.Warn,
	}
	if opts.Progress != nil {
		filterOpts.Progress = func(done mem.PFN) {
			opts.Progress(Progress{Step: Filtering, Done: uint64(done), Total: uint64(end)})
		}
	}
	return pagefilter.Filter(ctx, core, space, sections, filterOpts)
}
