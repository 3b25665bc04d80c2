// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import "math/bits"

// maxSymbols: match length codes
const maxSymbols = 53

const maxLog = 6

// fseTable encodes symbols (RFC 8878, 4.1).
type fseTable struct {
	log     uint8
	symbols [64]transition
	states  [1 << maxLog]uint8 // state minus table size
}

type transition struct {
	bits  uint32 // added to a state: number of bits to write << 16
	state int32  // index of the first state
}

// spread[log-5][i] is the
type spreads [2][64]uint8

// build makes the table
func (t *fseTable) build(norm []int8, log uint) {
	t.log = uint8(log)
	size := 1 << log
	mask := size - 1
	step := size>>1 + size>>3 + 3
	var symbolAt [64]uint8
	high := size - 1
	var cum [64]uint8
	total := 0
	for s, p := range norm {
		cum[s] = uint8(total)
		switch {
		case p == 0:
		case p <= 1:
			if p < 0 {
				symbolAt[high] = uint8(s)
				high--
			}
			t.symbols[s] = transition{uint32(log<<16) - uint32(size), int32(total - 1)}
			total++
		default:
			nb := log - uint(bits.Len(uint(p-1))-1)
			t.symbols[s] = transition{uint32(nb<<16) - uint32(p)<<nb, int32(total - int(p))}
			total += int(p)
		}
	}
	pos := 0
	for s, p := range norm {
		for range p {
			symbolAt[pos] = uint8(s)
			for pos = (pos + step) & mask; pos > high; pos = (pos + step) & mask {
			}
		}
	}
	for i := range size {
		s := symbolAt[i]
		t.states[cum[s]] = uint8(i)
		cum[s]++
	}
}

// first state
func (t *fseTable) first(s uint8) uint32 {
	tr := t.symbols[s]
	nb := (tr.bits + 1<<15) >> 16
	value := nb<<16 - tr.bits
	return uint32(1)<<t.log + uint32(t.states[(int32(value>>nb)+tr.state)&63])
}

var log2x16 [65]uint8 // 16*log2

// normalize
func normalize(norm []int8, counts []uint16, total int, log uint) {
	size := 1 << log
	recip := uint32(size<<16) / uint32(total)
	left := size
	largest := 0
	for s, c := range counts {
		if c == 0 {
			norm[s] = 0
			continue
		}
		p := int((uint32(c)*recip + 1<<15) >> 16)
		if p == 0 {
			p = 1
		}
		if counts[s] > counts[largest] {
			largest = s
		}
		norm[s] = int8(p)
		left -= p
	}
	if int(norm[largest])+left > int(norm[largest])/2 {
		norm[largest] += int8(left)
		return
	}
	for left < 0 {
		for s := range norm {
			if norm[s] > 1 && left < 0 {
				norm[s]--
				left++
			}
		}
	}
}

// describe writes norm (RFC 8878, 4.1.1).
func describe(out []byte, n int, norm []int8, log uint) int {
	acc, nb := uint64(log-5), uint(4)
	remaining := 1<<log + 1
	threshold := 1 << log
	width := log + 1
	for s := 0; remaining > 1; {
		p := int(norm[s])
		s++
		remaining -= p
		max := 2*threshold - 1 - (remaining + p)
		v := p + 1
		if v >= threshold {
			v += max
		}
		acc |= uint64(v) << nb
		nb += width
		if v < max {
			nb--
		}
		for remaining < threshold {
			width--
			threshold >>= 1
		}
		if p == 0 {
			run := 0
			for norm[s] == 0 {
				s++
				run++
			}
			for ; run >= 3; run -= 3 {
				acc |= 3 << nb
				nb += 2
				if nb > 40 {
					store64(out, n, acc)
					n += int(nb >> 3)
					acc >>= nb &^ 7
					nb &= 7
				}
			}
			acc |= uint64(run) << nb
			nb += 2
		}
		store64(out, n, acc)
		n += int(nb >> 3)
		acc >>= nb &^ 7
		nb &= 7
	}
	return n + int(nb+7)/8
}
