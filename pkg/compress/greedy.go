// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"encoding/binary"

	"github.com/ukdump/ukdump/pkg/compress/repeats"
)

const (
	// greedyPage is the size of the largest page that a greedy encoder compresses:
	// no machine that has kdump has larger ones.
	greedyPage = 1 << 16
	// greedyOut is room for whatever becomes of a page, as a power of two: the mask
	// of an index costs less than the check of a bound, which the compiler then
	// leaves out.
	greedyOut = 2 * greedyPage

	greedyHashBits = 11
)

// greedy is what the encoders of LZO and snappy have in common. Both take the first
// copy that they find, one after the other. Of its memory a page of 4 KiB touches
// 8 KiB.
//
// A page of /proc/vmcore may be written to while it is read, by a device that nobody
// has stopped. What comes of it then is a mixture, but still a page.
type greedy struct {
	last [1 << greedyHashBits]uint16 // the last place of bytes with a hash
	out  [greedyOut + 32]byte
}

// probe returns the last place with the hash of v, which are the bytes at pos,
// and what differs between the bytes there and v. The hash is one of 5 bytes.
func (g *greedy) probe(page repeats.Page, v uint64, pos int) (from int, differ uint64) {
	last := &g.last[v<<24*0x9e3779b185ebca87>>(64-greedyHashBits)]
	from = int(*last)
	*last = uint16(pos)
	return from, v ^ page.Load(from)
}

// put puts the 8 bytes of v at n, of which later ones may be overwritten.
func (g *greedy) put(n int, v uint64) {
	binary.LittleEndian.PutUint64(g.out[n&(greedyOut-1):], v)
}

// putBytes puts the bytes of the page from first up to, but not including, end at n
// and returns the place behind them.
func (g *greedy) putBytes(page []byte, n, first, end int) int {
	if end-first > 16 || first+16 > len(page) {
		return n + copy(g.out[n&(greedyOut-1):], page[first:end])
	}
	*(*[16]byte)(g.out[n&(greedyOut-1):]) = *(*[16]byte)(page[first:])
	return n + end - first
}

// append appends the first n bytes of the output to dst if these are fewer than the
// page has.
func (g *greedy) append(dst, page []byte, n int) ([]byte, bool) {
	if n >= len(page) {
		return dst, false
	}
	return append(dst, g.out[:n]...), true
}
