// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package btf reads the type information that a kernel carries about itself
// (CONFIG_DEBUG_INFO_BTF) from the crashed kernel's memory, between the symbols
// __start_BTF and __stop_BTF. It answers where a structure's members lie, how
// big types are and what an enumerator's value is: what VMCOREINFO does not say
// of kernels newer than this program.
//
// It is made for a capture kernel that has no memory to spare. The megabytes of
// BTF stay where they are; one pass over them makes an index of a few hundred
// kilobytes, and each question reads what it needs. Nothing here knows what the
// types are for.
//
// The format (include/uapi/linux/btf.h, Documentation/bpf/btf.rst) is a header,
// a section of types and one of zero-terminated strings. A type is 12 bytes,
// followed by so many of its kind as the kind says. Types are referred to by
// their number, counted from 1 in the order in which they come, names by their
// offset in the strings.
package btf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/ukdump/ukdump/pkg/mem"
)

var (
	// ErrInvalid says that the memory holds no BTF, or damaged one.
	ErrInvalid = errors.New("invalid BTF")
	// ErrNotFound says that the kernel has no such type, member or enumerator.
	ErrNotFound = errors.New("not in the kernel's BTF")
)

const (
	magic      = 0xeb9f
	headerSize = 24 // without what later kernels add at its end

	// maxSize bounds the whole BTF, in bytes. Distribution kernels have 5 MB.
	maxSize = 32 << 20
	// maxNamed bounds the index of names. Distribution kernels have 25,000.
	maxNamed = 1 << 18
	// stride is how many types lie between two whose place is remembered.
	stride = 64
)

// Types is the type information of one kernel. It is for one goroutine.
type Types struct {
	order   binary.ByteOrder
	sizes   kindSizes
	types   section
	strings section

	every []uint32          // offsets of types 1, 1+stride, 1+2*stride, …
	count uint32            // number of types
	named []namedType       // sorted by name
	names map[string]uint32 // offsets of strings that were looked up
}

// section is one of the parts of BTF.
type section struct {
	*mem.Window
	size uint64
}

// namedType says where the definition of a type lies that can be asked for.
type namedType struct {
	name uint32 // offset of the string
	off  uint32 // offset of the type
	kind kind
}

// Open reads the BTF in the memory [start, stop) and indexes it. The error
// wraps ErrInvalid or one of mem's.
func Open(vm mem.VirtReader, start, stop mem.VirtAddr, order binary.ByteOrder) (*Types, error) {
	t := &Types{order: order, sizes: knownKinds(), names: map[string]uint32{}}
	if start >= stop || stop-start > maxSize {
		return nil, fmt.Errorf("%w: it cannot lie between %v and %v", ErrInvalid, start, stop)
	}
	if err := t.readHeader(vm, start, uint64(stop-start)); err != nil {
		return nil, fmt.Errorf("BTF header: %w", err)
	}
	if err := t.index(); err != nil {
		return nil, err
	}
	return t, nil
}

// readHeader finds the sections.
func (t *Types) readHeader(vm mem.VirtReader, start mem.VirtAddr, size uint64) error {
	var h [headerSize + 8]byte
	if size < headerSize {
		return fmt.Errorf("%w: %d bytes", ErrInvalid, size)
	}
	if err := vm.ReadVirt(h[:headerSize], start); err != nil {
		return err
	}
	if got := t.order.Uint16(h[:]); got != magic || h[2] != 1 {
		return fmt.Errorf("%w: magic %#x, version %d", ErrInvalid, got, h[2])
	}
	length := uint64(t.order.Uint32(h[4:]))
	if length < headerSize || length > size {
		return fmt.Errorf("%w: header of %d bytes", ErrInvalid, length)
	}
	// Offsets count from the header's end.
	open := func(at, buffer int) (section, error) {
		off, n := uint64(t.order.Uint32(h[at:])), uint64(t.order.Uint32(h[at+4:]))
		if off+n > size-length {
			return section{}, fmt.Errorf("%w: %d bytes at %d lie outside of it", ErrInvalid, n, off)
		}
		w, err := mem.NewWindow(vm, start+mem.VirtAddr(length+off), n, buffer)
		return section{w, n}, err
	}
	var err error
	if t.types, err = open(8, 16<<10); err != nil {
		return err
	}
	if t.strings, err = open(16, stringWindow); err != nil {
		return err
	}
	if length < headerSize+8 {
		return nil
	}
	// Since 7.1 the kernel may say how long types of each kind are.
	if err := vm.ReadVirt(h[:], start); err != nil {
		return err
	}
	layout, err := open(headerSize, 4*len(t.sizes))
	if err != nil {
		return err
	}
	return t.sizes.learn(layout)
}

// index makes the index, in one pass over the types.
func (t *Types) index() error {
	for off := uint64(0); off < t.types.size; {
		d, err := t.typeAt(off)
		if err != nil {
			return fmt.Errorf("BTF type %d: %w", t.count+1, err)
		}
		if t.count%stride == 0 {
			t.every = append(t.every, uint32(off))
		}
		t.count++
		if d.name != 0 && d.kind.definesName() {
			if len(t.named) == maxNamed {
				return fmt.Errorf("%w: over %d named types", ErrInvalid, maxNamed)
			}
			t.named = append(t.named, namedType{d.name, uint32(off), d.kind})
		}
		off = d.end
	}
	// Among types of one name the first comes first.
	slices.SortStableFunc(t.named, func(a, b namedType) int { return int(a.name) - int(b.name) })
	return nil
}

// byID returns type id.
func (t *Types) byID(id uint32) (typ, error) {
	if id == 0 || id > t.count {
		return typ{}, fmt.Errorf("%w: no type %d", ErrInvalid, id)
	}
	d, err := t.typeAt(uint64(t.every[(id-1)/stride]))
	for range (id - 1) % stride {
		if err != nil {
			break
		}
		d, err = t.typeAt(d.end)
	}
	return d, err
}

// byName returns the definition of the structure, union or enumeration of that
// name, or else of the typedef.
func (t *Types) byName(name string) (typ, error) {
	offset, err := t.stringOffset(name)
	if err != nil {
		return typ{}, err
	}
	i, _ := slices.BinarySearchFunc(t.named, offset, func(n namedType, name uint32) int { return int(n.name) - int(name) })
	found := -1
	for ; i < len(t.named) && t.named[i].name == offset; i++ {
		if t.named[i].kind != kindTypedef {
			found = i
			break
		}
		if found < 0 {
			found = i
		}
	}
	if found < 0 {
		return typ{}, fmt.Errorf("%s: %w", name, ErrNotFound)
	}
	d, err := t.typeAt(uint64(t.named[found].off))
	if err != nil {
		return typ{}, err
	}
	return t.resolve(d)
}
