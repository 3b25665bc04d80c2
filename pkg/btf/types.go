// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package btf

import (
	"bytes"
	"fmt"
)

// kind is what sort of type a type is (BTF_KIND_ in include/uapi/linux/btf.h).
type kind uint8

const (
	kindInt      kind = 1
	kindPtr      kind = 2
	kindArray    kind = 3
	kindStruct   kind = 4
	kindUnion    kind = 5
	kindEnum     kind = 6
	kindTypedef  kind = 8
	kindVolatile kind = 9
	kindConst    kind = 10
	kindRestrict kind = 11
	kindFloat    kind = 16
	kindTypeTag  kind = 18
	kindEnum64   kind = 19
)

// definesName reports whether types of the kind can be asked for by name.
func (k kind) definesName() bool {
	switch k {
	case kindStruct, kindUnion, kindEnum, kindEnum64, kindTypedef:
		return true
	}
	return false
}

// isAlias reports whether the type is another one, called or used differently.
func (k kind) isAlias() bool {
	switch k {
	case kindTypedef, kindVolatile, kindConst, kindRestrict, kindTypeTag:
		return true
	}
	return false
}

// kindSizes says by kind how many bytes follow the 12 that each type has: once,
// and for each of its vlen elements. A kind that is not known has once < 0.
type kindSizes [128]struct{ once, each int16 }

// knownKinds returns the sizes of the kinds up to Linux 7.2.
func knownKinds() (s kindSizes) {
	for i := range s {
		s[i].once = -1
	}
	for k := kindPtr; k <= kindEnum64; k++ {
		s[k].once = 0
	}
	s[kindInt].once = 4
	s[kindArray].once = 12
	s[kindStruct].each = 12
	s[kindUnion].each = 12
	s[kindEnum].each = 8
	s[13].each = 8  // FUNC_PROTO
	s[14].once = 4  // VAR
	s[15].each = 12 // DATASEC
	s[17].once = 4  // DECL_TAG
	s[kindEnum64].each = 12
	return s
}

// learn adds the kinds of the layout section (struct btf_layout, one for each
// kind from 0 on) that this program does not know.
func (s *kindSizes) learn(layout section) error {
	n := min(layout.size/4, uint64(len(s)))
	b, err := layout.Read(0, n*4)
	if err != nil {
		return err
	}
	for k := range n {
		if s[k].once < 0 && k > 0 {
			s[k].once, s[k].each = int16(b[4*k]), int16(b[4*k+1])
		}
	}
	return nil
}

// typ is what the first 12 bytes of a type say (struct btf_type).
type typ struct {
	name uint32 // offset of a string, 0 if it has none
	kind kind
	flag bool   // kind_flag, whose meaning depends on the kind
	vlen uint32 // number of elements
	// size is the type's size in bytes, or the number of the type that it is
	// made from, depending on the kind.
	size uint32
	body uint64 // offset in the section of what follows
	end  uint64 // offset of the next type
}

// typeAt reads the type at an offset in the section, and sees to it that all
// of it lies in there.
func (t *Types) typeAt(off uint64) (typ, error) {
	if off+12 > t.types.size {
		return typ{}, fmt.Errorf("%w: %d bytes left of the section", ErrInvalid, t.types.size-off)
	}
	b, err := t.types.Read(off, 12)
	if err != nil {
		return typ{}, err
	}
	info := t.order.Uint32(b[4:])
	d := typ{
		name: t.order.Uint32(b),
		// Before 7.1 kind had 5 bits and vlen 16; those between were 0.
		kind: kind(info >> 24 & 0x7f),
		flag: info>>31 != 0,
		vlen: info & 0xffffff,
		size: t.order.Uint32(b[8:]),
		body: off + 12,
	}
	s := t.sizes[d.kind]
	if s.once < 0 {
		return typ{}, fmt.Errorf("%w: unknown kind %d", ErrInvalid, d.kind)
	}
	d.end = d.body + uint64(s.once) + uint64(s.each)*uint64(d.vlen)
	if d.end > t.types.size {
		return typ{}, fmt.Errorf("%w: it ends at %#x, the section at %#x", ErrInvalid, d.end, t.types.size)
	}
	return d, nil
}

// maxAliases bounds a chain of typedefs and qualifiers.
const maxAliases = 64

// resolve returns what d is under its typedefs and qualifiers.
func (t *Types) resolve(d typ) (typ, error) {
	for range maxAliases {
		if !d.kind.isAlias() {
			return d, nil
		}
		var err error
		if d, err = t.byID(d.size); err != nil {
			return typ{}, err
		}
	}
	return typ{}, fmt.Errorf("%w: over %d typedefs and qualifiers in a row", ErrInvalid, maxAliases)
}

// resolveID returns what type id is under its typedefs and qualifiers.
func (t *Types) resolveID(id uint32) (typ, error) {
	d, err := t.byID(id)
	if err != nil {
		return typ{}, err
	}
	return t.resolve(d)
}

// The strings are searched in pieces of stringWindow bytes, for strings of up to
// maxString.
const (
	stringWindow = 64 << 10
	maxString    = 1 << 10
)

// stringOffset returns where the string s is. There is no index of strings:
// it is searched for, and remembered. (The kernel's BTF has every string once.)
func (t *Types) stringOffset(s string) (uint32, error) {
	if off, ok := t.names[s]; ok {
		return off, nil
	}
	// The first string is the empty one, so that each other has a zero before it.
	pattern := []byte("\x00" + s + "\x00")
	if s == "" || len(pattern) > maxString {
		return 0, fmt.Errorf("%q: %w", s, ErrNotFound)
	}
	const chunk = stringWindow - maxString
	for off := uint64(0); off < t.strings.size; off += chunk {
		b, err := t.strings.Read(off, min(chunk+uint64(len(pattern)), t.strings.size-off))
		if err != nil {
			return 0, fmt.Errorf("strings of BTF: %w", err)
		}
		if i := bytes.Index(b, pattern); i >= 0 {
			found := uint32(off) + uint32(i) + 1
			t.names[s] = found
			return found, nil
		}
	}
	return 0, fmt.Errorf("%s: %w", s, ErrNotFound)
}
