// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"errors"
	"fmt"

	"github.com/ukdump/ukdump/pkg/mem"
)

// From Linux 3.5 (7ff9554bb578) to 5.9 the log is a buffer of records of
// varying length, each a struct printk_log ("log" before 3.11) followed by the
// text, a dictionary and padding. log_first_idx is where the oldest begins,
// log_next_idx where the next will be put. Where one does not fit before the
// end of the buffer there is a header with length 0, and it is at the start.

// recordAlign is what the length of every record is a multiple of
// (LOG_ALIGN, 4 or 8 bytes by architecture).
const recordAlign = 4

// maxLogBuf is the most that log_buf_len can be, in bytes (LOG_BUF_LEN_MAX).
const maxLogBuf = 1 << 31

// maxTime bounds the times of records: 36 years of uptime, in nanoseconds. The
// time field of what is really text would be higher.
const maxTime = 1 << 60

var errNoRecord = errors.New("this is no record")

// recordLog is the record log of one core.
type recordLog struct {
	*reader
	buf              *mem.Window
	size             uint64 // of buf
	header           uint64 // bytes of a record before its text
	ts, len, textLen field
	callerID         field // of width 0 if not known, or not wanted
}

// writeRecords writes the log of a kernel that has the record layout.
func (r *reader) writeRecords() error {
	g := recordLog{reader: r}
	l := layouts{kernel: r.kernel}
	s := l.structure("printk_log", "log")
	g.header = s.size
	g.ts = l.field(s, 8, "ts_nsec")
	g.len = l.field(s, 2, "len")
	g.textLen = l.field(s, 2, "text_len")
	if r.opt.Caller {
		g.callerID = l.optional(s, 4, "caller_id")
	}
	if l.err != nil {
		return r.unknown(l.err)
	}

	buf, _, size, err := r.openBuf()
	if err != nil {
		return err
	}
	g.buf, g.size = buf, size
	from := "log_first_idx"
	if _, ok := r.kernel.Symbol("clear_idx"); ok && r.opt.SinceClear {
		from = "clear_idx"
	}
	first, err := r.variable(from, 4)
	if err != nil {
		return err
	}
	next, err := r.variable("log_next_idx", 4)
	if err != nil {
		return err
	}
	switch {
	case first > size || next > size || (first|next)%recordAlign != 0:
		r.stats.Salvaged = true
		return g.span(0, size)
	case first <= next:
		return g.span(first, next)
	}
	if err := g.span(first, size); err != nil {
		return err
	}
	return g.span(0, next)
}

// openBuf returns a window onto log_buf, and where and how long that is.
func (r *reader) openBuf() (w *mem.Window, base, size uint64, err error) {
	if base, err = r.variable("log_buf", r.word); err != nil {
		return nil, 0, 0, err
	}
	if size, err = r.variable("log_buf_len", 4); err != nil {
		return nil, 0, 0, err
	}
	if size == 0 || size > maxLogBuf {
		return nil, 0, 0, fmt.Errorf("log_buf_len %d is not between 1 and %d", size, maxLogBuf)
	}
	if w, err = mem.NewWindow(r.mem, mem.VirtAddr(base), size, textWindow); err != nil {
		return nil, 0, 0, fmt.Errorf("log_buf: %w", err)
	}
	return w, base, size, nil
}

// span writes the records in the bytes [from, to) of the buffer. Behind a
// damaged one it looks for the next that may be one.
func (g *recordLog) span(from, to uint64) error {
	lost := false // what lies before at is already counted as damaged
	for at := from; at+g.header <= to; {
		h, err := g.buf.Read(at, g.header)
		if err == nil && g.uint(g.len.of(h)) == 0 && to == g.size && !lost {
			return nil // the rest of the buffer is unused
		}
		if err == nil && g.plausible(h, to-at) {
			n, err := g.record(h, at)
			if err != nil {
				return err
			}
			at, lost = at+n, false
			continue
		}
		if !lost {
			if err == nil {
				err = errNoRecord
			}
			g.stats.damage("log_buf+%#x: %w", at, err)
			lost = true
		}
		at += recordAlign
	}
	return nil
}

// plausible reports whether h may be the header of a record, with room bytes
// between its start and the end of the records.
func (g *recordLog) plausible(h []byte, room uint64) bool {
	n := g.uint(g.len.of(h))
	return n%recordAlign == 0 && n <= room && n >= g.header+g.uint(g.textLen.of(h)) && g.uint(g.ts.of(h)) < maxTime
}

// record writes the record at the given offset, whose header is h, and returns
// its length. The error is one of writing.
func (g *recordLog) record(h []byte, at uint64) (n uint64, err error) {
	n = g.uint(g.len.of(h))
	g.out.begin(g.uint(g.ts.of(h)))
	if g.callerID.width != 0 {
		g.out.caller(uint32(g.uint(g.callerID.of(h))))
	}
	text, err := g.buf.Read(at+g.header, g.uint(g.textLen.of(h)))
	if err != nil {
		g.stats.damage("log_buf+%#x: %w", at, err)
		return n, nil
	}
	g.stats.Records++
	return n, g.out.end(text)
}
