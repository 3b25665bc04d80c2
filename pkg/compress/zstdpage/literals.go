// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import (
	"encoding/binary"
	"math/bits"
)

func store64(b []byte, i int, v uint64) { binary.LittleEndian.PutUint64(b[i:], v) }

const maxCode = 11

type literalCoder struct {
	hist    [2][256]uint16
	used    []used // scratch
	usedA   [256]used
	codes   [256]code
	weights fseTable
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
	for i := 1; i < len(lits); i += 2 {
		h0[lits[i-1]]++
		h1[lits[i]]++
	}
	if len(lits)&1 != 0 {
		h0[lits[len(lits)-1]]++
	}
	count, last := 0, 0
	largest := uint16(0)
	for s := range h0 {
		v := h0[s] + h1[s]
		h0[s] = v
		c.usedA[count].symbol = uint8(s)
		if v > 0 {
			count++
		}
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

// lengths
func (c *literalCoder) lengths(used []used, total int) int {
	var gain [buckets]int32
	recip := (uint32(2048-len(used)) << 20) / uint32(total)
	slack := int32(1 << maxCode)
	for i := range used {
		u := &used[i]
		q := max(uint32(c.hist[0][u.symbol])*recip, 1<<20) // 1.31
		l := bits.LeadingZeros32(q)
		b := uint8(q << (l + 1) >> 28)
		u.len, u.bucket = uint8(l), b
		w := int32(1<<maxCode) >> l
		slack -= w
		gain[b] += w
	}
	b := buckets
	for b > 0 && gain[b-1] <= slack {
		b--
		slack -= gain[b]
	}
	longest := uint8(0)
	for i := range used {
		u := &used[i]
		if int(u.bucket) >= b {
			u.len--
		} else if w := int32(1<<maxCode) >> u.len; int(u.bucket) == b-1 && w <= slack {
			u.len--
			slack -= w
		}
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
	var hist [16]uint16
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
		var norm [16]int8
		flog := uint(6)
		if last < 64 {
			flog = 5
		}
		normalize(norm[:top+1], hist[:top+1], last, flog)
		end := describe(out, n+1, norm[:top+1], flog)
		c.weights.build(norm[:top+1], flog)
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
	var state [2]uint32
	state[i&1] = t.first(in[i])
	i--
	state[i&1] = t.first(in[i])
	i--
	acc, nb := uint64(0), uint(0)
	s0, s1 := state[0], state[1]
	if i >= 0 && i&1 == 0 {
		tr := t.symbols[in[i]&63]
		k := uint(s0+tr.bits) >> 16
		acc = uint64(s0) & (1<<k - 1)
		nb = k
		s0 = 1<<t.log + uint32(t.states[(int32(s0>>k)+tr.state)&63])
		i--
	}
	for ; i > 0; i -= 2 {
		tr := t.symbols[in[i]&63]
		k := uint(s1+tr.bits) >> 16
		acc |= uint64(s1) & (1<<k - 1) << nb
		nb += k
		s1 = 1<<t.log + uint32(t.states[(int32(s1>>k)+tr.state)&63])
		tr = t.symbols[in[i-1]&63]
		k = uint(s0+tr.bits) >> 16
		acc |= uint64(s0) & (1<<k - 1) << nb
		nb += k
		s0 = 1<<t.log + uint32(t.states[(int32(s0>>k)+tr.state)&63])
		store64(out, n, acc)
		n += int(nb >> 3)
		acc >>= nb &^ 7
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
		c.codes[u.symbol] = code{next[u.len], u.len}
		next[u.len]++
	}
}

// stream
func (c *literalCoder) stream(out []byte, n int, lits []byte) int {
	acc, nb := uint64(0), uint(0)
	i := len(lits)
	for ; i >= 4; i -= 4 {
		q := lits[i-4 : i : i]
		a, b := c.codes[q[3]], c.codes[q[2]]
		d, e := c.codes[q[1]], c.codes[q[0]]
		ab := uint64(a.bits) | uint64(b.bits)<<(a.len&63)
		de := uint64(d.bits) | uint64(e.bits)<<(d.len&63)
		acc |= (ab | de<<((a.len+b.len)&63)) << (nb & 63)
		nb += uint(a.len + b.len + d.len + e.len)
		store64(out, n, acc)
		n += int(nb >> 3)
		acc >>= nb &^ 7 & 63
		nb &= 7
	}
	for ; i > 0; i-- {
		a := c.codes[lits[i-1]]
		acc |= uint64(a.bits) << nb
		nb += uint(a.len)
	}
	acc |= 1 << nb
	nb++
	store64(out, n, acc)
	return n + int(nb+7)/8
}
