// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"bufio"
	"fmt"
	"io"
)

// callerCPU marks a caller id as that of a processor instead of a thread
// (printk_caller_id in kernel/printk/printk.c).
const callerCPU = 1 << 31

// printer writes log text, escaped and indented. Errors stay with the
// bufio.Writer until Flush.
type printer struct {
	*bufio.Writer
	prefix []byte // reused from record to record
}

func newPrinter(w io.Writer) printer {
	return printer{Writer: bufio.NewWriterSize(w, 16<<10)}
}

// begin starts the line of a record logged at ts nanoseconds since boot.
func (p *printer) begin(ts uint64) {
	p.prefix = fmt.Appendf(p.prefix[:0], "[%5d.%06d] ", ts/1e9, ts%1e9/1e3)
}

// caller adds a caller id to the line that was begun.
func (p *printer) caller(id uint32) {
	kind := 'T'
	if id&callerCPU != 0 {
		kind = 'C'
	}
	// The number takes up to 7 columns, right-aligned with its letter.
	p.prefix = fmt.Appendf(p.prefix, "[%8s] ", fmt.Sprintf("%c%d", kind, id&^callerCPU))
}

// end writes the line that was begun, with the record's text.
func (p *printer) end(text []byte) error {
	p.Write(p.prefix)
	for i := range p.prefix {
		p.prefix[i] = ' '
	}
	p.text(text, p.prefix)
	return p.WriteByte('\n')
}

// text writes text with everything escaped that a terminal could take for a
// command, and indent after each line feed.
func (p *printer) text(text, indent []byte) error {
	const hex = "0123456789abcdef"
	var err error
	for _, c := range text {
		switch {
		case c == '\n':
			p.WriteByte(c)
			_, err = p.Write(indent)
		case c >= ' ' && c < 0x7f || c == '\t':
			err = p.WriteByte(c)
		default:
			_, err = p.Write([]byte{'\\', 'x', hex[c>>4], hex[c&15]})
		}
	}
	return err
}
