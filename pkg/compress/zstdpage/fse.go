// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import (
	"encoding/binary"
	"math/bits"
)

// fseSize is the number of states of the tables made for a page: as good as any
// for a few hundred symbols, and cheap to make.
const (
	fseLog  = 6
	fseSize = 1 << fseLog
)

// distribution says how many of fseSize states each symbol gets.
type distribution struct {
	n               int // symbols that are used
	symbols, shares [64]uint8
}

// make fits d to the counts of symbols, which add up to total.
func (d *distribution) make(counts []uint16, total int) {
	scale := fseSize << 16 / uint32(total)
	n, left := uint(0), fseSize
	top, largest := uint(0), uint16(0)
	for s, c := range counts {
		share := max((uint32(c)*scale+1<<15)>>16, 1)
		d.symbols[n&63], d.shares[n&63] = uint8(s), uint8(share)
		if c > largest {
			top, largest = n, c
		}
		used := (uint(c) + 0xffff) >> 16 // 1 unless c is 0; a branch costs more
		left -= int(share & -uint32(used))
		n += used
	}
	d.n = int(n)
	// The most frequent symbol bears the rounding, unless it would lose half.
	if share := int(d.shares[top&63]); share+left > share/2 {
		d.shares[top&63] = uint8(share + left)
		return
	}
	for i := 0; left < 0; i = (i + 1) % d.n {
		if d.shares[i] > 1 {
			d.shares[i]--
			left++
		}
	}
}

// describe writes d at n and returns the end (section 4.1.1).
func (d *distribution) describe(out *output, n int) int {
	acc, count := add(0, 0, fseLog-5, 4)
	next, remaining := 0, fseSize+1
	for i, s := range d.symbols[:d.n&63] {
		// A value is a share plus one. Values up to remaining are possible: they
		// take width bits, but as many as would not fill these take one less.
		width := uint(bits.Len(uint(remaining)))
		short := 1<<width - 1 - remaining
		if gap := int(s) - next; gap != 0 {
			none := width // for a symbol without a share
			if 1 < short {
				none--
			}
			acc, count = add(acc, count, 1, none)
			for gap--; gap >= 3; gap -= 3 { // and how many more there are
				acc, count = add(acc, count, 3, 2)
			}
			acc, count = add(acc, count, uint64(gap), 2)
			n, count = out.flush(n, acc, count)
		}
		share := int(d.shares[i])
		value := share + 1
		if value < short {
			width--
		} else if value >= 1<<(width-1) {
			value += short
		}
		acc, count = add(acc, count, uint64(value), width)
		n, count = out.flush(n, acc, count)
		next, remaining = int(s)+1, remaining-share
	}
	n, count = out.flush(n, acc, count)
	return n + int(count+7)>>3
}

// fseTable encodes symbols with states (section 4.1). A state goes by its number
// plus the number of states.
type fseTable struct {
	log     int
	symbols [64]transition
	states  [2*fseSize + 8]uint8 // those of each symbol, in ascending order
}

// transition leads from any state to one that stands for a symbol. With bits in
// its lower and index in its upper half, the low (state+bits)>>16 bits of the state
// are written, and what remains of it, plus index, is the place of the next state.
type transition uint64

// set makes the transition to a symbol whose states are at a place in states.
func (t *fseTable) set(symbol uint8, share, at uint) {
	n := uint(t.log+1-bits.Len(share-1)) & 31 // bits to write from share<<n on; below, one less
	t.symbols[symbol&63] = transition((n<<16 - share<<n) | (at-share)<<32)
}

// constant makes a table of one symbol, with a single state.
func (t *fseTable) constant(symbol uint8) {
	t.log = 0
	t.set(symbol, 1, 0)
	t.states[0] = 1
}

// spread makes the table of d.
//
// Spreading gives state 43*v mod 64 to the v-th share (section 4.1.1), so state i
// belongs to share 3*i mod 64, 3 being the inverse of 43. A symbol with the
// shares from a up to b thus has the states from (a+64*k)/3 up to (b+64*k)/3,
// both rounded up, for k = 0, 1 and 2: three runs, in ascending order.
func (t *fseTable) spread(d *distribution) {
	t.log = fseLog
	const third, two = (fseSize + 2) / 3, (2*fseSize + 2) / 3
	b, at := uint(0), uint(0)
	from0, from1, from2 := uint(0), uint(third), uint(two)
	for i, s := range d.symbols[:d.n&63] {
		share := uint(d.shares[i])
		t.set(s, share, at)
		b += share
		to0, to1, to2 := (b+2)/3, (b+fseSize+2)/3, (b+2*fseSize+2)/3
		at = t.addStates(at, from0, to0)
		at = t.addStates(at, from1, to1)
		at = t.addStates(at, from2, to2)
		from0, from1, from2 = to0, to1, to2
	}
}

// addStates puts the states from one up to another at a place in states, and
// returns the next place.
func (t *fseTable) addStates(at, from, to uint) uint {
	run := uint64(fseSize+from)*0x0101010101010101 + 0x0706050403020100
	binary.LittleEndian.PutUint64(t.states[at&127:], run) // most have less than 8
	for i := from + 8; i < to; i += 8 {
		run += 0x0808080808080808
		binary.LittleEndian.PutUint64(t.states[(at+i-from)&127:], run)
	}
	return at + to - from
}

// predefine makes the table of a predefined distribution with 1<<log shares.
func (t *fseTable) predefine(shares []int8, log int) {
	t.log = log
	size := 1 << log
	var symbols, next [64]uint8
	high, at := size, 0
	for s, share := range shares {
		if share < 0 {
			share = 1
			high--
			symbols[high] = uint8(s)
		}
		t.set(uint8(s), uint(share), uint(at))
		next[s] = uint8(at)
		at += int(share)
	}
	state := 0
	for s, share := range shares {
		for range share {
			symbols[state] = uint8(s)
			for state = (state + size>>1 + size>>3 + 3) % size; state >= high; {
				state = (state + size>>1 + size>>3 + 3) % size
			}
		}
	}
	for state, s := range symbols[:size] {
		t.states[next[s]] = uint8(size + state)
		next[s]++
	}
}

// first returns a state that stands for a symbol.
func (t *fseTable) first(symbol uint32) (state uint64) {
	s := t.symbols[symbol&63]
	n := (uint32(s) + 1<<15) >> 16
	share := (n<<16 - uint32(s)) >> (n & 31)
	return uint64(t.states[(uint32(s>>32)+share)&63])
}

// next returns the state for a symbol that precedes the one of state, and adds
// the bits that lead from one to the other to acc.
func (t *fseTable) next(acc uint64, count uint, state uint64, symbol uint32) (uint64, uint, uint64) {
	s := t.symbols[symbol&63]
	n := uint32(state+uint64(s)) >> 16
	acc = acc>>(n&63) | state<<(-n&63)
	return acc, count + uint(n), uint64(t.states[(state>>(n&63)+uint64(s>>32))&63])
}

// last adds the last state, which a decoder reads first, to acc.
func (t *fseTable) last(acc uint64, count uint, state uint64) (uint64, uint) {
	return add(acc, count, state-1<<(t.log&63), uint(t.log))
}
