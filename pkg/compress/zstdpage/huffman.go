// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import (
	"encoding/binary"
	"math/bits"
)

// maxLength is the length in bits of the longest code for a literal.
const maxLength = 11

// huffman makes the code for the literals of a block (section 4.2). The symbols
// in use are numbered in ascending order.
type huffman struct {
	n       int // symbols in use
	symbols [256]uint8
	uses    [256]uint32
	lengths [256]uint8 // of their codes, in bits
	rounded [256]uint8 // how much was lost by rounding to a length, in sixteenths

	longest   int
	perLength [16]uint32

	// By symbol; of symbols out of use the weight alone is set.
	counts  [256]uint32
	codes   [256]uint64 // the code in the highest bits, its length in the lowest
	weights [256]uint8  // what describes the length

	fit   distribution // of the weights
	table fseTable
}

// count finds the symbols in use and how often they are used.
func (h *huffman) count(literals []byte) {
	clear(h.counts[:])
	for ; len(literals) >= 8; literals = literals[8:] {
		v := binary.LittleEndian.Uint64(literals)
		h.counts[v&255]++
		h.counts[v>>8&255]++
		h.counts[v>>16&255]++
		h.counts[v>>24&255]++
		h.counts[v>>32&255]++
		h.counts[v>>40&255]++
		h.counts[v>>48&255]++
		h.counts[v>>56]++
	}
	for _, s := range literals {
		h.counts[s]++
	}
	n := uint32(0)
	for s := range h.counts {
		c := h.counts[s]
		h.symbols[n&255], h.uses[n&255] = uint8(s), c
		n += (c + 1<<17 - 1) >> 17 // 1 unless c is 0; a branch costs more
	}
	h.n = int(n)
}

// chooseLengths chooses the lengths of the codes for two symbols or more, which
// are used total times.
//
// A symbol with a share p of all uses should have -log2(p) bits. Rounded up,
// these lengths leave codes over, since 2^-length adds up to less than 1. So
// those lengths become one less that were rounded up most, as long as there are
// codes left, which is nearly as good as Huffman's algorithm. No share is taken
// for smaller than 2^-maxLength, at the cost of all others.
func (h *huffman) chooseLengths(total int) {
	const one, rounding = 1 << maxLength, 16
	var lost [rounding]int // the codes it takes to shorten those rounded so much
	n := min(h.n, 256)
	scale := uint32(one-n) << 20 / uint32(total)
	left := one
	for i := range n {
		share := max(h.uses[i]*scale, 1<<20) // 1<<31 is all
		length := bits.LeadingZeros32(share)
		r := share << (length&15 + 1) >> 28
		h.lengths[i], h.rounded[i] = uint8(length), uint8(r)
		lost[r] += one >> (length & 15)
		left -= one >> (length & 15)
	}
	r := rounding - 1
	for ; r >= 0 && lost[r] <= left; r-- {
		left -= lost[r]
	}
	for i := range n {
		shorter := uint8((r - int(h.rounded[i])) >> 63 & 1)
		if int(h.rounded[i]) == r { // of these, as many as there is room for
			if codes := one >> (h.lengths[i] & 15); codes <= left {
				shorter = 1
				left -= codes
			}
		}
		h.lengths[i] -= shorter
	}
	for i := 0; left != 0; i++ { // then any; this ends, since the longest codes fit always
		if i == n {
			i = 0
		}
		if codes := one >> (h.lengths[i&255] & 15); codes <= left {
			h.lengths[i&255]--
			left -= codes
		}
	}
}

// measure counts the codes of each length, and returns the size of the literals in
// bits.
func (h *huffman) measure() (size int) {
	clear(h.perLength[:])
	for i := range min(h.n, 256) {
		length := h.lengths[i] & 15
		h.perLength[length]++
		size += int(h.uses[i]) * int(length)
	}
	h.longest = maxLength
	for h.perLength[h.longest] == 0 {
		h.longest--
	}
	return size
}

// assign gives out codes and weights: the longest codes come first, and those of
// the same length go by symbol (section 4.2.1.3).
func (h *huffman) assign() {
	var next [16]uint32
	code := uint32(0)
	for length := h.longest; length != 0; length-- {
		next[length] = code
		code = (code + h.perLength[length]) >> 1
	}
	clear(h.weights[:])
	sum := uint8(h.longest + 1) // of a length and its weight
	for i := range min(h.n, 256) {
		s, length := h.symbols[i], h.lengths[i]
		code := next[length&15]
		next[length&15]++
		h.codes[s] = uint64(code)<<((64-length)&63) | uint64(length)
		h.weights[s] = sum - length
	}
}

// describe writes the weights at n, but the last, which follows from the others
// (section 4.2.1). It returns the end, or 0 if there is no way to describe them.
func (h *huffman) describe(out *output, n int) int {
	const direct = 127 // plus the number of weights, in 4 bits each; less is a size
	last := int(h.symbols[h.n-1])
	var counts [maxLength + 1]uint16
	counts[0] = uint16(last + 1 - h.n)
	for length := 1; length <= h.longest; length++ {
		counts[h.longest+1-length] = uint16(h.perLength[length])
	}
	counts[h.weights[last]]--
	h.weights[last] = 0
	h.fit.make(counts[:h.longest+1], last)
	if h.fit.n > 1 && last > 2 {
		end := h.fit.describe(out, n+1)
		h.table.spread(&h.fit)
		end = h.writeWeights(out, end, h.weights[:last])
		if size := end - n - 1; size <= direct && (last > 128 || size < (last+1)/2) {
			out[n] = byte(size)
			return end
		}
	}
	if last > 128 {
		return 0
	}
	out[n] = byte(direct + last)
	n++
	for i := 0; i < last; i += 2 {
		out[n] = h.weights[i]<<4 | h.weights[i+1]
		n++
	}
	return n
}

// writeWeights writes two weights or more at n, with two states that take turns,
// the last one first (section 4.2.1.2). It returns the end.
func (h *huffman) writeWeights(out *output, n int, weights []uint8) int {
	t := &h.table
	acc, count := uint64(0), uint(0)
	i := len(weights) - 1
	s, other := t.first(uint32(weights[i])), t.first(uint32(weights[i-1]))
	rest := weights[:i-1]
	for ; len(rest) >= 4; rest = rest[:len(rest)-4] {
		w := binary.LittleEndian.Uint32(rest[len(rest)-4:])
		acc, count, s = t.next(acc, count, s, w>>24)
		acc, count, other = t.next(acc, count, other, w>>16)
		acc, count, s = t.next(acc, count, s, w>>8)
		acc, count, other = t.next(acc, count, other, w)
		n, count = out.flush(n, acc, count)
	}
	for i := len(rest); i != 0; i-- {
		acc, count, s = t.next(acc, count, s, uint32(rest[i-1]))
		s, other = other, s
	}
	acc, count = t.last(acc, count, s)
	acc, count = t.last(acc, count, other)
	return out.end(n, acc, count)
}

// writeStream writes the literals from begin up to end at n, the last one first
// (section 4.2.2). It returns the end.
func (h *huffman) writeStream(out *output, n int, l *literalBuffer, begin, end int) int {
	acc, count := uint64(0), uint(0)
	i := end
	for ; i >= begin+8; i -= 8 {
		v := binary.LittleEndian.Uint64(l[(i-8)&(blockSize-1):])
		acc, count = h.add(acc, count, v>>56)
		acc, count = h.add(acc, count, v>>48)
		acc, count = h.add(acc, count, v>>40)
		acc, count = h.add(acc, count, v>>32)
		n, count = out.flush(n, acc, count&63)
		acc, count = h.add(acc, count, v>>24)
		acc, count = h.add(acc, count, v>>16)
		acc, count = h.add(acc, count, v>>8)
		acc, count = h.add(acc, count, v)
		n, count = out.flush(n, acc, count&63)
	}
	for ; i > begin; i-- {
		acc, count = h.add(acc, count, uint64(l[(i-1)&(blockSize-1)]))
		n, count = out.flush(n, acc, count&63)
	}
	return out.end(n, acc, count)
}

// add adds the code of a literal to acc. Of count, the lowest 6 bits are of account.
func (h *huffman) add(acc uint64, count uint, literal uint64) (uint64, uint) {
	c := h.codes[literal&255]
	return acc>>(c&63) | c, count + uint(c)
}
