// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package mem

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync/atomic"
)

// Bitmap is a set of page frames [0, Len). Ranges are set and cleared a word
// at a time. Its memory goes by what is in it and not by Len: long ranges
// without or full of page frames cost next to nothing, for machines leave
// terabytes of addresses between their memory, and damaged cores claim to.
//
// It is not safe for concurrent change; distinct 64-aligned ranges may be
// changed by distinct goroutines.
type Bitmap struct {
	chunks []atomic.Pointer[chunk] // nil: all bits clear
	full   *chunk                  // stands for every chunk with all bits set; never changed
	n      PFN
}

// chunk is the bits of chunkBits page frames: of 1 GiB of 4 KiB pages.
type chunk [chunkWords]uint64

const (
	chunkShift = 18
	chunkBits  = PFN(1) << chunkShift
	chunkWords = chunkBits / 64
	chunkBytes = chunkBits / 8
)

// MaxBitmapBits is the largest bitmap that NewBitmap makes: the page frames of
// 4 PiB at 4 KiB a page (52 physical address bits, the limit of x86_64 and
// arm64).
const MaxBitmapBits = PFN(1) << 40

// NewBitmap returns an empty set over the page frames [0, n).
// It panics if n exceeds MaxBitmapBits.
func NewBitmap(n PFN) *Bitmap {
	if n > MaxBitmapBits {
		panic(fmt.Sprintf("mem: bitmap of %d bits", n))
	}
	b := &Bitmap{chunks: make([]atomic.Pointer[chunk], (n+chunkBits-1)/chunkBits), full: new(chunk), n: n}
	for i := range b.full {
		b.full[i] = ^uint64(0)
	}
	return b
}

// Len returns the number of page frames that the set ranges over.
func (b *Bitmap) Len() PFN { return b.n }

// Test reports whether p is in the set; false for p ≥ Len.
func (b *Bitmap) Test(p PFN) bool {
	if p >= b.n {
		return false
	}
	c := b.chunks[p>>chunkShift].Load()
	return c != nil && c[p%chunkBits/64]&(1<<(p%64)) != 0
}

// Set adds p to the set; p ≥ Len is ignored.
func (b *Bitmap) Set(p PFN) { b.SetRange(PFNRange{p, p + 1}) }

// Clear removes p from the set; p ≥ Len is ignored.
func (b *Bitmap) Clear(p PFN) { b.ClearRange(PFNRange{p, p + 1}) }

// SetRange adds the page frames of r that lie below Len.
func (b *Bitmap) SetRange(r PFNRange) {
	for p, end := r.Start, min(r.End, b.n); p < end; {
		slot, stop := &b.chunks[p>>chunkShift], min(end, chunkEnd(p))
		c := slot.Load()
		switch {
		case c == b.full:
		case stop-p == chunkBits:
			slot.Store(b.full)
		default:
			b.own(slot, c).set(p%chunkBits, stop-p)
		}
		p = stop
	}
}

// ClearRange removes the page frames of r that lie below Len and returns how
// many of them were in the set.
func (b *Bitmap) ClearRange(r PFNRange) uint64 {
	n := 0
	for p, end := r.Start, min(r.End, b.n); p < end; {
		slot, stop := &b.chunks[p>>chunkShift], min(end, chunkEnd(p))
		c := slot.Load()
		switch {
		case c == nil:
		case stop-p == chunkBits:
			n += c.count(0, chunkBits)
			slot.Store(nil)
		default:
			n += b.own(slot, c).clear(p%chunkBits, stop-p)
		}
		p = stop
	}
	return uint64(n)
}

// CountRange returns how many page frames of r are in the set.
func (b *Bitmap) CountRange(r PFNRange) uint64 {
	n := 0
	for p, end := r.Start, min(r.End, b.n); p < end; {
		stop := min(end, chunkEnd(p))
		switch c := b.chunks[p>>chunkShift].Load(); c {
		case nil:
		case b.full:
			n += int(stop - p)
		default:
			n += c.count(p%chunkBits, stop-p)
		}
		p = stop
	}
	return uint64(n)
}

// Count returns how many page frames are in the set.
func (b *Bitmap) Count() uint64 { return b.CountRange(PFNRange{0, b.n}) }

// chunkEnd returns the first page frame behind the chunk of p.
func chunkEnd(p PFN) PFN { return p - p%chunkBits + chunkBits }

// own returns the chunk in slot, which was c, for changing a part of it. Another
// goroutine, at work on another part, may put it there at the same time.
func (b *Bitmap) own(slot *atomic.Pointer[chunk], c *chunk) *chunk {
	if c != nil && c != b.full {
		return c
	}
	return b.replace(slot, c)
}

func (b *Bitmap) replace(slot *atomic.Pointer[chunk], c *chunk) *chunk {
	fresh := new(chunk)
	if c == b.full {
		*fresh = *b.full
	}
	if slot.CompareAndSwap(c, fresh) {
		return fresh
	}
	return slot.Load()
}

// bitsFrom returns the bits of a word from first on, n of them or as many as
// there are.
func bitsFrom(first, n PFN) uint64 {
	return ^uint64(0) >> (64 - min(n, 64-first)) << first
}

func (c *chunk) set(p, n PFN) {
	for end := p + n; p < end; p += 64 - p%64 {
		c[p/64] |= bitsFrom(p%64, end-p)
	}
}

// clear returns how many of the bits were set.
func (c *chunk) clear(p, n PFN) (cleared int) {
	for end := p + n; p < end; p += 64 - p%64 {
		w, m := &c[p/64], bitsFrom(p%64, end-p)
		cleared += bits.OnesCount64(*w & m)
		*w &^= m
	}
	return cleared
}

func (c *chunk) count(p, n PFN) (set int) {
	for end := p + n; p < end; p += 64 - p%64 {
		set += bits.OnesCount64(c[p/64] & bitsFrom(p%64, end-p))
	}
	return set
}

// NextSet returns the first page frame ≥ p in the set, or Len if there is none.
func (b *Bitmap) NextSet(p PFN) PFN { return b.next(p, nil, 0) }

// NextClear returns the first page frame ≥ p not in the set, or Len if there
// is none.
func (b *Bitmap) NextClear(p PFN) PFN { return b.next(p, b.full, ^uint64(0)) }

// next finds the first bit ≥ p that is set in words xor flip. Chunks that are
// skip have none.
func (b *Bitmap) next(p PFN, skip *chunk, flip uint64) PFN {
	for p < b.n {
		c := b.chunks[p>>chunkShift].Load()
		switch {
		case c == skip:
		case c == nil || c == b.full:
			return p
		default:
			if at := c.next(p%chunkBits, flip); at < chunkBits {
				return min(p-p%chunkBits+at, b.n)
			}
		}
		p = chunkEnd(p)
	}
	return b.n
}

// next finds the first bit ≥ p that is set in words xor flip; chunkBits if there
// is none.
func (c *chunk) next(p PFN, flip uint64) PFN {
	i := p / 64
	w := (c[i] ^ flip) &^ (1<<(p%64) - 1)
	for w == 0 {
		if i++; i == chunkWords {
			return chunkBits
		}
		w = c[i] ^ flip
	}
	return i*64 + PFN(bits.TrailingZeros64(w))
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
	for len(dst) > 0 {
		in := off % uint64(chunkBytes)
		part := dst[:min(uint64(len(dst)), uint64(chunkBytes)-in)]
		var c *chunk
		if i := off / uint64(chunkBytes); i < uint64(len(b.chunks)) {
			c = b.chunks[i].Load()
		}
		if c == nil {
			clear(part)
		} else {
			c.readBytes(part, in)
		}
		dst, off = dst[len(part):], off+uint64(len(part))
	}
}

func (c *chunk) readBytes(dst []byte, off uint64) {
	for ; len(dst) > 0 && off%8 != 0; dst, off = dst[1:], off+1 {
		dst[0] = byte(c[off/8] >> (off % 8 * 8))
	}
	for ; len(dst) >= 8; dst, off = dst[8:], off+8 {
		binary.LittleEndian.PutUint64(dst, c[off/8])
	}
	for i := range dst {
		dst[i] = byte(c[off/8] >> (i * 8))
	}
}

// WriteBytes adds the page frames whose bits are set in src, in the order of
// ReadBytes, where src begins at byte offset off. Bits past Len are ignored.
func (b *Bitmap) WriteBytes(src []byte, off uint64) {
	for i, v := range src {
		first := PFN(off+uint64(i)) * 8
		if v == 0 || first >= b.n {
			continue
		}
		if left := b.n - first; left < 8 {
			v &= 1<<left - 1
		}
		slot := &b.chunks[first>>chunkShift]
		if c := slot.Load(); c != b.full {
			b.own(slot, c)[first%chunkBits/64] |= uint64(v) << (first % 64)
		}
	}
}
