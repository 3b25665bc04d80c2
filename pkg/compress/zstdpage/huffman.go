// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import "math/bits"

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
	ranks   [256]uint8 // among the symbols with codes of the same length

	longest   int
	perLength [maxLength + 1]uint32

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
	i := 0
	for ; i+8 <= len(literals); i += 8 {
		q := (*[8]byte)(literals[i : i+8])
		h.counts[q[0]]++
		h.counts[q[1]]++
		h.counts[q[2]]++
		h.counts[q[3]]++
		h.counts[q[4]]++
		h.counts[q[5]]++
		h.counts[q[6]]++
		h.counts[q[7]]++
	}
	for _, s := range literals[i:] {
		h.counts[s]++
	}
	n := uint32(0)
	for s, c := range h.counts {
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
		h.lengths[i] -= uint8((r - int(h.rounded[i])) >> 63 & 1)
	}
	for ; left > 0; r = -1 { // then any; this ends, since the longest codes fit always
		for i := 0; i < n && left > 0; i++ {
			codes := one >> (h.lengths[i] & 15)
			if codes <= left && (r < 0 || int(h.rounded[i]) == r) {
				h.lengths[i]--
				left -= codes
			}
		}
	}
}

// rank counts the codes of each length, and returns the size of the literals in
// bits.
func (h *huffman) rank() (size int) {
	clear(h.perLength[:])
	for i := range min(h.n, 256) {
		length := min(h.lengths[i], maxLength)
		h.ranks[i] = uint8(h.perLength[length])
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
	var first [maxLength + 1]uint32
	code := uint32(0)
	for length := h.longest; length > 0; length-- {
		first[length] = code
		code = (code + h.perLength[length]) >> 1
	}
	clear(h.weights[:])
	for i := range min(h.n, 256) {
		s, length := h.symbols[i], h.lengths[i]
		code := first[length&15] + uint32(h.ranks[i])
		h.codes[s] = uint64(code)<<((64-length)&63) | uint64(length)
		h.weights[s] = uint8(h.longest+1) - length
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
	even, odd := t.first(weights[i-1]), t.first(weights[i])
	i -= 2
	if i&1 == 0 {
		even, odd = odd, even
		var low uint64
		var bits uint32
		even, low, bits = t.next(even, weights[i])
		acc, count = low, uint(bits)
		i--
	}
	for ; i > 0; i -= 2 {
		var low1, low0 uint64
		var bits1, bits0 uint32
		odd, low1, bits1 = t.next(odd, weights[i])
		even, low0, bits0 = t.next(even, weights[i-1])
		acc |= (low1 | low0<<bits1) << (count & 63)
		count += uint(bits1 + bits0)
		n, acc, count = out.flush(n, acc, count)
	}
	acc, count = t.last(acc, count, odd)
	acc, count = t.last(acc, count, even)
	return out.end(n, acc, count)
}

// writeStream writes literals at n, the last one first (section 4.2.2). It
// returns the end.
func (h *huffman) writeStream(out *output, n int, literals []byte) int {
	// Codes enter at the top; what is below the highest count bits is old.
	acc, count := uint64(0), uint64(0)
	i := len(literals)
	for ; i >= 4; i -= 4 {
		q := (*[4]byte)(literals[i-4:])
		c := h.codes[q[3]]
		acc = acc>>(c&63) | c
		count += c
		c = h.codes[q[2]]
		acc = acc>>(c&63) | c
		count += c
		c = h.codes[q[1]]
		acc = acc>>(c&63) | c
		count += c
		c = h.codes[q[0]]
		acc = acc>>(c&63) | c
		count = (count + c) & 63
		out.put(n, acc>>(-count&63))
		n += int(count >> 3)
		count &= 7
	}
	for ; i > 0; i-- {
		c := h.codes[literals[i-1]]
		acc = acc>>(c&63) | c
		count += c & 63
	}
	acc = acc>>1 | 1<<63 // marks the end
	out.put(n, acc>>(63-count&63))
	return n + int(count>>3) + 1
}
