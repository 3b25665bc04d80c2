// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zlibpage

import (
	"encoding/binary"
	"math/bits"
)

// Symbols of deflate (RFC 1951, 3.2.5 to 3.2.7).
const (
	endOfBlock      = 256
	firstLength     = 257
	longestLength   = 28 // of the lengths: has no extra bits
	distanceSymbols = 30
	// Among the code lengths, with the bits that follow:
	repeatLast     = 16 // 3 to 6 times
	repeatZero     = 17 // 3 to 10 times
	repeatZeroMore = 18 // 11 to 138 times
	lengthSymbols  = 19
	maxLengthCode  = 7 // bits
)

// blockWriter writes blocks with codes of their own.
type blockWriter struct {
	out []byte
	n   int // bytes in out
	// acc has, at its top, count bits that follow.
	acc   uint64
	count uint

	literals, distances huffman     // literals also has the lengths of copies
	lengths             huffman     // of the codes of the other two
	second              [256]uint16 // for counting
	runs                [symbols + distanceSymbols]uint16
}

func newBlockWriter(pageSize int) *blockWriter {
	// Three literals take 36 bits at most, a copy 3 more, and the codes of a
	// block less than 512 bytes.
	return &blockWriter{out: make([]byte, 2*pageSize+1024)}
}

func (b *blockWriter) reset() { b.n, b.acc, b.count = 0, 0, 0 }

// put adds bits, of which there must be less than 57 until the next flush.
func (b *blockWriter) put(bits uint64, n uint) {
	b.acc = b.acc>>(n&63) | bits<<((64-n)&63)
	b.count += n
}

func (b *blockWriter) putCode(c code) {
	b.acc = b.acc>>c.len() | uint64(c)
	b.count += c.len()
}

// flush moves whole bytes from acc to out.
func (b *blockWriter) flush() { b.n, b.count = flush(b.out, b.n, b.acc, b.count) }

func flush(out []byte, n int, acc uint64, count uint) (int, uint) {
	binary.LittleEndian.PutUint64(out[n:n+8], acc>>((64-count)&63))
	return n + int(count>>3), count & 7
}

// finish ends the last byte and returns what was written.
func (b *blockWriter) finish() []byte {
	b.put(0, 7)
	b.flush()
	return b.out[:b.n]
}

// write writes what the matcher has found.
func (b *blockWriter) write(m *matcher, last bool) {
	const dynamic = 2 << 1
	if last {
		b.put(dynamic|1, 3)
	} else {
		b.put(dynamic, 3)
	}
	b.countSymbols(m)
	b.codes()
	b.body(m)
}

// split returns the symbol that stands for v, where each power of 2 is divided
// into 1<<k, and how many bits tell v from others of that symbol.
func split(v uint, k int) (symbol, extra uint) {
	extra = uint(max(bits.Len(v)-1-k, 0))
	return extra<<(k&63) + v>>(extra&63), extra
}

func splitLength(n uint16) (symbol, extra uint) {
	if n == maxCopy {
		return longestLength, 0
	}
	return split(uint(n-minCopy), 2)
}

func splitDistance(n uint16) (symbol, extra uint) { return split(uint(n-1), 1) }

// countSymbols counts how often each symbol comes.
func (b *blockWriter) countSymbols(m *matcher) {
	clear(b.literals.freq[:])
	clear(b.distances.freq[:])
	clear(b.second[:])
	// Two counters each, since the same literal often comes twice in a row.
	f, g := &b.literals.freq, &b.second
	p := m.literals
	for ; len(p) >= 4; p = p[4:] {
		f[p[0]]++
		g[p[1]]++
		f[p[2]]++
		g[p[3]]++
	}
	for _, c := range p {
		f[c]++
	}
	for c, k := range g {
		f[c] += k
	}
	f[endOfBlock] = 1
	for _, s := range m.sequences {
		length, _ := splitLength(s.length)
		distance, _ := splitDistance(s.distance)
		f[firstLength+length]++
		b.distances.freq[distance]++
	}
}

// codes writes the codes of a block.
func (b *blockWriter) codes() {
	literals := b.literals.build(symbols, maxCode)
	// Without copies there is one distance all the same, without a code.
	distances := max(b.distances.build(distanceSymbols, maxCode), 1)
	var all [symbols + distanceSymbols]uint8
	copy(all[:], b.literals.lengths[:literals])
	copy(all[literals:], b.distances.lengths[:distances])
	runs := b.cutRuns(all[:literals+distances])
	b.lengths.build(lengthSymbols, maxLengthCode)
	order := [lengthSymbols]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
	n := lengthSymbols
	for b.lengths.lengths[order[n-1]] == 0 {
		n--
	}
	b.put(uint64(literals-firstLength), 5)
	b.put(uint64(distances-1), 5)
	b.put(uint64(n-4), 4)
	for _, s := range order[:n] {
		b.put(uint64(b.lengths.lengths[s]), 3)
		b.flush()
	}
	extra := [32]uint{repeatLast: 2, repeatZero: 3, repeatZeroMore: 7}
	for _, r := range runs {
		b.putCode(b.lengths.codes[r&31])
		b.put(uint64(r>>5), extra[r&31])
		b.flush()
	}
}

// cutRuns returns symbols for lengths of codes, each with its extra bits from bit
// 5 on, and counts them.
func (b *blockWriter) cutRuns(lengths []uint8) []uint16 {
	clear(b.lengths.freq[:])
	runs := b.runs[:0]
	add := func(symbol, extra int) {
		runs = append(runs, uint16(symbol|extra<<5))
		b.lengths.freq[symbol]++
	}
	for len(lengths) > 0 {
		l, n := int(lengths[0]), 1
		for n < len(lengths) && lengths[n] == lengths[0] {
			n++
		}
		lengths = lengths[n:]
		if l != 0 {
			add(l, 0)
			n--
		}
		for n >= 3 {
			k := min(n, 138)
			switch {
			case l != 0:
				k = min(n, 6)
				add(repeatLast, k-3)
			case n <= 10:
				add(repeatZero, k-3)
			default:
				add(repeatZeroMore, k-11)
			}
			n -= k
		}
		for range n {
			add(l, 0)
		}
	}
	return runs
}

// body writes literals and copies, and the end of the block.
func (b *blockWriter) body(m *matcher) {
	out, n, acc, count := b.out, b.n, b.acc, b.count
	codes, distances := &b.literals.codes, &b.distances.codes
	literals := m.literals
	for _, s := range m.sequences {
		run := literals[:s.literals]
		literals = literals[s.literals:]
		for ; len(run) >= 4; run = run[4:] {
			c0, c1, c2, c3 := codes[run[0]], codes[run[1]], codes[run[2]], codes[run[3]]
			acc = acc>>c0.len() | uint64(c0)
			acc = acc>>c1.len() | uint64(c1)
			acc = acc>>c2.len() | uint64(c2)
			acc = acc>>c3.len() | uint64(c3)
			n, count = flush(out, n, acc, (count+uint(c0+c1+c2+c3))&63)
		}
		for _, v := range run {
			c := codes[v]
			acc = acc>>c.len() | uint64(c)
			count += c.len()
		}
		n, count = flush(out, n, acc, count)
		symbol, extra := splitLength(s.length)
		c := codes[(firstLength+symbol)&symbolsMask]
		acc = acc>>c.len() | uint64(c)
		acc = acc>>(extra&63) | uint64(s.length-minCopy)<<((64-extra)&63)
		count += c.len() + extra
		symbol, extra = splitDistance(s.distance)
		c = distances[symbol&symbolsMask]
		acc = acc>>c.len() | uint64(c)
		acc = acc>>(extra&63) | uint64(s.distance-1)<<((64-extra)&63)
		count += c.len() + extra
		n, count = flush(out, n, acc, count)
	}
	b.n, b.acc, b.count = n, acc, count
	for _, v := range literals {
		b.putCode(codes[v])
		b.flush()
	}
	b.putCode(codes[endOfBlock])
	b.flush()
}
