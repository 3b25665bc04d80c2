// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"encoding/binary"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/compress/repeats"
)

const (
	// lzoPage is the size of the largest page that is compressed: no machine
	// that has kdump has larger ones.
	lzoPage = 1 << 16
	// lzoOut is room for whatever becomes of a page, as a power of two.
	lzoOut = 2 * lzoPage

	lzoHashBits = 11
	lzoMinMatch = 4

	lzoPad = 8 // bytes in front of the page that can be looked at
)

// lzoEncoder finds copies greedily, as the method called LZO1X-1 does. Of its
// memory a page of 4 KiB touches an eighth.
//
// Its arrays are larger than what they hold, by powers of two, so that the mask
// of an index costs less than the check of a bound, which the compiler then
// leaves out.
type lzoEncoder struct {
	last [1 << lzoHashBits]uint16    // the last place of bytes with a hash
	page [lzoPad + lzoPage + 32]byte // it begins at lzoPad
	out  [lzoOut + 32]byte
}

func newLZOEncoder() Encoder { return &lzoEncoder{} }

func (e *lzoEncoder) Append(dst, page []byte) ([]byte, bool) {
	if len(page) > lzoPage {
		return dst, false
	}
	n := e.encode(page)
	if n >= len(page) {
		return dst, false
	}
	return append(dst, e.out[:n]...), true
}

// load returns the 8 bytes of the page at i.
func (e *lzoEncoder) load(i int) uint64 {
	return binary.LittleEndian.Uint64(e.page[lzoPad+i&(lzoPage-1):])
}

// before returns the 8 bytes in front of i.
func (e *lzoEncoder) before(i int) uint64 {
	return binary.LittleEndian.Uint64(e.page[i&(lzoPage-1):])
}

// probe returns the last place with the hash of v, which are the bytes at pos,
// and what differs between the bytes there and v. The hash is one of 5 bytes.
func (e *lzoEncoder) probe(v uint64, pos int) (from int, differ uint64) {
	last := &e.last[v<<24*0x9e3779b185ebca87>>(64-lzoHashBits)]
	from = int(*last)
	*last = uint16(pos)
	return from, v ^ e.load(from)
}

// encode makes the stream in e.out and returns its length.
//
// It takes the first copy that it finds. Behind one, it first looks whether the
// page goes on like where that came from, but for a byte or two: a structure
// differs from its neighbour in the low bytes of some pointers.
func (e *lzoEncoder) encode(page []byte) int {
	repeats.Forget(e.last[:])
	end := copy(e.page[lzoPad:], page)
	limit := end - 8
	n, done := 0, 0 // what is in out, of how much of the page
	step := 2       // to the next probe, at least
	for pos := 1; pos < limit; {
		start := pos
		from, differ := e.probe(e.load(pos), pos)
		if uint32(differ) != 0 {
			start++
			from, differ = e.probe(e.load(start), start)
		}
		distance := start - from
		if uint32(differ) != 0 || distance > lzoFarDistance {
			// Faster where nothing repeats.
			pos += step + (pos-done)>>4
			continue
		}
		pos = start
		start -= min(bits.LeadingZeros64(e.before(start)^e.before(from))>>3, start-done, from)
		n = e.putLiterals(n, done, start)
		step = 2 + max(0, n-(pos-pos>>4))>>6 // faster where it has not paid so far
		short, long, shortest := lzoCopies(distance)
		for {
			if differ != 0 {
				pos += bits.TrailingZeros64(differ) >> 3
			} else {
				pos = min(e.extend(pos+8, distance, end), end)
			}
			switch length := pos - start; {
			case length <= shortest:
				e.put(n, short+uint64(length-1)<<5)
				n += 2
			case length <= 33 && distance <= lzoNearDistance:
				e.put(n, long+uint64(length-2))
				n += 3
			default:
				n = putCopy(e.out[:], n, distance, length)
			}
			done = pos
			if pos >= limit {
				break
			}
			next := e.load(pos)
			differ = next ^ e.load(pos-distance)
			same := repeats.Equal4(differ)
			if same == 0 {
				break
			}
			skip := bits.TrailingZeros64(same)
			e.out[(n-2)&(lzoOut-1)] |= byte(skip >> 3) // the S of the copy in front
			e.put(n, next)
			n += skip >> 3
			start = pos + skip>>3
			differ = differ >> (skip & 56) << (skip & 56)
		}
	}
	n = e.putLiterals(n, done, end)
	return n + copy(e.out[n:], lzoEnd)
}

// extend returns the first place at or behind pos whose byte differs from that
// distance bytes before; one from end on if there is none in the page.
func (e *lzoEncoder) extend(pos, distance, end int) int {
	for from := pos - distance; pos < end; pos, from = pos+8, from+8 {
		if differ := e.load(pos) ^ e.load(from); differ != 0 {
			return pos + bits.TrailingZeros64(differ)>>3
		}
	}
	return pos
}

// put puts the 8 bytes of v at n, of which later ones may be overwritten.
func (e *lzoEncoder) put(n int, v uint64) {
	binary.LittleEndian.PutUint64(e.out[n&(lzoOut-1):], v)
}

// putLiterals puts the bytes of the page from first up to, but not including,
// end at n and returns the new n. They follow either a copy or nothing.
func (e *lzoEncoder) putLiterals(n, first, end int) int {
	count := end - first
	switch {
	case count == 0:
		return n
	case n == 0 && count <= lzoMaxFirst:
		e.put(0, uint64(lzoFirst+count))
		n = 1
	case count <= 3 && n > 0:
		e.out[(n-2)&(lzoOut-1)] |= byte(count) // the S of the copy in front
	case count <= 3+15:
		e.put(n, uint64(count-3))
		n++
	default:
		e.put(n, 0)
		n = putLength(e.out[:], n+1, count-3-15)
	}
	from := lzoPad + first&(lzoPage-1)
	*(*[16]byte)(e.out[n&(lzoOut-1):]) = *(*[16]byte)(e.page[from:])
	*(*[16]byte)(e.out[n&(lzoOut-1)+16:]) = *(*[16]byte)(e.page[from+16:])
	if count > 32 {
		copy(e.out[(n+32)&(lzoOut-1):], e.page[from+32:lzoPad+end])
	}
	return n + count
}

// lzoCopies returns the instructions for copies from a distance, but for their
// lengths: the one of two bytes, and up to which length it is possible, and the
// one of three bytes.
func lzoCopies(distance int) (short, long uint64, shortest int) {
	d := uint64(distance - 1)
	if distance <= lzoShortDistance {
		shortest = 8
	}
	return d&7<<2 | d>>3<<8, 0x20 | d<<10, shortest
}

// putCopy puts a copy of length bytes from distance bytes back at out[n:] and
// returns the new n. It is one that takes more than two bytes.
func putCopy(out []byte, n, distance, length int) int {
	if distance <= lzoNearDistance {
		distance--
		n = putOpcode(out, n, 0x20, 31, length-2)
	} else {
		distance -= lzoNearDistance
		n = putOpcode(out, n, 0x10|distance>>14<<3, 7, length-2)
	}
	binary.LittleEndian.PutUint16(out[n:], uint16(distance<<2))
	return n + 2
}

// putOpcode puts an instruction with a length, which fits into it if it is not
// greater than most.
func putOpcode(out []byte, n, opcode, most, length int) int {
	if length <= most {
		out[n] = byte(opcode | length)
		return n + 1
	}
	out[n] = byte(opcode)
	return putLength(out, n+1, length-most)
}

// putLength puts the continuation of a length.
func putLength(out []byte, n, length int) int {
	for ; length > 255; length -= 255 {
		out[n] = 0
		n++
	}
	out[n] = byte(length)
	return n + 1
}
