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

// flush writes the whole bytes among the first count bits of acc at n. It
// returns the next n and the bits left over, less than 8. Bits of acc from
// count on are zero.
func (o *output) flush(n int, acc uint64, count uint) (int, uint64, uint) {
	o.put(n, acc)
	return n + int(count>>3), acc >> (count & 56), count & 7
}

// end writes the last bits of a stream that is read backwards: count bits of
// acc, then a one that marks the end. It returns where the stream ends.
func (o *output) end(n int, acc uint64, count uint) int {
	o.put(n, acc|1<<(count&63))
	return n + int(count>>3) + 1
}
