// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package printk writes the crashed kernel's log as text, from its memory. The
// log is what a crash report needs first, so it is read with nothing but
// VMCOREINFO and address translation, before any page is filtered, and with as
// little memory whatever the size of the log. Only for what VMCOREINFO does not
// say, the kernel's own tables are asked (see Kernel).
//
// Three layouts exist, one file each:
//
//   - the lockless printk_ringbuffer, Linux 5.10 and later (ring.go)
//   - a ring of records, Linux 3.5 to 5.9 (records.go)
//   - a ring of characters, before that (chars.go)
//
// Where their structures are damaged, WriteText finds the bare texts.
//
// The text is that of makedumpfile --dump-dmesg: "[    0.000000] text", the
// further lines of a record indented below its first. It differs where that
// tool is wrong or careless:
//
//   - The log is foreign text that ends in terminals. Every byte that is not
//     printable ASCII, a tab or a line feed is written as \xNN. (makedumpfile
//     and kexec-tools let carriage returns, vertical tabs and form feeds pass;
//     makedumpfile writes bytes over 127 as \xffffffNN.)
//   - An empty line that the kernel logged is a line here, as in dmesg(1).
//     makedumpfile drops it.
//   - A record that ends exactly at the end of the ring is read from where it
//     lies. makedumpfile 1.7, crash 9 and drgn 0.2 look for it at the ring's start.
package printk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/ukdump/ukdump/pkg/mem"
)

// Kernel is asked where the log and its structures lie. *kstruct.Kernel
// implements it.
type Kernel interface {
	// Need says that the caller cannot do without any of the keys, each written
	// as in VMCOREINFO: what is not there is to be found elsewhere.
	Need(keys ...string)
	// Warning says in one line why that was not possible; "" if it was.
	Warning() string
	// Symbol returns the run-time address of a kernel symbol.
	Symbol(name string) (mem.VirtAddr, bool)
	// Size returns the size in bytes of a structure.
	Size(name string) (uint64, bool)
	// Offset returns the byte offset of a field, named as in "printk_info.seq".
	Offset(name string) (uint64, bool)
	// WordSize returns the size in bytes of an unsigned long, 4 or 8.
	WordSize() uint64
}

// Options choose what Write writes. The zero value gives the whole log as
// dmesg(1) shows it.
type Options struct {
	// Caller adds who logged a record, "[    T123]" for a thread or "[      C1]"
	// for a processor in interrupt context, where the kernel kept it: always
	// since 5.10, with CONFIG_PRINTK_CALLER from 5.1 to 5.9. makedumpfile prints
	// it since 1.7.5 whenever VMCOREINFO has its offset, dmesg(1) only for
	// kernels built with that option.
	Caller bool
	// SinceClear leaves out what was logged before the last "dmesg --clear",
	// like makedumpfile --partial-dmesg. A kernel that does not say when that
	// was gives its whole log.
	SinceClear bool
}

// Stats says what was written, and what the log is known to lack.
type Stats struct {
	// Records is the number of records written. A log of the character layout
	// counts as one.
	Records uint64
	// Torn records were written with less text than they should have.
	Torn uint64
	// Dropped records are those for whose text the kernel found no room.
	Dropped uint64
	// Unfinished records were being written when the kernel stopped.
	Unfinished uint64
	// Damaged records, or damaged stretches of the log, could not be read or
	// contradict themselves; Err says how the first of them did.
	Damaged uint64
	Err     error
	// Salvaged is true if the log did not say where it begins and ends, so that
	// every record found in it was written.
	Salvaged bool
}

// String lists what is missing from the log, for a message; it is empty if
// nothing is.
func (s Stats) String() string {
	var text []byte
	add := func(n uint64, what string) {
		if n == 0 {
			return
		}
		if len(text) > 0 {
			text = append(text, ", "...)
		}
		text = fmt.Appendf(text, "%d %s", n, what)
	}
	add(s.Torn, "cut short")
	add(s.Dropped, "dropped by the kernel")
	add(s.Unfinished, "unfinished")
	add(s.Damaged, "damaged")
	if s.Err != nil {
		text = fmt.Appendf(text, " (%v)", s.Err)
	}
	if s.Salvaged {
		if len(text) > 0 {
			text = append(text, "; "...)
		}
		text = append(text, "the log's head or tail is damaged, wrote every record found"...)
	}
	return string(text)
}

// damage counts a damaged record. Only the first is described: a damaged ring
// may have millions.
func (s *Stats) damage(format string, args ...any) {
	s.Damaged++
	if s.Err == nil {
		s.Err = fmt.Errorf(format, args...)
	}
}

// Write writes the kernel's log to w. The memory is read through vm, with
// integers in the crashed machine's byte order.
//
// A damaged record costs that record and is counted. Write returns an error if
// writing to w fails, if the kernel does not tell a key (which the error names),
// if the log's own structures cannot be read or are absurd, or if not one record
// of a log that has some could be read. The Stats are valid in any case.
func Write(w io.Writer, kernel Kernel, vm mem.VirtReader, order binary.ByteOrder, opt Options) (Stats, error) {
	r := reader{kernel: kernel, mem: vm, order: order, word: kernel.WordSize(), opt: opt, out: newPrinter(w)}
	err := r.writeLog()
	if err == nil {
		err = r.out.Flush()
	}
	if err == nil && r.stats.Records == 0 && r.stats.Damaged > 0 {
		err = r.stats.Err
	}
	if err != nil {
		err = fmt.Errorf("kernel log: %w", err)
	}
	return r.stats, err
}

// textWindow is the size of a window onto texts, in bytes. The longest text has
// 65535: its length is 16 bits wide in all layouts.
const textWindow = 64 << 10

// reader is one reading of one log.
type reader struct {
	kernel Kernel
	mem    mem.VirtReader
	order  binary.ByteOrder
	word   uint64 // size of unsigned long in bytes, 4 or 8
	opt    Options
	out    printer
	stats  Stats
}

// writeLog writes the log in whatever layout the kernel has.
func (r *reader) writeLog() error {
	r.kernel.Need("SYMBOL(prb) SYMBOL(log_first_idx) SYMBOL(log_end)")
	if _, ok := r.kernel.Symbol("prb"); ok {
		return r.writeRing()
	}
	if _, ok := r.kernel.Symbol("log_first_idx"); ok {
		return r.writeRecords()
	}
	if _, ok := r.kernel.Symbol("log_end"); ok {
		return r.writeChars()
	}
	return r.unknown(errors.New("the kernel tells none of SYMBOL(prb), SYMBOL(log_first_idx) and SYMBOL(log_end)"))
}

// unknown adds to an error about a key that is missing why it was not found
// elsewhere.
func (r *reader) unknown(err error) error {
	if warning := r.kernel.Warning(); warning != "" {
		return fmt.Errorf("%w (%s)", err, warning)
	}
	return err
}

// uint decodes the unsigned integer that all of b is.
func (r *reader) uint(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(r.order.Uint16(b))
	case 4:
		return uint64(r.order.Uint32(b))
	}
	return r.order.Uint64(b)
}

// variable reads the unsigned integer of size bytes that a kernel symbol names.
func (r *reader) variable(name string, size uint64) (uint64, error) {
	r.kernel.Need("SYMBOL(" + name + ")")
	addr, ok := r.kernel.Symbol(name)
	if !ok {
		return 0, r.unknown(fmt.Errorf("the kernel does not tell SYMBOL(%s)", name))
	}
	var buf [8]byte
	if err := r.mem.ReadVirt(buf[:size], addr); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return r.uint(buf[:size]), nil
}
