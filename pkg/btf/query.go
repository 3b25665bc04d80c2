// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package btf

import (
	"fmt"
)

// Size returns the size in bytes of the structure, union or enumeration of that
// name, or of what the typedef of that name stands for. Pointers have no size
// in BTF.
func (t *Types) Size(name string) (uint64, error) {
	d, err := t.byName(name)
	if err != nil {
		return 0, err
	}
	switch d.kind {
	case kindStruct, kindUnion, kindEnum, kindEnum64, kindInt, kindFloat:
		return uint64(d.size), nil
	}
	return 0, fmt.Errorf("%s has no size: %w", name, ErrNotFound)
}

// Offset returns the offset in bytes of a member of the structure or union of
// that name. The member may lie in anonymous structures and unions within it.
// Bit fields have no such offset.
func (t *Types) Offset(name, member string) (uint64, error) {
	m, err := t.member(name, member)
	if err != nil {
		return 0, err
	}
	if m.isBitField || m.bits%8 != 0 {
		return 0, fmt.Errorf("%s.%s is a bit field: %w", name, member, ErrNotFound)
	}
	return m.bits / 8, nil
}

// Length returns the number of elements of a member that is an array.
func (t *Types) Length(name, member string) (uint64, error) {
	m, err := t.member(name, member)
	if err != nil {
		return 0, err
	}
	d, err := t.resolveID(m.typeID)
	if err != nil {
		return 0, fmt.Errorf("%s.%s: %w", name, member, err)
	}
	if d.kind != kindArray {
		return 0, fmt.Errorf("%s.%s is no array: %w", name, member, ErrNotFound)
	}
	b, err := t.types.Read(d.body, 12)
	if err != nil {
		return 0, fmt.Errorf("%s.%s: %w", name, member, err)
	}
	return uint64(t.order.Uint32(b[8:])), nil
}

// EnumValue returns the value of an enumerator of the enumeration of that name.
// Unsigned 64-bit values come as the signed value of the same bits, and negative
// ones of kernels built with a pahole before 1.24, which marks no enumeration as
// signed, as the unsigned value of the same 32 bits.
func (t *Types) EnumValue(name, enumerator string) (int64, error) {
	v, err := t.enumValue(name, enumerator)
	if err != nil {
		return 0, fmt.Errorf("enum %s: %w", name, err)
	}
	return v, nil
}

func (t *Types) enumValue(name, enumerator string) (int64, error) {
	d, err := t.byName(name)
	if err != nil {
		return 0, err
	}
	if d.kind != kindEnum && d.kind != kindEnum64 {
		return 0, fmt.Errorf("another kind of type: %w", ErrNotFound)
	}
	want, err := t.stringOffset(enumerator)
	if err != nil {
		return 0, err
	}
	each := uint64(t.sizes[d.kind].each)
	for i := range uint64(d.vlen) {
		b, err := t.types.Read(d.body+i*each, each)
		if err != nil {
			return 0, err
		}
		if t.order.Uint32(b) != want {
			continue
		}
		low := t.order.Uint32(b[4:])
		switch {
		case d.kind == kindEnum64:
			return int64(low) | int64(t.order.Uint32(b[8:]))<<32, nil
		case d.flag: // signed
			return int64(int32(low)), nil
		}
		return int64(low), nil
	}
	return 0, fmt.Errorf("%s: %w", enumerator, ErrNotFound)
}

// member is a member of a structure or union.
type member struct {
	typeID     uint32
	bits       uint64 // offset in bits from the start of the outermost structure
	isBitField bool
}

// Bounds of the search for a member. The kernel's deepest nesting of anonymous
// types is 6, its biggest structure has some 500 members.
const (
	maxNesting = 16
	maxMembers = 1 << 16
)

func (t *Types) member(name, memberName string) (member, error) {
	m, err := t.findMember(name, memberName)
	if err != nil {
		return member{}, fmt.Errorf("struct %s: %w", name, err)
	}
	return m, nil
}

func (t *Types) findMember(name, memberName string) (member, error) {
	d, err := t.byName(name)
	if err != nil {
		return member{}, err
	}
	want, err := t.stringOffset(memberName)
	if err != nil {
		return member{}, err
	}
	s := memberSearch{Types: t, want: want, left: maxMembers}
	found, err := s.in(d, 0, maxNesting)
	if err == nil && !found {
		err = fmt.Errorf("%s: %w", memberName, ErrNotFound)
	}
	return s.found, err
}

// memberSearch is a search for one member.
type memberSearch struct {
	*Types
	want  uint32 // the member's name
	left  int    // how many more members may be looked at
	found member
}

// in searches the structure or union d, which lies bits bits into the
// outermost one, and what is anonymous in it, nesting levels deep.
func (s *memberSearch) in(d typ, bits uint64, nesting int) (bool, error) {
	if d.kind != kindStruct && d.kind != kindUnion {
		return false, nil
	}
	if s.left -= int(d.vlen); s.left < 0 || nesting == 0 {
		return false, errTooDeep
	}
	for i := range uint64(d.vlen) {
		b, err := s.types.Read(d.body+i*12, 12)
		if err != nil {
			return false, err
		}
		name := s.order.Uint32(b)
		m := member{typeID: s.order.Uint32(b[4:])}
		offset := uint64(s.order.Uint32(b[8:]))
		if d.flag { // the upper bits are the size of a bit field, or 0
			m.isBitField = offset>>24 != 0
			offset &= 0xffffff
		}
		m.bits = bits + offset
		if name == s.want {
			s.found = m
			return true, nil
		}
		if name != 0 {
			continue
		}
		inner, err := s.resolveID(m.typeID)
		if err != nil {
			return false, err
		}
		if found, err := s.in(inner, m.bits, nesting-1); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

var errTooDeep = fmt.Errorf("%w: its anonymous members have no end", ErrInvalid)
