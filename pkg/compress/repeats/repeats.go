// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package repeats has what the encoders of pages that are our own (LZO, snappy, and
// zstdpage) have in common in their search for what repeats within a page.
package repeats

// Equal4 takes what differs between two words of 8 bytes, the first byte the lowest.
// It returns a number whose lowest set bit is in the first byte of the first four
// zero bytes in a row of x that begin in one of its first three bytes; 0 if there
// are none.
func Equal4(x uint64) uint64 {
	const low7 = 0x7f7f7f7f7f7f7f7f
	differ := (x&low7 + low7) | x // in the high bit of each byte
	differ |= differ >> 8
	differ |= differ >> 16
	return ^differ & 0x808080
}

// Forget clears a table of places, whose length has to be a multiple of 512. It does
// so piece by piece: 4 KiB at once some CPUs (AMD's Zen 5) clear past their first
// cache, which costs 600 cycles a page when the table is used, and emulators do in a
// loop over words what the compiler makes of more than 1 KiB.
func Forget(places []uint16) {
	const piece = 512
	for ; len(places) >= piece; places = places[piece:] {
		clear((*[piece]uint16)(places)[:])
	}
}
