// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import (
	"encoding/binary"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/compress/repeats"
)

const (
	minMatch = 4 // bytes
	maxSeqs  = blockSize / minMatch
	hashBits = 12
)

// window holds the data of a block. What is behind them is of no account.
type window [2*blockSize + 8]byte

// load returns the 8 bytes at i, which is in a block.
func (w *window) load(i int) uint64 { return binary.LittleEndian.Uint64(w[i&(blockSize-1):]) }

// extend returns the end of a match that holds up to pos at least, in data that
// end at end.
func (w *window) extend(pos, offset, end int) int {
	const mask = 2*blockSize - 1
	w[end&mask] = ^w[(end-offset)&mask] // no match goes further
	for {
		if x := binary.LittleEndian.Uint64(w[pos&mask:]) ^ w.load(pos-offset); x != 0 {
			return pos + bits.TrailingZeros64(x)>>3
		}
		pos += 8
	}
}

// hash hashes the first 5 bytes of v.
func hash(v uint64) uint64 { return v << 24 * 0x9e3779b185ebca87 >> (64 - hashBits) }

// probe returns the last position with the hash of v, the 8 bytes at pos, and
// what differs between the bytes there and v.
func (e *Encoder) probe(v uint64, pos int) (at int, differ uint64) {
	h := hash(v)
	at = int(e.last[h])
	e.last[h] = uint16(pos)
	return at, v ^ e.window.load(at)
}

// find cuts data into sequences of literals and matches, found.
//
// It takes the first match it finds, in this order: four bytes or more at the
// last offset that begin within the next three bytes, a match at the next byte,
// a match at the byte after that. A structure that differs from its neighbour
// in the low bytes of some pointers so becomes a few short sequences with the
// same cheap offset.
func (e *Encoder) find(data []byte) {
	repeats.Forget(e.last[:])
	nseq := 0
	w := &e.window
	limit := copy(w[:], data) - 8
	rep, rep1 := e.rep, e.rep1
	done := 0 // in sequences up to here
	// Nothing before the block is looked at, so the offsets of the block before
	// must not reach there. The second is tried after a first match only.
	pos := max(rep, rep1-minMatch)
search:
	for pos < limit {
		var start, offset int // offset as in section 3.1.1.3.2.1.1
		v := w.load(pos)
		x := v ^ w.load(pos-rep)
		if z := repeats.Equal4(x); z != 0 {
			e.last[hash(v)] = uint16(pos)
			k := bits.TrailingZeros64(z) &^ 7
			start, offset = pos+k>>3, 1
			if x >>= k & 63; x != 0 {
				pos = start + bits.TrailingZeros64(x)>>3
			} else {
				pos = w.extend(pos+8, rep, limit+8)
			}
		} else {
			start = pos
			at, x := e.probe(v, start)
			if uint32(x) != 0 {
				start++
				at, x = e.probe(w.load(start), start)
				if uint32(x) != 0 {
					pos += 2 + (pos-done)>>6 // faster where nothing repeats
					continue
				}
			}
			offset = start - at
			if x != 0 {
				pos = start + bits.TrailingZeros64(x)>>3
			} else {
				pos = w.extend(start+8, offset, limit+8)
			}
			for start > done && at != 0 && w[(start-1)&(blockSize-1)] == w[(at-1)&(blockSize-1)] {
				start, at = start-1, at-1
			}
			if offset == rep && start > done {
				offset = 1
			} else {
				rep, rep1 = offset, rep
				offset += 3
			}
		}
		for {
			e.found[nseq&(maxSeqs-1)] = uint64(start-done) | uint64(pos-start)<<16 | uint64(offset)<<32
			nseq++
			done = pos
			if pos >= limit {
				break search
			}
			// Right behind a match, offset 1 means the last but one.
			v := w.load(pos)
			x := v ^ w.load(pos-rep1)
			if uint32(x) != 0 {
				break
			}
			e.last[hash(v)] = uint16(pos)
			rep, rep1 = rep1, rep
			start, offset = pos, 1
			if x != 0 {
				pos += bits.TrailingZeros64(x) >> 3
			} else {
				pos = w.extend(pos+8, rep, limit+8)
			}
		}
		e.last[hash(w.load(pos-2))] = uint16(pos - 2)
	}
	e.nseq = nseq
	e.rep, e.rep1 = rep, rep1
}
