// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmcoreinfo

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/ukdump/ukdump/pkg/mem"
)

// MaxSize bounds the note that Parse accepts, in bytes. The kernel reserves one
// page for it, 64 KiB where pages are largest.
const MaxSize = 1 << 20

// maxPageSize is the largest page size of any architecture that Linux runs on.
const maxPageSize = 256 << 10

// ErrInvalid is what every error of Parse wraps.
var ErrInvalid = errors.New("invalid VMCOREINFO")

// Info is a parsed VMCOREINFO note.
type Info struct {
	raw    []byte
	values map[string]string

	symbols, sizes, offsets, lengths map[string]uint64
	numbers                          map[string]int64
	pageSize                         uint64
	crashTime                        int64
	kernelOffset                     uint64
}

// Parse reads the contents of a VMCOREINFO note. It refuses, with an error that
// wraps ErrInvalid and names the key: text without OSRELEASE or PAGESIZE, a
// number that is none, a page size that no machine has, and a key that occurs
// twice with different values. Lines without "=" are skipped, as makedumpfile
// and crash skip them.
func Parse(raw []byte) (*Info, error) {
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrInvalid, len(raw))
	}
	info := &Info{
		raw:     raw,
		values:  map[string]string{},
		symbols: map[string]uint64{}, sizes: map[string]uint64{},
		offsets: map[string]uint64{}, lengths: map[string]uint64{},
		numbers: map[string]int64{},
	}
	// The note is padded with zeros to its fixed size.
	text, _, _ := bytes.Cut(raw, []byte{0})
	for line := range strings.Lines(string(text)) {
		key, value, found := strings.Cut(strings.TrimRight(line, "\n"), "=")
		if !found {
			continue
		}
		if err := info.add(key, value); err != nil {
			return nil, err
		}
	}
	if info.OSRelease() == "" {
		return nil, fmt.Errorf("%w: no OSRELEASE", ErrInvalid)
	}
	if info.pageSize == 0 {
		return nil, fmt.Errorf("%w: no PAGESIZE", ErrInvalid)
	}
	return info, nil
}

func (i *Info) add(key, value string) error {
	if old, seen := i.values[key]; seen {
		if old != value {
			return fmt.Errorf("%w: %.60q is there twice, as %.40q and %.40q", ErrInvalid, key, old, value)
		}
		return nil
	}
	i.values[key] = value
	if err := i.addNumber(key, value); err != nil {
		var number *strconv.NumError // its text repeats the value, however long
		if errors.As(err, &number) {
			err = number.Err
		}
		return fmt.Errorf("%w: %.100q: %w", ErrInvalid, key+"="+value, err)
	}
	return nil
}

func (i *Info) addNumber(key, value string) (err error) {
	switch key {
	case "PAGESIZE":
		i.pageSize, err = strconv.ParseUint(value, 10, 64)
		if err == nil && (i.pageSize < 4096 || i.pageSize > maxPageSize || bits.OnesCount64(i.pageSize) != 1) {
			err = errors.New("not a page size")
		}
		return err
	case "CRASHTIME":
		i.crashTime, err = strconv.ParseInt(value, 10, 64)
		return err
	case "KERNELOFFSET":
		i.kernelOffset, err = strconv.ParseUint(value, 16, 64)
		return err
	}
	kind, rest, _ := strings.Cut(key, "(")
	name, closed := strings.CutSuffix(rest, ")")
	if !closed {
		return nil
	}
	switch kind {
	case "SYMBOL":
		i.symbols[name], err = strconv.ParseUint(value, 16, 64)
	case "SIZE":
		i.sizes[name], err = strconv.ParseUint(value, 10, 64)
	case "OFFSET":
		i.offsets[name], err = strconv.ParseUint(value, 10, 64)
	case "LENGTH":
		i.lengths[name], err = strconv.ParseUint(value, 10, 64)
	case "NUMBER":
		i.numbers[name], err = parseNumber(value)
	}
	return err
}

// parseNumber reads NUMBER() values, which most of the kernel prints with %ld
// and some architectures with 0x%lx or %llx.
func parseNumber(s string) (int64, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0x"), 16, 64)
	return int64(n), err
}

// Raw returns the note's contents as given to Parse.
func (i *Info) Raw() []byte { return i.raw }

// Value returns the text behind key, for example "OSRELEASE" or
// "SYMBOL(mem_section)".
func (i *Info) Value(key string) (string, bool) {
	v, ok := i.values[key]
	return v, ok
}

// OSRelease returns the crashed kernel's release, as in uname -r; never empty.
func (i *Info) OSRelease() string { return i.values["OSRELEASE"] }

// PageSize returns the crashed kernel's page size in bytes, a power of two
// between 4 KiB and 256 KiB.
func (i *Info) PageSize() uint64 { return i.pageSize }

// PageShift returns the base-2 logarithm of PageSize.
func (i *Info) PageShift() uint { return uint(bits.TrailingZeros64(i.pageSize)) }

// WordSize returns the size of the crashed kernel's unsigned long and pointers in
// bytes, 4 or 8. Every kernel tells it by where the second pointer of a list
// head lies.
func (i *Info) WordSize() uint64 {
	if off, ok := i.Offset("list_head.prev"); ok && off == 4 {
		return 4
	}
	return 8
}

// CrashTime returns when the kernel crashed, in seconds since 1970 UTC by the
// crashed machine's clock; 0 if the kernel did not crash (a live core).
func (i *Info) CrashTime() int64 { return i.crashTime }

// KernelOffset returns by how many bytes KASLR moved the kernel image from
// where it was linked; symbol addresses here have it added already.
func (i *Info) KernelOffset() uint64 { return i.kernelOffset }

// Symbol returns the run-time address of a kernel symbol.
func (i *Info) Symbol(name string) (mem.VirtAddr, bool) {
	v, ok := i.symbols[name]
	return mem.VirtAddr(v), ok
}

// Size returns the size in bytes of a structure or type.
func (i *Info) Size(name string) (uint64, bool) {
	v, ok := i.sizes[name]
	return v, ok
}

// Offset returns the byte offset of a field, named as in "page.flags".
func (i *Info) Offset(name string) (uint64, bool) {
	v, ok := i.offsets[name]
	return v, ok
}

// Length returns the number of elements of an array, named as in
// "zone.free_area".
func (i *Info) Length(name string) (uint64, bool) {
	v, ok := i.lengths[name]
	return v, ok
}

// Number returns a constant or variable. Unsigned 64-bit values come as the
// signed value of the same bits.
func (i *Info) Number(name string) (int64, bool) {
	v, ok := i.numbers[name]
	return v, ok
}
