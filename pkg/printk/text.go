// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ukdump/ukdump/pkg/mem"
)

const (
	// maxBuffer bounds what the kernel may claim as the size of its log, in bytes:
	// LOG_BUF_LEN_MAX in kernel/printk/printk.c.
	maxBuffer = 1 << 31
	// minText is how many printable characters in a row are taken for text. What
	// lies between the texts is numbers.
	minText = 4
)

// WriteText writes the texts that are in the log's buffer, one a line, without
// anything that tells what they are: for logs whose other structures are damaged,
// so that Write fails. They come in the order of memory; the oldest may follow the
// newest. It returns how many there are. No text at all is an error.
func WriteText(w io.Writer, kernel Kernel, vm mem.VirtReader, order binary.ByteOrder) (texts int, err error) {
	r := reader{kernel: kernel, mem: vm, order: order, word: kernel.WordSize(), out: newPrinter(w)}
	texts, err = r.writeTexts()
	if err == nil && texts == 0 {
		err = errors.New("no text in it")
	}
	if err != nil {
		err = fmt.Errorf("kernel log's buffer: %w", err)
	}
	return texts, err
}

func (r *reader) writeTexts() (int, error) {
	// Since 5.10, only the kernel's own symbol table has these.
	base, err := r.variable("log_buf", r.word)
	if err != nil {
		return 0, err
	}
	size, err := r.variable("log_buf_len", 4)
	if err != nil {
		return 0, err
	}
	if size > maxBuffer {
		return 0, fmt.Errorf("log_buf_len is %d", size)
	}
	window, err := mem.NewWindow(r.mem, mem.VirtAddr(base), size, textWindow)
	if err != nil {
		return 0, err
	}
	const piece = 4096
	finder := textFinder{out: r.out}
	for off := uint64(0); off < size; off += piece {
		b, err := window.Read(off, min(piece, size-off))
		if err != nil {
			finder.end() // this costs what is on that page
			continue
		}
		finder.look(b)
	}
	finder.end()
	return finder.texts, r.out.Flush()
}

// textFinder writes the texts among the bytes that it is shown, one a line.
type textFinder struct {
	out   printer
	text  []byte // the one under way
	texts int
}

func (f *textFinder) look(b []byte) {
	for _, c := range b {
		printable := c == '\t' || c >= ' ' && c <= '~'
		if !printable || len(f.text) == textWindow {
			f.end()
		}
		if printable {
			f.text = append(f.text, c)
		}
	}
}

// end ends the text under way.
func (f *textFinder) end() {
	if len(f.text) >= minText {
		f.texts++
		f.out.Write(f.text)
		f.out.WriteByte('\n')
	}
	f.text = f.text[:0]
}
