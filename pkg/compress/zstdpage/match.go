// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import (
	"encoding/binary"
	"math/bits"
)

// minMatch is the length of the shortest match that is looked for.
const minMatch = 4

// sequence
type sequence struct {
	lits, match uint16
	offset      uint32
}

const hashBits = 12

// window holds a block
type window [maxBlock + 8]byte

// load
func (w *window) load(i int) uint64 { return binary.LittleEndian.Uint64(w[i&(maxBlock-1):]) }

type matcher struct {
	window     window
	table      [1 << hashBits]uint16
	seqs       []sequence
	lits       []byte
	nseq, nlit int
	rep, rep1  int
}

const (
	low7 = 0x7f7f7f7f7f7f7f7f
	high = 0x8080808080808080
)

func zeroBytes(x uint64) uint64 { return ^((x&low7 + low7) | x) & high }

func hash5(v uint64) uint64 { return (v << 24 * 0x9E3779B185EBCA87) >> (64 - hashBits) }

func (m *matcher) find(block []byte) {
	clear(m.table[:])
	w := &m.window
	end := copy(w[:], block)
	var (
		rep, rep1  = m.rep, m.rep1
		anchor     = 0
		limit      = end - 8
		lits       = m.lits
		seqs       = m.seqs
		nlit, nseq = 0, 0
	)
	for pos := max(rep, rep1-minMatch); pos < limit; {
		var start, n, off int
		v := w.load(pos)
		x := v ^ w.load(pos-rep)
		z := zeroBytes(x)
		z &= z >> 8
		z &= z >> 16
		if z &= 0x808080; z != 0 {
			k := bits.TrailingZeros64(z) &^ 7
			start = pos + k>>3
			off = 1
			m.table[hash5(v)] = uint16(pos)
			if y := x >> (k & 63); y != 0 {
				n = bits.TrailingZeros64(y) >> 3
			} else {
				n = pos + 8
				for n < end {
					if x := w.load(n) ^ w.load(n-rep); x != 0 {
						n += bits.TrailingZeros64(x) >> 3
						break
					}
					n += 8
				}
				n -= start
			}
		} else {
			h := hash5(v)
			c := int(m.table[h])
			m.table[h] = uint16(pos)
			x := v ^ w.load(c)
			start = pos
			if x<<24 != 0 {
				start++
				v = w.load(start)
				h := hash5(v)
				c = int(m.table[h])
				m.table[h] = uint16(start)
				x = v ^ w.load(c)
				if x<<24 != 0 {
					pos += 2 + (start-anchor)>>6
					continue
				}
			}
			off = start - c
			n = bits.TrailingZeros64(x) >> 3
			if x == 0 {
				n = start + 8
				for n < end {
					if x := w.load(n) ^ w.load(n-off); x != 0 {
						n += bits.TrailingZeros64(x) >> 3
						break
					}
					n += 8
				}
				n -= start
			}
			for start > anchor && c > 0 && w[(start-1)&(maxBlock-1)] == w[(c-1)&(maxBlock-1)] {
				start--
				c--
				n++
			}
			if off == rep && start > anchor {
				off = 1
			} else {
				rep, rep1 = off, rep
				off += 3
			}
		}
		ll := start - anchor
		if ll <= 8 {
			store64(lits, nlit, w.load(anchor))
		} else {
			copy(lits[nlit:], w[anchor:start])
		}
		nlit += ll
		n = min(n, end-start)
		seqs[nseq] = sequence{uint16(ll), uint16(n), uint32(off)}
		nseq++
		pos = start + n
		anchor = pos
		p := (pos - 2)
		m.table[hash5(w.load(p))] = uint16(p)
		for pos < limit {
			v := w.load(pos)
			x := v ^ w.load(pos-rep1)
			if uint32(x) != 0 {
				break
			}
			rep, rep1 = rep1, rep
			m.table[hash5(v)] = uint16(pos)
			n := bits.TrailingZeros64(x) >> 3
			if x == 0 {
				n = pos + 8
				for n < end {
					if x := w.load(n) ^ w.load(n-rep); x != 0 {
						n += bits.TrailingZeros64(x) >> 3
						break
					}
					n += 8
				}
				n = min(n, end) - pos
			}
			seqs[nseq] = sequence{0, uint16(n), 1}
			nseq++
			pos += n
			anchor = pos
		}
	}
	nlit += copy(lits[nlit:], w[anchor:end])
	m.nlit, m.nseq, m.rep, m.rep1 = nlit, nseq, rep, rep1
}
