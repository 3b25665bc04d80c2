// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// The format has no checksums: a flipped bit in a bitmap moves the descriptors
// of all pages behind it. So the package puts a seal into the gap between
// descriptors and data, which no reader looks at. It has, in little-endian order
// on every machine, a magic number and checksums of all parts of the file:
//
//	 0  "ukdump" 0 2
//	 8  checksum of the first block
//	16  checksum of what follows up to the descriptors
//	24  sum of the checksums of all descriptors, see SumDesc
//	32  checksum of the page data
//	40  where the page data ends
//	48
//
// The checksum is xxHash64 with seed 0 (the specification is doc/xxhash_spec.md of
// github.com/Cyan4973/xxHash). It costs little on every processor: a CRC needs
// instructions of its own to be as fast, and emulated machines lack them. The seal
// begins right behind the last descriptor. A part of a split dump that has no gap
// there has no seal.
const (
	sealMagic = "ukdump\x00\x02"
	sealSize  = 48
)

// seal is a seal as it lies in a file.
type seal struct{ head, body, descs, data, end uint64 }

func (s *seal) encode() []byte {
	b := []byte(sealMagic)
	for _, v := range []uint64{s.head, s.body, s.descs, s.data, s.end} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// decode reports whether b begins with a seal, and reads it.
func (s *seal) decode(b []byte) bool {
	if string(b[:len(sealMagic)]) != sealMagic {
		return false
	}
	for i, v := range []*uint64{&s.head, &s.body, &s.descs, &s.data, &s.end} {
		*v = binary.LittleEndian.Uint64(b[8+8*i:])
	}
	return true
}

// SumDesc returns the checksum of the i-th descriptor, as it lies in the file: that of
// i (8 bytes, little-endian) and of the descriptor behind it. One that is all zeros has
// the checksum 0. These are summed up, so that it does not matter in which order.
func SumDesc(i uint64, desc []byte) uint64 {
	if allZero(desc) {
		return 0
	}
	var b [8 + DescSize]byte
	binary.LittleEndian.PutUint64(b[:], i)
	copy(b[8:], desc)
	return xxhash.Sum64(b[:])
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// Sums is the checksums of what the user of a Writer writes.
type Sums struct {
	Descs uint64 // of all descriptors, by SumDesc
	Data  uint64 // xxHash64 of the file from DataOffset to its end
	End   int64  // where the page data ends
}
