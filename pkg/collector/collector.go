// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package collector is the core collector: it takes an open core to a written
// dump. It understands the kernel (addrxlat, kstruct, memmap), chooses the pages
// (pagefilter) and writes them (dump). The capture run and the makedumpfile
// applet are its two callers.
package collector

import (
	"context"
	"errors"
	"io"

	"github.com/ukdump/ukdump/pkg/vmcore"
)

// Options is what to write. The zero value is a level-0 dump without
// compression.
type Options struct {
	// Level is the dump level, 0 to 31: the sum of 1 zero pages, 2 page cache
	// without private data, 4 all page cache, 8 user data, 16 free pages.
	Level int
	// Codec compresses pages: "none", "zlib", "snappy", "zstd".
	Codec string
	// Threads is how many goroutines filter and compress; 0 means one for each CPU.
	Threads int
	// Fallback asks for a level-1 dump where the kernel's memory management
	// cannot be understood, instead of an error.
	Fallback bool
	// Progress, if not nil, is called now and then, from one goroutine at a time.
	Progress func(Progress)
	// Warn, if not nil, is called with one line for everything that was given
	// up: a damaged section, an unknown layout, an unreadable page.
	Warn func(line string)
}

// Progress is how far a step has come.
type Progress struct {
	Step        string // for example "filtering", "writing"
	Done, Total uint64 // in pages
	Bytes       uint64 // bytes of output written so far
}

// Report is what was written.
type Report struct {
	Level      int    // the dump level of the dump; 1 after a fallback
	PageSize   int    // bytes
	RAM        uint64 // pages of memory that the core describes
	Kept       uint64 // pages that the dump describes, zero pages among them
	Zero       uint64 // pages of zeros among Kept
	Unreadable uint64 // pages that should have been kept and could not be read
	// Excluded is how many pages each class cost.
	Excluded struct{ Cache, CachePrivate, User, Free, HWPoison, Offline uint64 }
	Bytes    uint64 // size of the dump
	// Incomplete says that the dump is marked as lacking pages.
	Incomplete bool
}

// ParseArgs reads a core_collector command line, for example
// ["makedumpfile", "-z", "-d", "31"]. An option that is not implemented is an
// error that names it. Configuration calls it when the image is built, and
// capture again when it runs.
func ParseArgs(args []string) (Options, error) { return Options{}, errors.New("not written yet") }

// Save writes a dump of core to out, which must be empty. It returns an error
// if there is no usable dump in out; a dump that lacks pages it marks as such
// in out and in the report.
func Save(ctx context.Context, core *vmcore.Core, out io.WriterAt, opts Options) (*Report, error) {
	return nil, errors.New("not written yet")
}
