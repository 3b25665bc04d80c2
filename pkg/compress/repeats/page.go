// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package repeats

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Page is a page that is read where it lies, without a check of bounds: the checks
// would take an eighth of an encoder's time, as would a copy of the page with room
// behind it.
type Page struct{ first unsafe.Pointer }

// PageOf returns the Page of contents.
func PageOf(contents []byte) Page {
	return Page{unsafe.Pointer(unsafe.SliceData(contents))}
}

// Load returns the 8 bytes at i, the first byte the lowest. All of them must be in
// the page.
func (p Page) Load(i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(p.first, i))[:])
}

// Extend returns the first place from pos on whose byte differs from that distance
// bytes before. If there is none in the words that begin at limit or before, which
// is 8 bytes in front of the end of the page, the result is greater than limit.
func (p Page) Extend(pos, distance, limit int) int {
	for ; pos <= limit; pos += 8 {
		if differ := p.Load(pos) ^ p.Load(pos-distance); differ != 0 {
			return pos + bits.TrailingZeros64(differ)>>3
		}
	}
	return pos
}

// Tail is Extend for a place greater than limit: it returns the end of the page if
// no byte differs. Distance must not be greater than limit.
//
// Inlined, it would take registers from the loops of its callers.
//
//go:noinline
func (p Page) Tail(pos, distance, limit int) int {
	differ := (p.Load(limit) ^ p.Load(limit-distance)) >> (8 * (pos - limit))
	return min(pos+bits.TrailingZeros64(differ)>>3, limit+8)
}
