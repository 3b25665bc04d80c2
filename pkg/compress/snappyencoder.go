// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"encoding/binary"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/compress/repeats"
)

// snappyEncoder makes raw blocks of snappy (format_description.txt of google/snappy).
type snappyEncoder struct{ greedy }

func newSnappyEncoder() Encoder { return &snappyEncoder{} }

func (e *snappyEncoder) Append(dst, page []byte) ([]byte, bool) {
	if len(page) > greedyPage {
		return dst, false
	}
	return e.append(dst, page, e.encode(page))
}

// encode makes the block in e.out and returns its length, which is greater than that
// of the page by 2 % at most: a copy takes 3 bytes instead of 4 or more, and the
// literals behind it one more, or two if they are more than 60.
//
// It takes the first copy that it finds. Behind one, it first looks for another
// there, and then whether the page goes on like where that came from, but for some
// bytes: a structure differs from its neighbour in the low bytes of some pointers.
func (e *snappyEncoder) encode(contents []byte) int {
	page, end := repeats.PageOf(contents), len(contents)
	limit := end - 8
	repeats.Forget(e.last[:])
	n := binary.PutUvarint(e.out[:], uint64(end))
	done := 0 // how much of the page is in out
	for pos := 1; pos < limit; {
		start := pos
		from, differ := e.probe(page, page.Load(pos), pos)
		if uint32(differ) != 0 {
			start++
			from, differ = e.probe(page, page.Load(start), start)
		}
		if uint32(differ) != 0 {
			pos += 2 + (pos-done)>>5 // faster where nothing repeats
			continue
		}
		distance := start - from
		pos = start
		if from >= 8 {
			start -= min(bits.LeadingZeros64(page.Load(start-8)^page.Load(from-8))>>3, start-done)
		}
		n = e.putLiterals(contents, n, done, start)
		short, long, shortest := snappyCopies(distance)
		for {
			if differ != 0 {
				pos += bits.TrailingZeros64(differ) >> 3
			} else {
				pos = page.Extend(pos+8, distance, limit)
				if pos > limit {
					pos = page.Tail(pos, distance, limit)
				}
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
			next := page.Load(pos)
			differ = next ^ page.Load(pos-distance)
			if differ>>8 != 0 {
				// More than a byte: perhaps another distance is better from here on.
				if from, other := e.probe(page, next, pos); uint32(other) == 0 {
					differ, distance, start = other, pos-from, pos
					short, long, shortest = snappyCopies(distance)
					continue
				}
			}
			// The byte at pos differs, or the page was written to meanwhile: there is
			// no literal of no bytes.
			same := repeats.Equal4(differ | 1)
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
	return e.putLiterals(contents, n, done, end)
}

// putLiterals puts the bytes of the page from first up to, but not including,
// end at n and returns the new n.
func (e *snappyEncoder) putLiterals(contents []byte, n, first, end int) int {
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
	return e.putBytes(contents, n, first, end)
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
