// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/klauspost/compress/s2"

	"github.com/ukdump/ukdump/pkg/compress/repeats"
)

const (
	snappyPage = 4096
	snappyOut  = 2 * snappyPage // more than the room for what becomes of a page, as a power of two

	snappyHashBits = 11
)

// snappyEncoder finds copies greedily, as lzoEncoder does, in pages of the size that
// all PCs have; larger ones, of some machines with ARM CPUs, it leaves to a library.
//
// The mask of an index of its output costs less than the check of a bound, which the
// compiler then leaves out.
type snappyEncoder struct {
	last [1 << snappyHashBits]uint16 // the last place of bytes with a hash
	out  [snappyOut + 16]byte
}

func newSnappyEncoder() Encoder { return &snappyEncoder{} }

func (e *snappyEncoder) Append(dst, page []byte) ([]byte, bool) {
	if len(page) == snappyPage {
		n := e.encode((*[snappyPage]byte)(page))
		if n >= len(page) {
			return dst, false
		}
		return append(dst, e.out[:n]...), true
	}
	out := s2.EncodeSnappy(dst[len(dst):cap(dst)], page)
	if len(out) >= len(page) {
		return dst, false
	}
	return append(dst, out...), true // in place, if dst had the room
}

// load8 returns the 8 bytes of the page at i, which must be from 0 to snappyPage-8.
// Nothing checks this: it would take an eighth of the encoder's time, as would a
// copy of the page that is longer.
func load8(page *[snappyPage]byte, i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(unsafe.Pointer(page), i))[:])
}

// probe returns the last place with the hash of v, which are the bytes at pos,
// and what differs between the bytes there and v. The hash is one of 5 bytes.
func (e *snappyEncoder) probe(page *[snappyPage]byte, v uint64, pos int) (from int, differ uint64) {
	last := &e.last[v<<24*0x9e3779b185ebca87>>(64-snappyHashBits)]
	from = int(*last)
	*last = uint16(pos)
	return from, v ^ load8(page, from)
}

// encode makes the block in e.out and returns its length. It does not get longer
// than the page by more than a few bytes: a copy replaces 4 bytes or more, by 3 at
// most, and one for the literals behind it.
//
// It takes the first copy that it finds. Behind one, it first looks for another
// there, and then whether the page goes on like where that came from, but for some
// bytes: a structure differs from its neighbour in the low bytes of some pointers.
func (e *snappyEncoder) encode(page *[snappyPage]byte) int {
	const limit = snappyPage - 8
	repeats.Forget(e.last[:])
	n := binary.PutUvarint(e.out[:], snappyPage)
	done := 0 // how much of the page is in out
	for pos := 1; pos < limit; {
		start := pos
		from, differ := e.probe(page, load8(page, pos), pos)
		if uint32(differ) != 0 {
			start++
			from, differ = e.probe(page, load8(page, start), start)
		}
		if uint32(differ) != 0 {
			pos += 2 + (pos-done)>>5 // faster where nothing repeats
			continue
		}
		distance := start - from
		pos = start
		if from >= 8 {
			start -= min(bits.LeadingZeros64(load8(page, start-8)^load8(page, from-8))>>3, start-done)
		}
		n = e.putLiterals(page, n, done, start)
		short, long, shortest := snappyCopies(distance)
		for {
			if differ != 0 {
				pos += bits.TrailingZeros64(differ) >> 3
			} else {
				pos = extend(page, pos+8, distance)
			}
			if length := pos - start; length <= 64 {
				opcode, size := long+uint64(length)<<2, 3
				if length < shortest {
					opcode, size = short+uint64(length)<<2, 2
				}
				e.put(n, opcode)
				n += size
			} else {
				n = e.putCopy(n, distance, length)
			}
			done = pos
			if pos >= limit {
				break
			}
			next := load8(page, pos)
			differ = next ^ load8(page, pos-distance)
			if differ>>8 != 0 {
				// More than a byte: perhaps another distance is better from here on.
				if from, other := e.probe(page, next, pos); uint32(other) == 0 {
					differ, distance, start = other, pos-from, pos
					short, long, shortest = snappyCopies(distance)
					continue
				}
			}
			same := repeats.Equal4(differ)
			if same == 0 {
				pos++
				break
			}
			skip := bits.TrailingZeros64(same) >> 3
			e.put(n, uint64(skip-1)<<2|next<<8)
			n += skip + 1
			start = pos + skip
			differ = differ >> (8 * skip) << (8 * skip)
		}
	}
	return e.putLiterals(page, n, done, snappyPage)
}

// extend returns the first place at or behind pos whose byte differs from that
// distance bytes before; the end of the page if there is none.
func extend(page *[snappyPage]byte, pos, distance int) int {
	for from := pos - distance; pos <= snappyPage-8; pos, from = pos+8, from+8 {
		if differ := load8(page, pos) ^ load8(page, from); differ != 0 {
			return pos + bits.TrailingZeros64(differ)>>3
		}
	}
	for pos < snappyPage && page[pos] == page[pos-distance] {
		pos++
	}
	return pos
}

// put puts the 8 bytes of v at n, of which later ones may be overwritten.
func (e *snappyEncoder) put(n int, v uint64) {
	binary.LittleEndian.PutUint64(e.out[n&(snappyOut-1):], v)
}

// putLiterals puts the bytes of the page from first up to, but not including,
// end at n and returns the new n.
func (e *snappyEncoder) putLiterals(page *[snappyPage]byte, n, first, end int) int {
	count := end - first
	switch {
	case count == 0:
		return n
	case count <= 60:
		e.put(n, uint64(count-1)<<2)
		n++
	case count <= 256:
		e.put(n, 60<<2|uint64(count-1)<<8)
		n += 2
	default:
		e.put(n, 61<<2|uint64(count-1)<<8)
		n += 3
	}
	if count > 16 || first > snappyPage-16 {
		return n + copy(e.out[n&(snappyOut-1):], page[first:end])
	}
	*(*[16]byte)(e.out[n&(snappyOut-1):]) = *(*[16]byte)(page[first:])
	return n + count
}

// snappyCopies returns the elements for copies from a distance, to which four
// times the length is to be added: the one of two bytes, for copies shorter than
// shortest, and the one of three bytes.
func snappyCopies(distance int) (short, long uint64, shortest int) {
	d := uint64(distance)
	if distance < 2048 {
		shortest = 12
	}
	return d>>8<<5 + d&0xff<<8 + 1 - 4<<2, d<<8 + 2 - 1<<2, shortest
}

// putCopy puts a copy of length bytes from distance bytes back at n and returns
// the new n.
func (e *snappyEncoder) putCopy(n, distance, length int) int {
	short, long, shortest := snappyCopies(distance)
	for length > 64 {
		count := min(length-4, 64) // what is left has to be four bytes or more
		e.put(n, long+uint64(count)<<2)
		n += 3
		length -= count
	}
	if length < shortest {
		e.put(n, short+uint64(length)<<2)
		return n + 2
	}
	e.put(n, long+uint64(length)<<2)
	return n + 3
}
