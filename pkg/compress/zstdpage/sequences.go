// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import "math/bits"

// coded is a sequence ready for writing
type coded struct {
	extra               uint64
	extraBits           uint8
	lits, match, offset uint8
}

const (
	kindLits = iota
	kindOffset
	kindMatch
)

type sequenceCoder struct {
	coded           []coded
	own, predefined [3]fseTable
	dist            distribution
	hist            [3][64]uint16
	cost            [3][64]uint8 // 1/16 bit, predefined
	llCode          [64]uint32
	mlCode          [128]uint32
}

var predefined = [3][]int8{
	{4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1},
	{1, 1, 1, 1, 1, 1, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1},
	{1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1},
}
var logs = [3]uint{6, 5, 6}

var llBase = [...]int{16, 18, 20, 22, 24, 28, 32, 40, 48, 64}
var llBits = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
var mlBase = [...]int{32, 34, 36, 38, 40, 44, 48, 56, 64, 80, 96, 128}
var mlBits = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}

func (c *sequenceCoder) init() {
	for k := range predefined {
		d := &c.dist
		d.n = len(predefined[k])
		size := 1 << logs[k]
		order := make([]uint8, size)
		high := size - 1
		for s, p := range predefined[k] {
			d.symbols[s] = uint8(s)
			d.shares[s] = uint8(max(p, 1))
			if p < 0 {
				order[high] = uint8(s)
				high--
			}
		}
		pos := 0
		for s, p := range predefined[k] {
			for range p {
				order[pos] = uint8(s)
				pos = (pos + size>>1 + size>>3 + 3) % size
				for pos > high {
					pos = (pos + size>>1 + size>>3 + 3) % size
				}
			}
		}
		c.predefined[k].build(order, d)
		for s, p := range predefined[k] {
			c.cost[k][s] = uint8(16*logs[k]) - 16*uint8(bits.Len8(uint8(max(p, 1)))-1)
			if p == 3 {
				c.cost[k][s] -= 9
			}
		}
	}
	fill(c.llCode[:], 16, llBase[:], llBits[:])
	fill(c.mlCode[:], 32, mlBase[:], mlBits[:])
}

func fill(codes []uint32, first int, base []int, bits []uint8) {
	for i := range first {
		codes[i] = uint32(i)
	}
	for i := range base[1:] {
		for v := base[i]; v < base[i+1]; v++ {
			codes[v] = uint32(first+i) | uint32(bits[first+i])<<8 | uint32(v-base[i])<<16
		}
	}
}

func (c *sequenceCoder) append(out []byte, n int, seqs []sequence) int {
	if len(seqs) < 128 {
		out[n] = byte(len(seqs))
		n++
		if len(seqs) == 0 {
			return n
		}
	} else {
		out[n], out[n+1] = byte(len(seqs)>>8+128), byte(len(seqs))
		n += 2
	}
	coded := c.coded[:len(seqs)]
	c.encode(coded, seqs)
	modes := n
	out[modes] = 0
	n++
	var t [3]*fseTable
	for k := range t {
		t[k], n = c.table(out, n, modes, k, len(seqs))
	}
	return write(out, n, coded, t[kindLits], t[kindOffset], t[kindMatch])
}

func (c *sequenceCoder) encode(coded []coded, seqs []sequence) {
	for k := range c.hist {
		clear(c.hist[k][:])
	}
	hl, ho, hm := &c.hist[0], &c.hist[1], &c.hist[2]
	for i, s := range seqs {
		d := &coded[i]
		ll := c.llCode[s.lits&63]
		if s.lits >= 64 {
			n := uint32(bits.Len16(s.lits))
			ll = n + 18 | (n-1)<<8 | (uint32(s.lits)-1<<((n-1)&31))<<16
		}
		m := s.match - 3
		ml := c.mlCode[m&127]
		if m >= 128 {
			n := uint32(bits.Len16(m))
			ml = n + 35 | (n-1)<<8 | (uint32(m)-1<<((n-1)&31))<<16
		}
		of := uint8(bits.Len32(s.offset)) - 1
		hl[ll&63]++
		ho[of&63]++
		hm[ml&63]++
		d.lits, d.match, d.offset = uint8(ll), uint8(ml), of
		lb, mb := uint8(ll>>8), uint8(ml>>8)
		d.extra = uint64(ll>>16) | (uint64(ml>>16)|(uint64(s.offset)-1<<(of&63))<<(mb&63))<<(lb&63)
		d.extraBits = lb + mb + of
	}
}

var log2 = [65]uint8{}

func init() {
	// prototype only
	for i := 1; i < 65; i++ {
		v := uint64(i) << 40
		f := 0
		l := bits.Len(uint(i)) - 1
		x := float64(v) / float64(uint64(1)<<(40+l))
		for k := 0; k < 4; k++ {
			x = x * x
			f <<= 1
			if x >= 2 {
				f++
				x /= 2
			}
		}
		log2[i] = uint8(l*16 + f)
	}
}

func (c *sequenceCoder) table(out []byte, n, modes, k, total int) (*fseTable, int) {
	hist := &c.hist[k]
	shift := 6 - 2*k
	if total < 16 {
		return &c.predefined[k], n
	}
	d := &c.dist
	d.fit(hist, len(predefined[k]), total)
	if d.n == 1 {
		out[modes] |= 1 << shift
		s := d.symbols[0]
		out[n] = s
		t := &c.own[k]
		t.log = 0
		t.symbols[s&63] = transition{}
		t.states[0] = 0
		return t, n + 1
	}
	gain := 0
	for i, s := range d.symbols[:d.n] {
		gain += int(hist[s&63]) * (int(c.cost[k][s&63]) - fseLog*16 + int(log2[d.shares[i]&63]))
	}
	if gain < 64 {
		return &c.predefined[k], n
	}
	end := d.describe(out, n)
	if gain < (end-n)*128 {
		return &c.predefined[k], n
	}
	out[modes] |= 2 << shift
	c.own[k].spread(d)
	return &c.own[k], end
}

func write(out []byte, n int, coded []coded, tl, to, tm *fseTable) int {
	i := len(coded) - 1
	d := &coded[i]
	sl, so, sm := tl.first(d.lits), to.first(d.offset), tm.first(d.match)
	acc, nb := d.extra, uint(d.extraBits)
	store64(out, n, acc)
	n += int(nb >> 3)
	acc >>= nb &^ 7 & 63
	nb &= 7
	for i--; i >= 0; i-- {
		d := &coded[i]
		o := to.symbols[d.offset&63]
		ko := (so + o.bits) >> 16 & 31
		ho := so >> ko
		m := tm.symbols[d.match&63]
		km := (sm + m.bits) >> 16 & 31
		hm := sm >> km
		l := tl.symbols[d.lits&63]
		kl := (sl + l.bits) >> 16 & 31
		hl := sl >> kl
		b := uint64(so-ho<<ko) | (uint64(sm-hm<<km)|uint64(sl-hl<<kl)<<km)<<ko
		acc |= b << (nb & 63)
		nb += uint(ko + km + kl)
		so = uint32(to.states[(ho+uint32(o.state))&63])
		sm = uint32(tm.states[(hm+uint32(m.state))&63])
		sl = uint32(tl.states[(hl+uint32(l.state))&63])
		if d.extraBits > 32 {
			store64(out, n, acc)
			n += int(nb >> 3)
			acc >>= nb &^ 7 & 63
			nb &= 7
		}
		acc |= d.extra << (nb & 63)
		nb += uint(d.extraBits)
		store64(out, n, acc)
		n += int(nb >> 3)
		acc >>= nb &^ 7 & 63
		nb &= 7
	}
	acc |= uint64(sm) & (1<<tm.log - 1) << nb
	nb += uint(tm.log)
	acc |= uint64(so) & (1<<to.log - 1) << nb
	nb += uint(to.log)
	acc |= uint64(sl) & (1<<tl.log - 1) << nb
	nb += uint(tl.log)
	acc |= 1 << nb
	nb++
	store64(out, n, acc)
	return n + int(nb+7)/8
}
