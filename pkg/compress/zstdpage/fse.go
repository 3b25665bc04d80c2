// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import "math/bits"

const (
	fseLog     = 6
	fseSize    = 1 << fseLog
	maxSymbols = 53
)

type distribution struct {
	symbols, shares [64]uint8
	n               int
}

// fit
func (d *distribution) fit(hist *[64]uint16, codes int, total int) {
	scale := fseSize << 16 / uint32(total)
	n, left, top := uint(0), fseSize, 0
	largest := uint16(0)
	for s, h := range hist[:codes] {
		d.symbols[n&63] = uint8(s)
		share := int(max((uint32(h)*scale+1<<15)>>16, 1))
		d.shares[n&63] = uint8(share)
		used := uint(uint32(h)+0xffff) >> 16
		left -= share & -int(used)
		if h > largest {
			largest, top = h, int(n)
		}
		n += used
	}
	d.n = int(n)
	if t := int(d.shares[top&63]); t+left > t/2 {
		d.shares[top&63] = uint8(t + left)
		return
	}
	for i := 0; left < 0; i = (i + 1) % d.n {
		if d.shares[i] > 1 {
			d.shares[i]--
			left++
		}
	}
}

// describe writes d (RFC 8878, 4.1.1).
func (d *distribution) describe(out []byte, n int) int {
	acc, nb := uint64(fseLog-5), uint(4)
	remaining, threshold, width := fseSize+1, fseSize, uint(fseLog+1)
	next := 0
	for i, s := range d.symbols[:d.n] {
		if gap := int(s) - next; gap > 0 {
			// no share, and number of symbols that follow with none
			acc |= 1 << nb
			nb += width
			if 1 < 2*threshold-1-remaining {
				nb--
			}
			for gap--; gap >= 3; gap -= 3 {
				acc |= 3 << nb
				nb += 2
			}
			acc |= uint64(gap) << nb
			nb += 2
			store64(out, n, acc)
			n += int(nb >> 3)
			acc >>= nb &^ 7
			nb &= 7
		}
		next = int(s) + 1
		v := int(d.shares[i]) + 1
		short := 2*threshold - 1 - remaining
		remaining -= v - 1
		if v >= threshold {
			v += short
		}
		acc |= uint64(v) << nb
		nb += width
		if v < short {
			nb--
		}
		for remaining < threshold {
			width--
			threshold >>= 1
		}
		store64(out, n, acc)
		n += int(nb >> 3)
		acc >>= nb &^ 7
		nb &= 7
	}
	return n + int(nb+7)/8
}

// fseTable encodes symbols (RFC 8878, 4.1).
type fseTable struct {
	log     uint
	symbols [64]transition
	states  [fseSize]uint8 // numbers of states, plus the size of the table
}

type transition struct {
	bits  uint32 // added to a state: number of bits to write << 16
	state int32  // index of the first state
}

func (t *fseTable) spread(d *distribution) {
	var visits [fseSize + 8]uint8
	at := 0
	for i, s := range d.symbols[:d.n] {
		share := int(d.shares[i])
		for k := 0; k < share; k += 8 {
			store64(visits[:], at+k, uint64(s)*0x0101010101010101)
		}
		at += share
	}
	var order [fseSize]uint8
	for i := range order {
		order[i] = visits[i*3%fseSize]
	}
	t.build(order[:], d)
}

// build
func (t *fseTable) build(order []uint8, d *distribution) {
	t.log = uint(bits.Len(uint(len(order) - 1)))
	var next [64]uint8
	at := uint32(0)
	for i, s := range d.symbols[:d.n] {
		share := uint32(d.shares[i])
		nb := uint32(t.log) - uint32(bits.Len32(share-1)) + 1
		if share == 1 {
			nb = uint32(t.log)
		}
		if share > 1 {
			t.symbols[s&63] = transition{nb<<16 - share<<nb, int32(at - share)}
		} else {
			t.symbols[s&63] = transition{nb<<16 - uint32(len(order)), int32(at - 1)}
		}
		next[s&63] = uint8(at)
		at += share
	}
	for i, s := range order {
		k := next[s&63]
		t.states[k&63] = uint8(len(order) + i)
		next[s&63] = k + 1
	}
}

// first state
func (t *fseTable) first(s uint8) uint32 {
	tr := t.symbols[s&63]
	nb := (tr.bits + 1<<15) >> 16
	value := nb<<16 - tr.bits
	return uint32(t.states[(int32(value>>(nb&31))+tr.state)&63])
}
