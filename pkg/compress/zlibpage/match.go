// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zlibpage

import (
	"encoding/binary"
	"math/bits"
)

// The copies that deflate knows, in bytes.
const (
	minCopy     = 3
	maxCopy     = 258
	maxDistance = 32 << 10
)

const (
	// hashBits is the size of the table of places: 16 KiB, which is half of a
	// CPU's nearest cache.
	hashBits = 12
	// goodCopy is how long a copy has to be that no other place is compared.
	goodCopy = 16
	// lazyCopy is how long a copy has to be that none is looked for which begins
	// a byte later. It makes pages 3 % smaller, in the same time: there is less
	// to write.
	lazyCopy = 6
	// shortCopy is how long a copy is at most whose every byte is remembered as
	// a place. Of others the last ones are, where the next copy may begin.
	shortCopy, lastBytes = 8, 2
	// hopeless is the base-2 logarithm of how many bytes without a copy make the
	// search for one go on by one byte more.
	hopeless = 7
)

// window holds a block. It is of the same size for all of them, so that a masked
// place needs no check.
type window [maxBlock + 8]byte

// load returns the 8 bytes at a place, the first in the lowest bits.
func (w *window) load(at int) uint64 { return binary.LittleEndian.Uint64(w[at&(maxBlock-1):]) }

// common returns how many of the bytes at b and before end are those at a, which
// lies before b.
func (w *window) common(a, b, end int) int {
	for n := 0; b+n < end; n += 8 {
		if diff := w.load(a+n) ^ w.load(b+n); diff != 0 {
			return min(n+bits.TrailingZeros64(diff)>>3, end-b)
		}
	}
	return end - b
}

// sequence is a number of literals and a copy that follows them.
type sequence struct{ literals, length, distance uint16 }

// matcher cuts blocks into literals and copies.
type matcher struct {
	window window
	// places has, by the hash of three bytes, the last two places where they
	// were, the last one in the lower half. That two of them are at hand at once
	// is worth more than a chain of all.
	places    [1 << hashBits]uint32
	literals  []byte
	sequences []sequence
}

func newMatcher(blockSize int) *matcher {
	return &matcher{
		literals:  make([]byte, 0, blockSize+8),
		sequences: make([]sequence, 0, blockSize/minCopy+1),
	}
}

// swap remembers a place, with the 8 bytes that are there, and returns those
// that were remembered of the same bytes.
func (m *matcher) swap(at int, v uint64) (near, far int) {
	const factor = 0x9e3779b185ebca87
	slot := &m.places[v<<40*factor>>(64-hashBits)]
	both := *slot
	*slot = both<<16 | uint32(at)
	return int(both & 0xffff), int(both >> 16)
}

// find cuts a block into m.sequences and the literals of all of them, and some
// that follow, in m.literals. A place that was not remembered yet is 0, which is
// as good as any other, as what is there gets compared.
func (m *matcher) find(block []byte) {
	clear(m.places[:])
	m.literals, m.sequences = m.literals[:0], m.sequences[:0]
	w := &m.window
	end := copy(w[:], block)
	limit := end - 8 // 8 bytes can be looked at before that
	done := 0        // what lies before is in the sequences
	for at := 1; at < limit; {
		n, from := m.best(at, end)
		if n == 0 {
			at += 1 + (at-done)>>hopeless
			continue
		}
		next := at + 1 // the first place that is not remembered
		for n < lazyCopy && next < limit {
			k, f := m.best(next, end)
			next++
			if k <= n {
				break
			}
			at, n, from = next-1, k, f
		}
		m.add(done, at, n, at-from)
		at += n
		done = at
		if n > shortCopy {
			next = at - lastBytes
		}
		for ; next < min(at, limit); next++ {
			m.swap(next, w.load(next))
		}
	}
	m.literals = append(m.literals, w[done:end]...)
}

// best returns the length and the origin of the longest copy to at, before end,
// that is known; no length if there is none.
func (m *matcher) best(at, end int) (n, from int) {
	w := &m.window
	v := w.load(at)
	from, far := m.swap(at, v)
	diff, farDiff := v^w.load(from), v^w.load(far)
	// Three bytes that differ show in the lowest bits, and the lower the
	// lowest bit is, the shorter is the copy.
	if farDiff&-farDiff-1 > diff&-diff-1 {
		diff, from = farDiff, far
	}
	if diff<<40 != 0 || at-from > maxDistance {
		return 0, 0
	}
	if diff == 0 {
		return m.longer(from, far, at, min(end, at+maxCopy))
	}
	return bits.TrailingZeros64(diff) >> 3, from
}

// longer returns the length and the origin of a copy to at, before end, of which
// 8 bytes are known to be at near, and perhaps far.
func (m *matcher) longer(near, far, at, end int) (n, from int) {
	n = m.window.common(near, at, end)
	if n < goodCopy && far != near && at-far <= maxDistance {
		if k := m.window.common(far, at, end); k > n {
			return k, far
		}
	}
	return n, near
}

// add adds a sequence: literals from first up to, but not including, at, and a
// copy.
func (m *matcher) add(first, at, length, distance int) {
	n := len(m.literals)
	if at-first <= 8 {
		binary.LittleEndian.PutUint64(m.literals[n:n+8], m.window.load(first))
		m.literals = m.literals[:n+at-first]
	} else {
		m.literals = append(m.literals, m.window[first:at]...)
	}
	m.sequences = append(m.sequences, sequence{uint16(at - first), uint16(length), uint16(distance)})
}
