// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import "encoding/binary"

// output takes the content of a block. A block that needs more room than there
// is has long become larger than its data: it wraps around, and is not used.
//
// Here as in the window, the mask of an index costs less than the check of a
// bound, which the compiler then leaves out.
type output [2*blockSize + 8]byte

// put writes the 8 bytes of v at n.
func (o *output) put(n int, v uint64) {
	binary.LittleEndian.PutUint64(o[n&(2*blockSize-1):], v)
}

// Bits are gathered in a word acc, of which the highest count bits are to be
// written, the first of them the lowest. What is below is old, and of no account.

// add adds the lowest n bits of bits to acc. Those above n have to be zero.
func add(acc uint64, count uint, bits uint64, n uint) (uint64, uint) {
	return acc>>(n&63) | bits<<(-n&63), count + n
}

// flush writes the whole bytes at n. It returns the next n, and how many bits are
// left over, less than 8.
func (o *output) flush(n int, acc uint64, count uint) (int, uint) {
	o.put(n, acc>>(-count&63))
	return n + int(count>>3), count & 7
}

// end writes the last bits of a stream that is read backwards, less than 64, and
// a one that marks the end. It returns where the stream ends.
func (o *output) end(n int, acc uint64, count uint) int {
	acc = acc>>1 | 1<<63
	o.put(n, acc>>((63-count)&63))
	return n + int(count>>3) + 1
}
