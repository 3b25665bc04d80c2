// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"encoding/binary"
	"hash/crc32"
)

// The format has no checksums: a flipped bit in a bitmap moves the descriptors
// of all pages behind it. So the package puts a seal into the gap between
// descriptors and data, which no reader looks at. It has, in little-endian order
// on every machine, a magic number and CRC-32C checksums of all parts of the file:
//
//	 0  "ukdump" 0 1
//	 8  checksum of the first block
//	12  checksum of what follows up to the descriptors
//	16  sum of the checksums of all descriptors, see SumDesc
//	20  checksum of the page data
//	24  where the page data ends (8)
//	32
//
// The seal begins right behind the last descriptor. A part of a split dump that
// has no gap there has no seal.
const (
	sealMagic = "ukdump\x00\x01"
	sealSize  = 32
)

// seal is a seal as it lies in a file.
type seal struct {
	head, body, descs, data uint32
	end                     uint64
}

func (s *seal) encode() []byte {
	b := []byte(sealMagic)
	for _, sum := range []uint32{s.head, s.body, s.descs, s.data} {
		b = binary.LittleEndian.AppendUint32(b, sum)
	}
	return binary.LittleEndian.AppendUint64(b, s.end)
}

// decode reports whether b begins with a seal, and reads it.
func (s *seal) decode(b []byte) bool {
	if string(b[:len(sealMagic)]) != sealMagic {
		return false
	}
	for i, sum := range []*uint32{&s.head, &s.body, &s.descs, &s.data} {
		*sum = binary.LittleEndian.Uint32(b[8+4*i:])
	}
	s.end = binary.LittleEndian.Uint64(b[24:])
	return true
}

// Sum returns the checksum of bytes whose checksum is sum, 0 for none, followed
// by p.
func Sum(sum uint32, p []byte) uint32 {
	return crc32.Update(sum, crc32.MakeTable(crc32.Castagnoli), p)
}

// SumDesc returns the sum of the checksums of descriptors, 0 for none, and of the
// i-th as it lies in the file. The checksum of a descriptor is one of it behind
// something that has the checksum i; one that is all zeros has none. So it does
// not matter in which order they are summed up.
func SumDesc(sum uint32, i uint64, desc []byte) uint32 {
	if allZero(desc) {
		return sum
	}
	return sum + Sum(uint32(i), desc)
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
	Descs uint32 // of all descriptors, by SumDesc
	Data  uint32 // of the file from DataOffset to its end
	End   int64  // where the page data ends
}
