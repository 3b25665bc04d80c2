// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"encoding/binary"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
)

// copiesKept is how many pages the search for copies remembers, a power of two:
// more than a stream has in memory.
const copiesKept = 1 << 12

// copies finds data that was stored before, so that pages with the same contents
// share it. Data that is no longer in memory is not found. That is little, since
// copies lie close to each other.
type copies struct {
	data  *stream
	table []diskdump.Desc // by the hash of the data that they describe
}

func newCopies(data *stream) *copies {
	return &copies{data, make([]diskdump.Desc, copiesKept)}
}

// find returns the descriptor of what was stored last with the hash of the data,
// and whether that is the same data, byte for byte: memory is hostile, and a
// page that passes for another one hides something.
func (c *copies) find(data []byte, codec compress.Codec) (last *diskdump.Desc, same bool) {
	last = &c.table[hash(data)%copiesKept]
	return last, int(last.Size) == len(data) && last.Codec == codec && c.data.holds(int64(last.Offset), data)
}

// hash looks at some of the data only, which is enough to tell most pages from
// each other.
func hash(data []byte) uint64 {
	const samples, size, factor = 8, 8, 0x9e3779b97f4a7c15
	h := uint64(len(data))
	if len(data) < size {
		return h
	}
	for i := range samples {
		at := i * (len(data) - size) / (samples - 1)
		h = (h ^ binary.LittleEndian.Uint64(data[at:])) * factor
		h ^= h >> 32
	}
	return h
}
