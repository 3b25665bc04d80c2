// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package raw

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"
	"time"
)

var fuzzed = superblock{id: [16]byte{1, 2, 3}, slots: 1, slotSize: 8 << 20}

// FuzzHeader reads headers. As a checksum protects them, it is made right first.
func FuzzHeader(f *testing.F) {
	h := &header{seq: 7, state: closed, owner: "me", written: time.Unix(1e9, 0), lease: time.Unix(1e9, 0).Add(time.Hour),
		noteName: "note", note: []byte("text"), extents: []extent{{0, 1, 2}, {3, 3, 1}, {0, 0, 1}}}
	h.files[0] = entry{name: "dump/vmcore", size: 3<<20 - 1, complete: true, sum: 1}
	h.files[3] = entry{name: "dump/dmesg", size: 5}
	block := make([]byte, headerSize)
	h.encode(block, fuzzed.id)
	f.Add(block)
	h.extents[1].start = 1
	h.encode(block, fuzzed.id)
	f.Add(bytes.Clone(block))
	d := Device{newVolume(&memory{image: make([]byte, 9<<20)}, fuzzed)}
	f.Fuzz(func(t *testing.T, data []byte) {
		block := make([]byte, headerSize)
		copy(block, data)
		copy(block, headerMagic)
		clear(block[sumAt : sumAt+32])
		seal(block)
		h, err := fuzzed.decodeHeader(block, 0)
		if err != nil {
			return
		}
		for i, f := range h.files {
			if f.name != "" && !filepath.IsLocal(f.name) {
				t.Errorf("file %d has the name %q", i, f.name)
			}
		}
		again := make([]byte, headerSize)
		h.encode(again, fuzzed.id)
		if _, err := fuzzed.decodeHeader(again, 0); err != nil {
			t.Fatalf("written and read again: %v", err)
		}
		for i, f := range h.files {
			// All that a header may speak of lies in the slot.
			d.Copy(io.Discard, Slot{h: h}, Entry{f.name, f.size, f.complete, i})
		}
		h.grow(1, 1000, fuzzed.chunks())
		if err := h.check(fuzzed.chunks()); err != nil && h.files[1].name != "" {
			t.Errorf("with a file that has grown: %v", err)
		}
	})
}

func FuzzSuperblock(f *testing.F) {
	block := make([]byte, superblockSize)
	fuzzed.encode(block)
	f.Add(block, int64(9<<20))
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		block := make([]byte, superblockSize)
		copy(block, data)
		copy(block, superblockMagic)
		clear(block[sumAt : sumAt+32])
		seal(block)
		sb, err := decodeSuperblock(block, size)
		if err != nil {
			return
		}
		if end := sb.slotAt(sb.slots); end > size || end < 0 || sb.chunkAt(sb.slots-1, sb.chunks()) > end {
			t.Errorf("%+v ends at %d of %d bytes", sb, end, size)
		}
	})
}
