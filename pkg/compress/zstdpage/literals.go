// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import (
	"encoding/binary"
	"math/bits"
)

func store64(b []byte, i int, v uint64) { binary.LittleEndian.PutUint64(b[i:i+8], v) }

const maxCode = 11

type literalCoder struct {
	hist    [2][256]uint32
	used    []used // scratch
	usedA   [256]used
	codes   [256]uint64
	weights fseTable
	dist    distribution
	weight  [256]uint8
}

type used struct{ symbol, len, bucket uint8 }
type code struct {
	bits uint16
	len  uint8
}

func (c *literalCoder) init() {}

func (c *literalCoder) append(out []byte, n int, lits []byte) int {
	if len(lits) >= 64 {
		if end := c.huffman(out, n, lits); end > 0 {
			return end
		}
	}
	return raw(out, n, lits)
}

func raw(out []byte, n int, lits []byte) int {
	n = sizes(out, n, 0, len(lits))
	return n + copy(out[n:], lits)
}

// sizes writes the header of raw and RLE literals
func sizes(out []byte, n int, kind, size int) int {
	switch {
	case size < 32:
		out[n] = byte(kind | size<<3)
		return n + 1
	case size < 4096:
		binary.LittleEndian.PutUint16(out[n:], uint16(kind|1<<2|size<<4))
		return n + 2
	}
	binary.LittleEndian.PutUint32(out[n:], uint32(kind|3<<2|size<<4))
	return n + 3
}

func (c *literalCoder) huffman(out []byte, n int, lits []byte) int {
	clear(c.hist[0][:])
	clear(c.hist[1][:])
	h0, h1 := &c.hist[0], &c.hist[1]
	for p := lits; len(p) > 0; {
		if len(p) < 4 {
			h0[p[0]]++
			p = p[1:]
			continue
		}
		h0[p[0]]++
		h1[p[1]]++
		h0[p[2]]++
		h1[p[3]]++
		p = p[4:]
	}
	count, last := uint32(0), 0
	largest := uint32(0)
	for s := range h0 {
		v := h0[s] + h1[s]
		h0[s] = v
		c.usedA[count&255].symbol = uint8(s)
		count += (v + 1<<20 - 1) >> 20
		largest = max(largest, v)
	}
	if count == 1 {
		n = sizes(out, n, 1, len(lits))
		out[n] = lits[0]
		return n + 1
	}
	if int(largest) <= len(lits)>>7+4 {
		return 0
	}
	used := c.usedA[:count]
	last = int(used[count-1].symbol)
	log := c.lengths(used, len(lits))
	streams, size := 1, 3
	if len(lits) > 1023 {
		streams, size = 4, 4
		if len(lits) >= 16384 {
			size = 5
		}
	}
	at := n + size
	at = c.describe(out, at, used, last, log)
	if at == 0 {
		return 0
	}
	total := 0
	for _, u := range used {
		total += int(h0[u.symbol]) * int(u.len)
	}
	if at-n+total/8+6+len(lits)/64 >= len(lits) {
		return 0
	}
	c.assign(used, log)
	if streams == 1 {
		at = c.stream(out, at, lits)
	} else {
		jump := at
		at += 6
		q := (len(lits) + 3) / 4
		for i := range 4 {
			a := at
			at = c.stream(out, at, lits[i*q:min(len(lits), (i+1)*q)])
			if i < 3 {
				binary.LittleEndian.PutUint16(out[jump+2*i:], uint16(at-a))
			}
		}
	}
	packed := at - n - size
	switch {
	case size == 3:
		h := uint32(2 | len(lits)<<4 | packed<<14)
		out[n], out[n+1], out[n+2] = byte(h), byte(h>>8), byte(h>>16)
	case size == 4:
		binary.LittleEndian.PutUint32(out[n:], uint32(2|2<<2|len(lits)<<4|packed<<18))
	default:
		h := uint64(2 | 3<<2 | len(lits)<<4 | packed<<22)
		binary.LittleEndian.PutUint32(out[n:], uint32(h))
		out[n+4] = byte(h >> 32)
	}
	return at
}

const buckets = 16

var lanes [buckets]uint64 // lane i/4...

func init() {
	for b := range buckets {
		for l := range 4 {
			if b >= 16*l/4 {
				lanes[b] |= 0xffff << (16 * l)
			}
		}
	}
}

// lengths
func (c *literalCoder) lengths(used []used, total int) int {
	recip := (uint32(2048-len(used)) << 20) / uint32(total)
	slack := int32(1 << maxCode)
	var kraft [4]uint64
	for i := range used {
		u := &used[i]
		q := max(c.hist[0][u.symbol]*recip, 1<<20) // 1.31
		l := uint32(bits.LeadingZeros32(q))
		b := q << ((l + 1) & 31) >> 28
		u.len, u.bucket = uint8(l), uint8(b)
		w := uint64(1<<maxCode) >> (l & 63)
		kraft[b&3] += w << (b >> 2 << 4 & 63)
		slack -= int32(w)
	}
	b := buckets
	for b > 0 {
		g := int32(kraft[(b-1)&3] >> ((b - 1) >> 2 << 4 & 63) & 0xffff)
		if g > slack {
			break
		}
		slack -= g
		b--
	}
	longest := uint8(0)
	for i := range used {
		u := &used[i]
		w := int32(1<<maxCode) >> (u.len & 31)
		d := uint8((int32(b) - 1 - int32(u.bucket)) >> 31) // -1 : shorten
		e := ^((slack - w) >> 31) & ((int32(b) - 2 - int32(u.bucket)) >> 31) &^ int32(int8(d))
		slack -= w & e
		u.len += d + uint8(e)
		longest = max(longest, u.len)
	}
	for slack > 0 {
		longest = 0
		for i := range used {
			u := &used[i]
			if w := int32(1<<maxCode) >> u.len; w <= slack {
				u.len--
				slack -= w
			}
			longest = max(longest, u.len)
		}
	}
	return int(longest)
}

// describe
func (c *literalCoder) describe(out []byte, n int, used []used, last, log int) int {
	clear(c.weight[:])
	var hist [64]uint16
	for _, u := range used[:len(used)-1] {
		w := uint8(log+1) - u.len
		c.weight[u.symbol] = w
		hist[w&15]++
	}
	hist[0] = uint16(last - len(used) + 1)
	weights := c.weight[:last]
	direct := 1 << 10
	if last <= 128 {
		direct = (last + 1) / 2
	}
	distinct, top := 0, 0
	for s, h := range hist {
		if h > 0 {
			distinct++
			top = s
		}
	}
	if distinct > 1 && last > 2 {
		c.dist.fit(&hist, top+1, last)
		end := c.dist.describe(out, n+1)
		c.weights.spread(&c.dist)
		end = c.weights.two(out, end, weights)
		if size := end - n - 1; size < 128 && size < direct {
			out[n] = byte(size)
			return end
		}
	}
	if direct > 128 {
		return 0
	}
	out[n] = byte(127 + last)
	for i := 0; i < last; i += 2 {
		out[n+1+i/2] = c.weight[i]<<4 | c.weight[i+1]
	}
	return n + 1 + direct
}

// two
func (t *fseTable) two(out []byte, n int, in []uint8) int {
	i := len(in) - 1
	s0, s1 := t.first(in[i-1]), t.first(in[i])
	if i&1 == 0 {
		s0, s1 = s1, s0
	}
	i -= 2
	acc, nb := uint64(0), uint(0)
	if i >= 0 && i&1 == 0 {
		tr := t.symbols[in[i]&63]
		k := (s0 + tr.bits) >> 16 & 31
		h := s0 >> k
		acc = uint64(s0 - h<<k)
		nb = uint(k)
		s0 = uint32(t.states[(h+uint32(tr.state))&63])
		i--
	}
	for ; i > 0; i -= 2 {
		b := t.symbols[in[i]&63]
		kb := (s1 + b.bits) >> 16 & 31
		hb := s1 >> kb
		a := t.symbols[in[i-1]&63]
		ka := (s0 + a.bits) >> 16 & 31
		ha := s0 >> ka
		acc |= (uint64(s1-hb<<kb) | uint64(s0-ha<<ka)<<kb) << (nb & 63)
		nb += uint(ka + kb)
		s1 = uint32(t.states[(hb+uint32(b.state))&63])
		s0 = uint32(t.states[(ha+uint32(a.state))&63])
		store64(out, n, acc)
		n += int(nb >> 3)
		acc >>= nb &^ 7 & 63
		nb &= 7
	}
	acc |= uint64(s1) & (1<<t.log - 1) << nb
	nb += uint(t.log)
	acc |= uint64(s0) & (1<<t.log - 1) << nb
	nb += uint(t.log)
	acc |= 1 << nb
	nb++
	store64(out, n, acc)
	return n + int(nb+7)/8
}

// assign
func (c *literalCoder) assign(used []used, log int) {
	var next [maxCode + 2]uint16
	for _, u := range used {
		next[u.len]++
	}
	code0 := uint16(0)
	for l := log; l > 0; l-- {
		k := next[l]
		next[l] = code0
		code0 = (code0 + k) >> 1
	}
	for _, u := range used {
		c.codes[u.symbol] = uint64(next[u.len])<<(64-u.len) | uint64(u.len)
		next[u.len]++
	}
}

// stream
func (c *literalCoder) stream(out []byte, n int, lits []byte) int {
	acc, nb := uint64(0), uint64(0)
	i := len(lits)
	for ; i >= 4; i -= 4 {
		q := lits[i-4 : i : i]
		e := c.codes[q[3]]
		acc = acc>>(e&63) | e
		nb += e
		e = c.codes[q[2]]
		acc = acc>>(e&63) | e
		nb += e
		e = c.codes[q[1]]
		acc = acc>>(e&63) | e
		nb += e
		e = c.codes[q[0]]
		acc = acc>>(e&63) | e
		nb = (nb + e) & 63
		store64(out, n, acc>>((64-nb)&63))
		n += int(nb >> 3)
		nb &= 7
	}
	for ; i > 0; i-- {
		e := c.codes[lits[i-1]]
		acc = acc>>(e&63) | e
		nb += e & 63
	}
	acc = acc>>1 | 1<<63
	nb++
	store64(out, n, acc>>(64-nb))
	return n + int(nb+7)/8
}
