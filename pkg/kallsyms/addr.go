// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kallsyms

import "github.com/ukdump/ukdump/pkg/mem"

// decoder makes the address of symbol i from its element v of the table of
// addresses.
type decoder func(t *Table, i, v uint64) uint64

// absolute is for a table of addresses (without CONFIG_KALLSYMS_BASE_RELATIVE,
// up to 6.10: 64e166099b69).
func absolute(_ *Table, _, v uint64) uint64 { return v }

// relativeDecoders are those for a table of 32-bit offsets.
var relativeDecoders = []decoder{placeRelative, baseRelative, absolutePerCPU}

// placeRelative: the distance from the element itself. 64-bit kernels since 7.0
// (a081b5789255).
func placeRelative(t *Table, i, v uint64) uint64 {
	return uint64(t.at) + 4*i + uint64(int64(int32(v)))
}

// baseRelative: the distance from kallsyms_relative_base. Since 4.6
// (2213e9a66bb8) except on x86_64, where it is used from 6.15 on. 32-bit kernels
// since 7.0 have no base, and addresses as offsets.
func baseRelative(t *Table, _, v uint64) uint64 { return t.base + v }

// absolutePerCPU: negative offsets are what base lies before the symbol, less
// one; others are the offset of a variable in a CPU's area. x86_64 from 4.6 to
// 6.14 (CONFIG_KALLSYMS_ABSOLUTE_PERCPU, removed by 01157ddc58dc).
func absolutePerCPU(t *Table, _, v uint64) uint64 {
	if v := int32(v); v < 0 {
		return t.base - 1 - uint64(int64(v))
	}
	return v
}

// addr returns the address of symbol i.
func (t *Table) addr(i uint64) (mem.VirtAddr, error) {
	b, err := t.addrs.Read(i*t.width, t.width)
	if err != nil {
		return 0, err
	}
	return mem.VirtAddr(t.decode(t, i, decodeUint(t.order, b))), nil
}
