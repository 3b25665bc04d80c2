// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import "encoding/binary"

// Types of literals (section 3.1.1.3.1.1).
const (
	literalsRaw        = 0
	literalsRLE        = 1
	literalsCompressed = 2
)

// literalBuffer holds the literals of a block, and what is copied with them.
type literalBuffer [blockSize + 2*8]byte

// writeLiterals writes the section of literals to the begin of the block and
// returns its end (section 3.1.1.3.1).
func (e *Encoder) writeLiterals() int {
	literals := e.literals[:e.nlit]
	if e.nlit >= 64 {
		h := &e.huffman
		h.count(literals)
		if h.n == 1 {
			n := e.writeLiteralsHeader(literalsRLE)
			e.out[n] = literals[0]
			return n + 1
		}
		if n := e.compressLiterals(literals); n > 0 {
			return n
		}
	}
	n := e.writeLiteralsHeader(literalsRaw)
	return n + copy(e.out[n:], literals)
}

// writeLiteralsHeader writes a header without a compressed size.
func (e *Encoder) writeLiteralsHeader(kind int) int {
	switch {
	case e.nlit < 1<<5:
		e.out.put(0, uint64(kind|e.nlit<<3))
		return 1
	case e.nlit < 1<<12:
		e.out.put(0, uint64(kind|1<<2|e.nlit<<4))
		return 2
	}
	e.out.put(0, uint64(kind|3<<2|e.nlit<<4))
	return 3
}

// compressLiterals writes compressed literals and returns their end, or 0 if
// compressing them does not pay.
func (e *Encoder) compressLiterals(literals []byte) int {
	h := &e.huffman
	h.chooseLengths(len(literals))
	most := len(literals) - len(literals)>>6 - h.measure()>>3 // for the description
	if most <= 0 {
		return 0
	}
	h.assign()
	// One stream or four, with sizes of 10, 14 or 18 bits.
	format, width := 0, 10
	switch {
	case len(literals) >= 1<<14:
		format, width = 3, 18
	case len(literals) >= 1<<10:
		format, width = 2, 14
	}
	header := (4 + 2*width) / 8
	n := h.describe(&e.out, header)
	if n == 0 || n > most {
		return 0
	}
	if format == 0 {
		n = h.writeStream(&e.out, n, &e.literals, 0, len(literals))
	} else {
		jumps := n
		n += 3 * 2
		quarter := (len(literals) + 3) / 4
		for i := range 4 {
			begin := n
			n = h.writeStream(&e.out, n, &e.literals, i*quarter, min((i+1)*quarter, len(literals)))
			if i < 3 {
				binary.LittleEndian.PutUint16(e.out[jumps+2*i:], uint16(n-begin))
			}
		}
	}
	v := uint64(literalsCompressed | format<<2 | len(literals)<<4 | (n-header)<<(4+width))
	for i := range header {
		e.out[i] = byte(v >> (8 * i))
	}
	return n
}
