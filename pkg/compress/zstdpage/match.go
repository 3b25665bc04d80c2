// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import (
	"encoding/binary"
	"math/bits"
)

const minMatch = 4

// sequence
type sequence struct {
	lits, match uint16
	offset uint32
}

const hashBits = 12

type matcher struct {
	table [1 << hashBits]uint16
	seqs []sequence
	lits []byte
	nseq, nlit int
	rep int
}

func load64(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i:]) }
func load32(b []byte, i int) uint32 { return binary.LittleEndian.Uint32(b[i:]) }

const (
	low7 = 0x7f7f7f7f7f7f7f7f
	high = 0x8080808080808080
)

func zeroBytes(x uint64) uint64 { return ^((x&low7 + low7) | x) & high }

func hash5(v uint64) uint64 { return (v<<24 * 0x9E3779B185EBCA87) >> (64 - hashBits) }

func (m *matcher) find(src []byte, base int) {
	clear(m.table[:])
	var (
		rep = m.rep
		anchor = base
		pos = base+1
		limit = len(src) - 8
		lits = m.lits
		nlit, nseq = 0, 0
	)
	for pos < limit {
		var start, n, off int
		v := load64(src, pos)
		x := v ^ load64(src, pos-rep)
		z := zeroBytes(x)
		z &= z >> 8
		z &= z >> 16; z &= 0x808080
		if pos == anchor {
			z &^= 0x80
		}
		if z != 0 {
			k := bits.TrailingZeros64(z) &^ 7
			start = pos + k/8
			off = 1
			if y := x >> k; y != 0 {
				n = bits.TrailingZeros64(y)/8
			} else {
				n = 8-k/8
				n += matchLen(src, pos+8-rep, pos+8)
			}
			m.table[hash5(v)] = uint16(pos-base)
			goto found
		}
		for i := 0; i < 2; i++ {
			h := hash5(v)
			c := int(m.table[h])+base
			m.table[h] = uint16(pos-base)
			if uint32(v) == load32(src, c) {
				n = 4+matchLen(src, c+4, pos+4)
				start = pos
				for start > anchor && c > base && src[start-1] == src[c-1] {
					start--; c--; n++
				}
				if n >= 5 {
	if pos+1<limit { v1 := load64(src, pos+1); c1 := int(m.table[hash5(v1)])+base; if c1<pos && uint32(v1)==load32(src,c1) { n1 := 4+matchLen(src,c1+4,pos+5); s1:=pos+1; for s1>anchor&&c1>base&&src[s1-1]==src[c1-1] {s1--;c1--;n1++}; if n1>n+1 { n,start,c=n1,s1,c1 } } }
					if off = start-c; off == rep && start > anchor { off = 1 } else { rep = off; off += 3 }
					goto found
				}
			}
			v >>= 8
			pos++
		}
		pos += (pos-anchor)>>7
		continue

found:
		ll := start - anchor
		if ll <= 8 {
			binary.LittleEndian.PutUint64(lits[nlit:], load64(src, anchor))
		} else {
			copy(lits[nlit:], src[anchor:start])
		}
		nlit += ll
		m.seqs[nseq] = sequence{uint16(ll), uint16(n), uint32(off)}
		nseq++
		pos = start+n
		anchor = pos
		if pos < limit {
			m.table[hash5(load64(src, pos-2))] = uint16(pos-2-base)
		}
	}
	nlit += copy(lits[nlit:], src[anchor:])
	m.nlit, m.nseq, m.rep = nlit, nseq, rep
}

// matchLen
func matchLen(s []byte, a, b int) int {
	n := 0
	for b+n+8 <= len(s) {
		if x := load64(s, a+n) ^ load64(s, b+n); x != 0 {
			return n + bits.TrailingZeros64(x)/8
		}
		n += 8
	}
	for b+n < len(s) && s[a+n] == s[b+n] {
		n++
	}
	return n
}
