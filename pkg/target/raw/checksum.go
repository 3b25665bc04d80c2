// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package raw

import "hash/crc32"

// castagnoli returns the table of CRC-32C, which processors have instructions
// for.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// followedBy returns what a change of some bytes' checksum, the exclusive or of
// the old one and the new one, becomes when n bytes follow them. CRCs are linear:
// each byte that follows multiplies by x^8, modulo the polynomial.
func followedBy(change uint32, n int64) uint32 {
	power := uint32(1) << (31 - 8) // x^8; the highest bit is x^0
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			change = multiply(change, power)
		}
		power = multiply(power, power)
	}
	return change
}

// multiply multiplies two polynomials modulo that of CRC-32C.
func multiply(a, b uint32) uint32 {
	product := uint32(0)
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		low := b & 1
		b >>= 1
		if low != 0 {
			b ^= crc32.Castagnoli
		}
	}
	return product
}
