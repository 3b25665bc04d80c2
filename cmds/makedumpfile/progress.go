// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package makedumpfile

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/collector"
)

// progress shows how far a dump has come: a line that changes ten times a second
// on a terminal, a line every five seconds elsewhere.
type progress struct {
	w        io.Writer
	on       bool
	terminal bool
	every    time.Duration
	next     atomic.Int64 // when to show something again, in nanoseconds since start
	start    time.Time
	step     collector.Step
	began    time.Time // of step
	shown    bool      // a line is on the terminal
}

func newProgress(w io.Writer, on bool) *progress {
	p := &progress{w: w, on: on, start: time.Now(), every: 5 * time.Second}
	if f, ok := w.(*os.File); ok {
		_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
		p.terminal = err == nil && os.Getenv("TERM") != "dumb"
	}
	if p.terminal {
		p.every = 100 * time.Millisecond
	}
	p.next.Store(int64(p.every))
	return p
}

// update is called from several goroutines. Whoever moves the time of the next
// line on shows this one; the others go on with their work.
func (p *progress) update(s collector.Progress) {
	now := time.Since(p.start)
	next := p.next.Load()
	if !p.on || int64(now) < next || !p.next.CompareAndSwap(next, int64(now+p.every)) {
		return
	}
	if s.Step != p.step {
		p.step, p.began = s.Step, time.Now()
	}
	line := p.format(s, time.Since(p.began))
	if p.terminal {
		fmt.Fprintf(p.w, "\r\x1b[K%s", line)
		p.shown = true
		return
	}
	fmt.Fprintln(p.w, line)
}

// format tells how far the step has come after elapsed.
func (p *progress) format(s collector.Progress, elapsed time.Duration) string {
	percent := float64(s.Done) * 100 / float64(max(s.Total, 1))
	line := fmt.Sprintf("%-9s %5.1f %%", s.Step, percent)
	if s.Bytes > 0 && elapsed > time.Second { // before, it says little
		line += fmt.Sprintf("  %.1f MB/s", float64(s.Bytes)/1e6/elapsed.Seconds())
	}
	if s.Done > 0 && s.Done < s.Total && elapsed > time.Second {
		left := time.Duration(float64(elapsed) * float64(s.Total-s.Done) / float64(s.Done))
		line += fmt.Sprintf("  %v left", left.Round(time.Second))
	}
	return line
}

// clear takes the line off the terminal, so that another can be printed.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}

func (p *progress) finish() {
	p.on = false
	p.clear()
}
