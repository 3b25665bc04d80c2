// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package kallsyms reads the crashed kernel's own symbol table from its memory:
// the address of every function and, with CONFIG_KALLSYMS_ALL, of every
// variable. VMCOREINFO says where the table lies (since Linux 6.0, f09bddbd8661);
// from it come the symbols that VMCOREINFO lacks.
//
// The table (scripts/kallsyms.c, kernel/kallsyms.c) is made of
//
//   - kallsyms_num_syms, the number of symbols, 32 bits
//   - kallsyms_names, for each symbol a length and so many token numbers; the
//     tokens put together are the type letter of nm(1) and the name
//   - kallsyms_token_table, the 256 tokens, zero-terminated strings, and
//     kallsyms_token_index, where each begins in it, 16 bits each
//   - kallsyms_offsets (or kallsyms_addresses), by symbol, what says where it is
//
// How addresses are encoded has changed four times, and nothing in the table
// says how it is in this one. So every encoding is tried, and the one is taken
// that gives for _stext the address that VMCOREINFO states.
//
// Symbols are streamed: nothing of the table's megabytes is kept.
package kallsyms

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// ErrUnknownLayout says that the table is missing, damaged or of a kind that
// is not known.
var ErrUnknownLayout = errors.New("kernel symbol table not understood")

const (
	// maxSymbols bounds the table. Distribution kernels have 200,000 symbols,
	// the biggest builds a million.
	maxSymbols = 1 << 23
	// maxName bounds a type letter and name, in bytes (KSYM_NAME_LEN is 512).
	maxName = 1024
	// maxTokens bounds kallsyms_token_table: the index has 16 bits, and behind
	// where the last token begins it goes on.
	maxTokens = 1<<16 + maxName
)

// anchor is the symbol whose address VMCOREINFO states for every architecture.
const anchor = "_stext"

// Symbol is a symbol of the kernel.
type Symbol struct {
	// Name is the symbol's name. Names may occur more than once.
	Name string
	// Type is the letter that nm(1) prints, for example 't' for a function
	// that is local to its file.
	Type byte
	// Addr is its address at run time, KASLR included. That of a per-CPU
	// variable may be an offset into the CPU's area instead.
	Addr mem.VirtAddr
}

// Table is the symbol table of one crashed kernel. It is for one goroutine.
type Table struct {
	order  binary.ByteOrder
	count  uint64
	tokens [256]string
	names  *mem.Window
	addrs  *mem.Window // kallsyms_offsets, or kallsyms_addresses

	// How addrs is encoded.
	decode decoder
	width  uint64       // of an element in bytes
	base   uint64       // kallsyms_relative_base; 0 if there is none
	at     mem.VirtAddr // kallsyms_offsets
}

// Open finds the table and how it is encoded. The error wraps
// ErrUnknownLayout and names the key or symbol that is missing or absurd.
func Open(info *vmcoreinfo.Info, vm mem.VirtReader, order binary.ByteOrder) (*Table, error) {
	t := &Table{order: order}
	if err := t.open(info, vm); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknownLayout, err)
	}
	return t, nil
}

func (t *Table) open(info *vmcoreinfo.Info, vm mem.VirtReader) error {
	o := opener{info: info, mem: vm, order: t.order}
	t.count = o.variable("kallsyms_num_syms", 4)
	if o.err == nil && (t.count == 0 || t.count > maxSymbols) {
		return fmt.Errorf("kallsyms_num_syms is %d", t.count)
	}
	t.names = o.window("kallsyms_names", t.count*(maxName+2))
	o.readTokens(&t.tokens)
	if o.err != nil {
		return o.err
	}
	want, ok := info.Symbol(anchor)
	if !ok {
		return errors.New("VMCOREINFO has no SYMBOL(" + anchor + ")")
	}
	decoders := t.openAddrs(&o)
	if o.err != nil {
		return o.err
	}
	return t.chooseDecoder(decoders, want)
}

// openAddrs opens the table of addresses and returns the ways in which it may
// be encoded.
func (t *Table) openAddrs(o *opener) []decoder {
	if _, ok := o.info.Symbol("kallsyms_addresses"); ok {
		t.width = o.info.WordSize()
		t.addrs = o.window("kallsyms_addresses", t.count*t.width)
		return []decoder{absolute}
	}
	t.at, t.width = o.symbol("kallsyms_offsets"), 4
	t.addrs = o.window("kallsyms_offsets", t.count*4)
	if _, ok := o.info.Symbol("kallsyms_relative_base"); ok {
		t.base = o.variable("kallsyms_relative_base", o.info.WordSize())
	}
	return relativeDecoders
}

// chooseDecoder takes the decoder that gives the anchor the address want.
func (t *Table) chooseDecoder(decoders []decoder, want mem.VirtAddr) error {
	i, err := t.index(anchor)
	if err != nil {
		return err
	}
	for _, t.decode = range decoders {
		got, err := t.addr(i)
		if err != nil {
			return fmt.Errorf("address of symbol %d: %w", i, err)
		}
		if got == want {
			return nil
		}
	}
	return fmt.Errorf("no known encoding gives %v as the address of %s", want, anchor)
}

// index returns the number of the symbol name.
func (t *Table) index(name string) (uint64, error) {
	r := nameReader{table: t}
	for i := range t.count {
		s, err := r.next()
		if err != nil {
			return 0, err
		}
		if string(s[1:]) == name {
			return i, nil
		}
	}
	return 0, errors.New("no symbol " + name)
}

// Len returns the number of symbols.
func (t *Table) Len() int { return int(t.count) }

// Find returns the symbols of the given names, in the order of names. Of
// symbols that share a name it returns the first in the table. One that is not
// in the table, or whose address cannot be read, has Addr 0; it is an error
// only that the table itself cannot be read to its end.
func (t *Table) Find(names ...string) ([]Symbol, error) {
	found := make([]Symbol, len(names))
	missing := len(names)
	r := nameReader{table: t}
	for i := uint64(0); i < t.count && missing > 0; i++ {
		s, err := r.next()
		if err != nil {
			return found, fmt.Errorf("%w: %w", ErrUnknownLayout, err)
		}
		for j, name := range names {
			if found[j].Name != "" || string(s[1:]) != name {
				continue
			}
			missing--
			found[j] = Symbol{Name: name, Type: s[0]}
			if addr, err := t.addr(i); err == nil {
				found[j].Addr = addr
			}
		}
	}
	return found, nil
}

// Each calls f for every symbol, in the order of the table, which is that of
// addresses, until f returns false. Symbols whose address cannot be read are
// left out.
func (t *Table) Each(f func(Symbol) bool) error {
	r := nameReader{table: t}
	for i := range t.count {
		s, err := r.next()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnknownLayout, err)
		}
		addr, err := t.addr(i)
		if err != nil {
			continue
		}
		if !f(Symbol{Name: string(s[1:]), Type: s[0], Addr: addr}) {
			return nil
		}
	}
	return nil
}

// nameReader reads the names from the first on.
type nameReader struct {
	table *Table
	i     uint64 // number of the next symbol
	off   uint64 // of its name
	buf   []byte
}

// next returns the type letter and name of the next symbol, valid until the
// next call.
func (r *nameReader) next() ([]byte, error) {
	size, err := r.length()
	if err != nil {
		return nil, fmt.Errorf("name of symbol %d: %w", r.i, err)
	}
	numbers, err := r.table.names.Read(r.off, size)
	if err != nil {
		return nil, fmt.Errorf("name of symbol %d: %w", r.i, err)
	}
	r.buf = r.buf[:0]
	for _, n := range numbers {
		r.buf = append(r.buf, r.table.tokens[n]...)
		if len(r.buf) > maxName {
			return nil, fmt.Errorf("name of symbol %d is over %d bytes long", r.i, maxName)
		}
	}
	if len(r.buf) < 2 {
		return nil, fmt.Errorf("symbol %d has no name", r.i)
	}
	r.off += size
	r.i++
	return r.buf, nil
}

// length reads the length of a name: a byte, or since 6.1 (73bbb94466fd) one
// with its highest bit set and a second with the higher bits. Before that no
// length was over 127: names had up to 128 bytes, and compression always gains
// something.
func (r *nameReader) length() (uint64, error) {
	b, err := r.table.names.Read(r.off, 1)
	if err != nil {
		return 0, err
	}
	r.off++
	n := uint64(b[0])
	if n < 0x80 {
		return n, nil
	}
	if b, err = r.table.names.Read(r.off, 1); err != nil {
		return 0, err
	}
	r.off++
	return n&0x7f | uint64(b[0])<<7, nil
}
