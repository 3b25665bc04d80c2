// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"encoding/binary"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/compress/repeats"
)

// lzoEncoder compresses in the way that is called LZO1X-1.
type lzoEncoder struct{ greedy }

func newLZOEncoder() Encoder { return &lzoEncoder{} }

func (e *lzoEncoder) Append(dst, page []byte) ([]byte, bool) {
	if len(page) > greedyPage {
		return dst, false
	}
	return e.append(dst, page, e.encode(page))
}

// encode makes the stream in e.out and returns its length.
//
// It takes the first copy that it finds. Behind one, it first looks whether the
// page goes on like where that came from, but for a byte or two: a structure
// differs from its neighbour in the low bytes of some pointers.
func (e *lzoEncoder) encode(contents []byte) int {
	repeats.Forget(e.last[:])
	page, end := repeats.PageOf(contents), len(contents)
	limit := end - 8
	n, done := 0, 0 // what is in out, of how much of the page
	step := 2       // to the next probe, at least
	for pos := 1; pos < limit; {
		start := pos
		from, differ := e.probe(page, page.Load(pos), pos)
		if uint32(differ) != 0 {
			start++
			from, differ = e.probe(page, page.Load(start), start)
		}
		distance := start - from
		if uint32(differ) != 0 || distance > lzoFarDistance {
			// Faster where nothing repeats.
			pos += step + (pos-done)>>4
			continue
		}
		pos = start
		if from >= 8 {
			start -= min(bits.LeadingZeros64(page.Load(start-8)^page.Load(from-8))>>3, start-done)
		}
		n = e.putLiterals(contents, n, done, start)
		step = 2 + max(0, n-(pos-pos>>4))>>6 // faster where it has not paid so far
		short, long, shortest := lzoCopies(distance)
		for {
			if differ != 0 {
				pos += bits.TrailingZeros64(differ) >> 3
			} else {
				pos = page.Extend(pos+8, distance, limit)
				if pos > limit {
					pos = page.Tail(pos, distance, limit)
				}
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
			next := page.Load(pos)
			differ = next ^ page.Load(pos-distance)
			same := repeats.Equal4(differ)
			if same == 0 {
				break
			}
			skip := bits.TrailingZeros64(same)
			e.out[(n-2)&(greedyOut-1)] |= byte(skip >> 3) // the S of the copy in front
			e.put(n, next)
			n += skip >> 3
			start = pos + skip>>3
			differ = differ >> (skip & 56) << (skip & 56)
		}
	}
	n = e.putLiterals(contents, n, done, end)
	return n + copy(e.out[n:], lzoEnd)
}

// putLiterals puts the bytes of the page from first up to, but not including,
// end at n and returns the new n. They follow either a copy or nothing.
func (e *lzoEncoder) putLiterals(contents []byte, n, first, end int) int {
	count := end - first
	switch {
	case count == 0:
		return n
	case n == 0 && count <= lzoMaxFirst:
		e.put(0, uint64(lzoFirst+count))
		n = 1
	case count <= 3 && n > 0:
		e.out[(n-2)&(greedyOut-1)] |= byte(count) // the S of the copy in front
	case count <= 3+15:
		e.put(n, uint64(count-3))
		n++
	default:
		e.put(n, 0)
		n = putLength(e.out[:], n+1, count-3-15)
	}
	return e.putBytes(contents, n, first, end)
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
