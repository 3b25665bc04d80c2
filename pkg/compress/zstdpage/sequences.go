// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// The kinds of codes that make up a sequence, in the order in which the section
// describes their tables.
const (
	kindLiterals = iota
	kindOffset
	kindMatch
)

// sequence is a sequence in codes (section 3.1.1.3.2.1.1).
type sequence struct {
	extra uint64 // the extra bits of the codes in the highest bits, how many in the lowest
	codes uint32 // for literals, match<<8 and offset<<16
}

// predefined has the distributions to use when none is described, each with the
// logarithm of its sum (section 3.1.1.3.2.2). -1 stands for less than one share.
var predefined = [3]struct {
	log    int
	shares []int8
}{
	{6, []int8{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1,
		-1, -1, -1, -1}},
	{5, []int8{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1}},
	{6, []int8{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
		1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1}},
}

// codes has what is the same for every block.
type codes struct {
	// The codes of short lengths. Match lengths count from 3.
	literals [64]lengthCode
	match    [128]lengthCode

	predefined [3]fseTable
	log2       [fseSize]uint8 // logarithms in 1/16 bit
}

func (c *codes) init() {
	// Where codes with extra bits begin, up to where they go by powers of two.
	fillCodes(c.literals[:], 16, 18, 20, 22, 24, 28, 32, 40, 48)
	fillCodes(c.match[:], 32, 34, 36, 38, 40, 44, 48, 56, 64, 80, 96)
	for kind, p := range predefined {
		c.predefined[kind].predefine(p.shares, p.log)
	}
	for i := range c.log2 {
		c.log2[i] = uint8(math.Round(16 * math.Log2(float64(max(i, 1)))))
	}
}

func fillCodes(codes []lengthCode, bases ...int) {
	for i := range bases[0] {
		codes[i] = makeLengthCode(i, 0, 0)
	}
	for i, base := range bases {
		end := len(codes)
		if i+1 < len(bases) {
			end = bases[i+1]
		}
		for n := base; n < end; n++ {
			codes[n] = makeLengthCode(bases[0]+i, n-base, bits.Len(uint(end-base))-1)
		}
	}
}

// lengthCode has the extra bits of a code in its highest bits, their number in its
// lowest, and the code << 8.
type lengthCode uint64

func makeLengthCode(code, extra, n int) lengthCode {
	return lengthCode(extra)<<(-n&63) | lengthCode(code<<8|n)
}

func (c *codes) ofLiterals(n int) lengthCode {
	if uint(n) < uint(len(c.literals)) {
		return c.literals[n]
	}
	k := bits.Len32(uint32(n)) - 1
	return makeLengthCode(k+19, n-1<<(k&31), k)
}

func (c *codes) ofMatch(n int) lengthCode {
	if n -= 3; uint(n) < uint(len(c.match)) {
		return c.match[n]
	}
	k := bits.Len32(uint32(n)) - 1
	return makeLengthCode(k+36, n-1<<(k&31), k)
}

// encode encodes what was found in a block of size bytes, counts the codes, and
// gathers the literals.
func (e *Encoder) encode(size int) {
	for kind := range e.counts {
		clear(e.counts[kind][:])
	}
	from, to := 0, 0
	for i := range min(e.nseq, maxSeqs) {
		found := e.found[i]
		n, length, offset := int(found&0xffff), int(found>>16&0xffff), found>>32
		// Most runs are short, and a match begins 8 bytes or more before the end.
		const mask = blockSize - 1
		v, w := e.window.load(from), e.window.load(from+8)
		binary.LittleEndian.PutUint64(e.literals[to&mask:], v)
		binary.LittleEndian.PutUint64(e.literals[to&mask+8:], w)
		l := lengthCode(n << 8)
		if n >= 16 {
			copy(e.literals[to&mask+16:], e.window[(from+16)&mask:from+n])
			l = e.codes.ofLiterals(n)
		}
		to += n
		from += n + length
		m, o := e.codes.ofMatch(length), bits.Len32(uint32(offset))-1
		extra := uint64(l>>(m&63) | m)
		extra = extra>>(o&63) | offset<<(63-o&63)<<1 // without the highest bit, which the code stands for
		extra = extra&^(1<<14-1) | (uint64(l+m)+uint64(o))&63
		codes := uint32(l>>8&63|m&(63<<8)) | uint32(o)<<16
		e.seqs[i] = sequence{extra, codes}
		e.counts[kindLiterals][codes&63]++
		e.counts[kindOffset][codes>>16&63]++
		e.counts[kindMatch][codes>>8&63]++
	}
	e.nlit = to + copy(e.literals[to:], e.window[from:size])
}

// writeSequences writes the section of sequences at n and returns its end
// (section 3.1.1.3.2).
func (e *Encoder) writeSequences(n int) int {
	if e.nseq < 128 {
		e.out[n] = byte(e.nseq)
		n++
	} else {
		e.out[n], e.out[n+1] = byte(e.nseq>>8+128), byte(e.nseq)
		n += 2
	}
	if e.nseq == 0 {
		return n
	}
	modes := n
	e.out[modes] = 0
	n++
	for kind := range e.tables {
		var mode byte
		mode, n = e.chooseTable(n, kind)
		e.out[modes] |= mode << (6 - 2*kind)
	}
	return e.writeStream(n)
}

// chooseTable chooses the table for codes of a kind, and writes its description
// at n. It returns its mode and the end of the description.
func (e *Encoder) chooseTable(n, kind int) (mode byte, end int) {
	const usePredefined, useRLE, useOwn = 0, 1, 2
	pre := &e.codes.predefined[kind]
	if e.nseq > 16 {
		counts := e.counts[kind][:len(predefined[kind].shares)]
		d := &e.fit
		d.make(counts, e.nseq)
		if d.n == 1 {
			e.out[n] = d.symbols[0]
			e.tables[kind].constant(d.symbols[0])
			return useRLE, n + 1
		}
		end := d.describe(&e.out, n)
		gain := -16 * 8 * (end - n) // in 1/16 bit
		for i, s := range d.symbols[:d.n&63] {
			own := fseLog<<4 - int(e.codes.log2[d.shares[i]&63])
			gain += int(counts[s]) * (pre.log<<4 - int(e.codes.log2[max(predefined[kind].shares[s], 1)&63]) - own)
		}
		if gain > 0 {
			e.tables[kind].spread(d)
			return useOwn, end
		}
	}
	e.tables[kind] = *pre
	return usePredefined, n
}

// writeStream writes the sequences at n, the last one first, since the stream is
// read backwards (section 3.1.1.3.2.1.2).
func (e *Encoder) writeStream(n int) int {
	literals, offset, match := &e.tables[kindLiterals], &e.tables[kindOffset], &e.tables[kindMatch]
	s := &e.seqs[(e.nseq-1)&(maxSeqs-1)]
	so, sm, sl := offset.first(s.codes>>16), match.first(s.codes>>8), literals.first(s.codes)
	acc, count := s.extra, uint(s.extra&63)
	n, count = e.out.flush(n, acc, count)
	for left := e.nseq - 1; left != 0; left-- {
		s := &e.seqs[(left-1)&(maxSeqs-1)]
		codes, extra := s.codes, s.extra
		acc, count, so = offset.next(acc, count, so, codes>>16)
		acc, count, sm = match.next(acc, count, sm, codes>>8)
		acc, count, sl = literals.next(acc, count, sl, codes)
		if extra&63 > 32 {
			n, count = e.out.flush(n, acc, count)
		}
		acc = acc>>(extra&63) | extra
		n, count = e.out.flush(n, acc, count+uint(extra&63))
	}
	acc, count = match.last(acc, count, sm)
	acc, count = offset.last(acc, count, so)
	acc, count = literals.last(acc, count, sl)
	return e.out.end(n, acc, count)
}
