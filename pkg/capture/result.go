// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
)

// result says in a word what a run has achieved; see the package comment.
func (t site) result() string {
	switch {
	case t.dmesg && !t.textsOnly && t.dump.complete:
		return "ok"
	case t.dmesg || t.dump.report != nil:
		return "partial"
	}
	return "failed"
}

// resultLine is the line that machines match.
func (r *run) resultLine(s state) string {
	dir, level, bytes, unreadable := "-", "-", int64(0), uint64(0)
	best := s.outcome()
	result := best.result()
	if best.dir != nil {
		dir = best.dir.String()
	}
	if s.refused {
		result = "refused"
	}
	if s.lastLog != "" {
		result, dir = "partial", s.lastLog
	}
	if report := best.dump.report; report != nil {
		level, bytes, unreadable = fmt.Sprint(report.Level), report.Bytes, report.Unreadable
	}
	return fmt.Sprintf("result=%s dir=%s level=%s bytes=%d unreadable=%d seconds=%.1f rss=%.1f",
		result, dir, level, bytes, unreadable,
		time.Since(r.log.start).Seconds(), float64(peakMemory())/(1<<20))
}

// peakMemory returns the largest resident size that this process had, in bytes; 0 if
// the kernel does not tell.
func peakMemory() int64 {
	var usage unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return usage.Maxrss << 10
}

// createReport starts kdump.log. It outlives the phase that starts it, and so
// the phase's context.
func createReport(ctx context.Context, dir target.Target, reserve int64) (target.File, error) {
	return dir.Create(context.WithoutCancel(ctx), "kdump.log", reserve)
}

// reportSoFar makes durable what there is of kdump.log before the dump: if the capture
// kernel itself ends then, it says how far the run had come. All of it is written once
// more in the end, over this.
func (r *run) reportSoFar(s state) error {
	f, ok := s.report.(interface {
		io.WriterAt
		target.Syncer
	})
	if !ok {
		return nil
	}
	_, err := f.WriteAt(r.log.lines(), 0)
	return errors.Join(err, f.Sync())
}

// saveReport saves kdump.log.
func saveReport(ctx context.Context, r *run, s state) (_ state, err error) {
	if s.report == nil {
		if s.report, err = createReport(ctx, s.dir, 0); err != nil {
			return s, err
		}
	}
	text := r.reportText(s)
	if log := captureKernelLog(); len(log) > 0 {
		text = append(text, "\nThe log of the capture kernel:\n\n"...)
		text = append(text, log...)
	}
	if _, err := s.report.Write(text); err != nil {
		return s, errors.Join(err, s.report.Abort())
	}
	return s, s.report.Commit()
}

// reportText returns what kdump.log has of this run.
func (r *run) reportText(s state) []byte {
	return fmt.Appendf(r.log.contents(), "memory: %d MiB in all, %d MiB available at the least\n%s\n",
		r.machine.memInfo("MemTotal")>>20, r.leastMemory.Load()>>20, r.resultLine(s))
}

// captureKernelLog returns the end of the running kernel's own log, our lines
// among it; nothing if the kernel does not give it.
func captureKernelLog() []byte {
	const readAll = 3 // SYSLOG_ACTION_READ_ALL
	log := make([]byte, maxLog/2)
	n, err := unix.Klogctl(readAll, log)
	if err != nil {
		return nil
	}
	return log[:n]
}
