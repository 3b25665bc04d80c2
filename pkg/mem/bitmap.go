// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package mem

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// Bitmap is a set of page frames [0, Len). Ranges are set and cleared a word
// at a time. It is not safe for concurrent change; distinct 64-aligned ranges
// may be changed by distinct goroutines.
type Bitmap struct {
	words []uint64
	n     PFN
}

// MaxBitmapBits is the largest bitmap that NewBitmap makes: the page frames of
// 4 PiB at 4 KiB a page (52 physical address bits, x86_64's limit), 128 GiB of
// bits. Callers bound what they read from a core far below that.
const MaxBitmapBits = PFN(1) << 40

// NewBitmap returns an empty set over the page frames [0, n).
// It panics if n exceeds MaxBitmapBits.
func NewBitmap(n PFN) *Bitmap {
	if n > MaxBitmapBits {
		panic(fmt.Sprintf("mem: bitmap of %d bits", n))
	}
	return &Bitmap{words: make([]uint64, (n+63)/64), n: n}
}

// Len returns the number of page frames that the set ranges over.
func (b *Bitmap) Len() PFN { return b.n }

// Test reports whether p is in the set; false for p ≥ Len.
func (b *Bitmap) Test(p PFN) bool {
	return p < b.n && b.words[p>>6]&(1<<(p&63)) != 0
}

// Set adds p to the set; p ≥ Len is ignored.
func (b *Bitmap) Set(p PFN) {
	if p < b.n {
		b.words[p>>6] |= 1 << (p & 63)
	}
}

// Clear removes p from the set; p ≥ Len is ignored.
func (b *Bitmap) Clear(p PFN) {
	if p < b.n {
		b.words[p>>6] &^= 1 << (p & 63)
	}
}

// SetRange adds the page frames of r that lie below Len.
func (b *Bitmap) SetRange(r PFNRange) {
	b.eachWord(r, func(w *uint64, mask uint64) { *w |= mask })
}

// ClearRange removes the page frames of r that lie below Len and returns how
// many of them were in the set.
func (b *Bitmap) ClearRange(r PFNRange) uint64 {
	var n int
	b.eachWord(r, func(w *uint64, mask uint64) {
		n += bits.OnesCount64(*w & mask)
		*w &^= mask
	})
	return uint64(n)
}

// CountRange returns how many page frames of r are in the set.
func (b *Bitmap) CountRange(r PFNRange) uint64 {
	var n int
	b.eachWord(r, func(w *uint64, mask uint64) { n += bits.OnesCount64(*w & mask) })
	return uint64(n)
}

// Count returns how many page frames are in the set.
func (b *Bitmap) Count() uint64 { return b.CountRange(PFNRange{0, b.n}) }

// eachWord calls f for every word that r touches, with the bits of r in it.
func (b *Bitmap) eachWord(r PFNRange, f func(w *uint64, mask uint64)) {
	r.End = min(r.End, b.n)
	if r.Start >= r.End {
		return
	}
	first, last := r.Start>>6, (r.End-1)>>6
	head := ^uint64(0) << (r.Start & 63)
	tail := ^uint64(0) >> (63 - (r.End-1)&63)
	if first == last {
		f(&b.words[first], head&tail)
		return
	}
	f(&b.words[first], head)
	for i := first + 1; i < last; i++ {
		f(&b.words[i], ^uint64(0))
	}
	f(&b.words[last], tail)
}

// NextSet returns the first page frame ≥ p in the set, or Len if there is none.
func (b *Bitmap) NextSet(p PFN) PFN { return b.next(p, 0) }

// NextClear returns the first page frame ≥ p not in the set, or Len if there
// is none.
func (b *Bitmap) NextClear(p PFN) PFN { return b.next(p, ^uint64(0)) }

// next finds the first bit ≥ p that is set in words xor flip.
func (b *Bitmap) next(p PFN, flip uint64) PFN {
	if p >= b.n {
		return b.n
	}
	i := p >> 6
	w := (b.words[i] ^ flip) &^ (1<<(p&63) - 1)
	for w == 0 {
		i++
		if int(i) >= len(b.words) {
			return b.n
		}
		w = b.words[i] ^ flip
	}
	return min(i<<6+PFN(bits.TrailingZeros64(w)), b.n)
}

// NextRun returns the first maximal run of page frames in the set that starts
// at or after p; an empty run at Len if there is none.
func (b *Bitmap) NextRun(p PFN) PFNRange {
	start := b.NextSet(p)
	return PFNRange{start, b.NextClear(start)}
}

// ReadBytes fills dst with the bits of the set from byte offset off on, in the
// order that the kdump-compressed format has them: page frame n is bit n%8
// (counted from the least significant) of byte n/8. Bytes past Len are zero.
func (b *Bitmap) ReadBytes(dst []byte, off uint64) {
	var word [8]byte
	for i := range dst {
		at := off + uint64(i)
		if i == 0 || at%8 == 0 {
			var w uint64
			if at/8 < uint64(len(b.words)) {
				w = b.words[at/8]
			}
			binary.LittleEndian.PutUint64(word[:], w)
		}
		dst[i] = word[at%8]
	}
}

// WriteBytes adds the page frames whose bits are set in src, in the order of
// ReadBytes, where src begins at byte offset off. Bits past Len are ignored.
func (b *Bitmap) WriteBytes(src []byte, off uint64) {
	for i, v := range src {
		at := off + uint64(i)
		if v == 0 || at/8 >= uint64(len(b.words)) {
			continue
		}
		b.words[at/8] |= uint64(v) << (at % 8 * 8)
	}
	if tail := b.n & 63; tail != 0 {
		b.words[len(b.words)-1] &= 1<<tail - 1
	}
}
