// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/dump"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/printk"
	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// saveDmesg saves the crashed kernel's log; if that cannot be read, the texts that
// are in its buffer.
func saveDmesg(ctx context.Context, r *run, s state) (state, error) {
	space, err := addrxlat.New(s.core)
	if err != nil {
		return s, err
	}
	kernel := func() printk.Kernel { return kstruct.New(s.core.Info, space, s.core.Order()) }
	damage := saveText(ctx, s.dir, "vmcore-dmesg.txt", func(w io.Writer) error {
		stats, err := printk.Write(w, kernel(), space, s.core.Order(), printk.Options{})
		if err != nil {
			return err
		}
		r.log.printf("dmesg: %d records", stats.Records)
		if lost := stats.String(); lost != "" {
			r.log.giveUp("dmesg: the log is not whole: %s", lost)
		}
		return nil
	})
	if damage == nil || ctx.Err() != nil {
		s.dmesg = damage == nil
		return s, damage
	}
	r.log.giveUp("dmesg: %v; saving the texts in the log's buffer", damage)
	err = saveText(ctx, s.dir, "vmcore-dmesg.txt", func(w io.Writer) error {
		fmt.Fprintf(w, "This log is damaged (%v).\nThese are the texts in its buffer, in the order of memory.\n\n", damage)
		_, err := printk.WriteText(w, kernel(), space, s.core.Order())
		return err
	})
	s.dmesg, s.textsOnly = err == nil, true
	return s, err
}

// saveText makes a file of what write writes.
func saveText(ctx context.Context, dir target.Target, name string, write func(io.Writer) error) error {
	f, err := dir.Create(ctx, name, 0)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 64<<10)
	if err := errors.Join(write(w), w.Flush()); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// dumpResult is what came of the dump.
type dumpResult struct {
	// report is about the dump that is on the target; nil if there is none.
	report *collector.Report
	// complete says that it has its final name.
	complete bool
}

// saveDump saves the dump.
func saveDump(ctx context.Context, r *run, s state) (state, error) {
	opts, err := collector.ParseArgs(s.config.CoreCollector)
	if err != nil {
		return s, err
	}
	opts.Levels = levels(opts.Levels, s.effort)
	opts.Fallback = true
	if s.atMost > everything {
		opts.Threads = 1 // memory may be what the process before lacked
	}
	progress := newProgress(r)
	opts.Progress = func(p collector.Progress) {
		s.moved()
		progress.update(p)
	}
	opts.Warn = func(line string) { r.log.giveUp("dump: %s", line) }
	if err := r.reportSoFar(s); err != nil {
		r.log.printf("dump: kdump.log: %v", err)
	}
	f, save, err := s.createDump(ctx)
	if err != nil {
		return s, err
	}
	report, err := save(opts)
	if err == nil && report.Incomplete() {
		err = dump.ErrIncomplete
	}
	if errors.Is(err, dump.ErrIncomplete) {
		s.dump.report = report
		err = fmt.Errorf("%w (%d pages were not written, %d could not be read)", err, report.Unwritten, report.Unreadable)
	}
	if err != nil {
		abortErr := f.Abort()
		if errors.Is(abortErr, target.ErrNothingKept) {
			s.dump.report = nil
		}
		return s, errors.Join(err, abortErr)
	}
	if err := f.Commit(); err != nil {
		return s, err
	}
	r.log.printf("dump: %d of %d pages kept, %d of them zero; %d MiB of memory in %d MiB", report.Kept, report.RAM,
		report.Zero, report.Kept*uint64(report.PageSize)>>20, report.Bytes>>20)
	left := report.Excluded
	r.log.printf("dump: left out %d pages of cache, %d of private cache, %d of users, %d free, %d poisoned, %d offline",
		left.Cache, left.CachePrivate, left.User, left.Free, left.HWPoison, left.Offline)
	s.dump = dumpResult{report: report, complete: true}
	return s, nil
}

// createDump creates the file of the dump, and returns what writes the dump to
// it: the dump itself where a file can be written out of order, or its flattened
// form, "vmcore.flat".
func (s state) createDump(ctx context.Context) (target.File, func(collector.Options) (*collector.Report, error), error) {
	// When the time is over, Save ends the dump so that what there is of it can
	// be opened: the file has to live on for that.
	life := context.WithoutCancel(ctx)
	l := &limits{ctx: ctx, moved: s.moved, most: s.MaxSize, rate: s.MaxRate}
	if !s.inOrder {
		f, err := s.dir.Create(life, "vmcore", 0)
		if err != nil {
			return nil, nil, err
		}
		out, ok := f.(seeker)
		if !ok {
			return nil, nil, errors.Join(fmt.Errorf("%v takes files only in order", s.dir), f.Abort())
		}
		return f, func(opts collector.Options) (*collector.Report, error) {
			return collector.Save(ctx, s.core, &meter{out, l}, opts)
		}, nil
	}
	f, err := s.dir.Create(life, "vmcore.flat", 0)
	if err != nil {
		return nil, nil, err
	}
	return f, func(opts collector.Options) (*collector.Report, error) {
		return saveStream(ctx, s.core, &streamMeter{Writer: f, limits: l}, opts)
	}, nil
}

// saveStream writes the flattened form of a dump. Of an incomplete dump the form
// is ended, too, so that it can be opened.
func saveStream(ctx context.Context, core *vmcore.Core, out io.Writer, opts collector.Options) (*collector.Report, error) {
	flat, err := diskdump.NewFlatWriter(out)
	if err != nil {
		return nil, err
	}
	report, err := collector.Save(ctx, core, flat, opts)
	if err == nil || errors.Is(err, dump.ErrIncomplete) {
		err = errors.Join(err, flat.Close())
	}
	return report, err
}

// highest is the dump level that leaves out all that can be left out.
const highest = 31

// levels returns the dump levels to try, given those that are asked for. A dump
// that does not fit is tried at the highest level before it is cut off.
func levels(asked []int, e effort) []int {
	if e == smallerDump {
		return []int{highest}
	}
	if len(asked) == 0 {
		asked = []int{0}
	}
	if asked[len(asked)-1] == highest {
		return asked
	}
	return append(slices.Clone(asked), highest)
}

// progress writes a line to the log now and then.
type progress struct {
	*run
	next atomic.Int64 // when, in nanoseconds since the run's start
}

// progressEvery is how often.
const progressEvery = 5 * time.Second

func newProgress(r *run) *progress {
	p := &progress{run: r}
	p.next.Store(int64(time.Since(r.log.start) + progressEvery))
	return p
}

// update may be called from several goroutines, as often as they like.
func (p *progress) update(now collector.Progress) {
	due, elapsed := p.next.Load(), int64(time.Since(p.log.start))
	if elapsed < due || !p.next.CompareAndSwap(due, elapsed+int64(progressEvery)) {
		return
	}
	p.noteMemory()
	percent := 100.0
	if now.Total > 0 {
		percent *= float64(now.Done) / float64(now.Total)
	}
	line := fmt.Sprintf("dump: %s, %.0f%% done", now.Step, percent)
	if now.Bytes > 0 {
		line += fmt.Sprintf(", %d MiB written", now.Bytes>>20)
	}
	p.log.printf("%s", line)
}
