// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// maxLog bounds the lines that are kept for kdump.log, in bytes.
	maxLog = 128 << 10
	// maxLine bounds a line, in bytes. The kernel refuses records of more than
	// about 1000 (devkmsg_write in kernel/printk/printk.c).
	maxLine = 900
	// kmsgPrefix gives a line the level of a notice. Records are written by one
	// write each.
	kmsgPrefix = "<5>ukdump: "
)

// runLog is the log of a run: each line goes to the console at once, and is kept
// for kdump.log. It may be used from several goroutines.
type runLog struct {
	start time.Time

	mu      sync.Mutex
	console io.Writer // /dev/kmsg, or what there is; nil before it is open
	text    bytes.Buffer
	lost    int      // lines that text had no room for
	givenUp []string // lines about what the run does without
}

// giveUp writes one line about something that the run does without.
func (l *runLog) giveUp(format string, args ...any) {
	const most = 50
	line := l.printf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.givenUp) < most {
		l.givenUp = append(l.givenUp, line)
	}
}

// printf writes one line, and returns it as it was written.
func (l *runLog) printf(format string, args ...any) string {
	line := strings.ReplaceAll(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n", "; ")
	if len(line) > maxLine {
		line = line[:maxLine] + "…"
	}
	line = strings.ToValidUTF8(line, "?")
	l.mu.Lock()
	defer l.mu.Unlock()
	stamped := fmt.Sprintf("[%9.3f] %s\n", time.Since(l.start).Seconds(), line)
	if l.text.Len()+len(stamped) <= maxLog {
		l.text.WriteString(stamped)
	} else {
		l.lost++
	}
	if l.console != nil {
		// Where this fails there is nobody left to tell.
		io.WriteString(l.console, kmsgPrefix+line+"\n")
	}
	return line
}

// lines returns the lines so far, with which contents will begin.
func (l *runLog) lines() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.text.Bytes())
}

// contents returns what kdump.log gets: the lines so far, and once more those
// about what was given up.
func (l *runLog) contents() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := bytes.Clone(l.text.Bytes())
	if l.lost > 0 {
		text = fmt.Appendf(text, "%d more lines had no room here\n", l.lost)
	}
	if len(l.givenUp) == 0 {
		return append(text, "\ngiven up: nothing\n"...)
	}
	text = append(text, "\ngiven up:\n"...)
	for _, line := range l.givenUp {
		text = fmt.Appendf(text, "  %s\n", line)
	}
	return text
}

// openConsole has the lines go to the kernel's log, or to the console itself if
// that is not possible. Only the former keeps the order between our lines and
// the kernel's.
func (l *runLog) openConsole(dev string) {
	for _, path := range []string{dev + "/kmsg", dev + "/console"} {
		// Not os.OpenFile: its poller would take /dev/kmsg, where a write never
		// has to wait, for something to wait for.
		if f, err := os.OpenFile(path, os.O_WRONLY, 0); err == nil {
			l.mu.Lock()
			l.console = f
			l.mu.Unlock()
			return
		}
	}
}
