// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package zlibpage compresses single pages of memory into zlib streams
// (RFC 1950), each of which is deflate data (RFC 1951) with Huffman codes of its
// own. What it leaves out to be fast is what does not pay for a few kilobytes:
// a window that moves, blocks of other kinds, and more than two places to copy
// from.
package zlibpage

import (
	"encoding/binary"
	"hash"
	"hash/adler32"
)

// maxBlock is how much of a page makes a block, in bytes.
const maxBlock = 1 << 16

// Encoder compresses pages. It is for one goroutine.
type Encoder struct {
	matcher *matcher
	blocks  *blockWriter
	sum     hash.Hash32
}

// NewEncoder returns an encoder for pages of up to pageSize bytes.
func NewEncoder(pageSize int) *Encoder {
	return &Encoder{newMatcher(min(pageSize, maxBlock)), newBlockWriter(pageSize), adler32.New()}
}

// The two bytes of a zlib stream's header (RFC 1950, 2.2): deflate with a window
// of 32 KiB, made by the fastest algorithm, and what makes them a multiple of 31.
const header = 0x78 | 0x01<<8

// Append appends the stream of the page to dst and returns true, or returns dst
// and false if the stream is not shorter than the page.
func (e *Encoder) Append(dst, page []byte) ([]byte, bool) {
	b := e.blocks
	b.reset()
	b.put(header, 16)
	e.sum.Reset()
	for rest := page; len(rest) > 0; {
		block := rest[:min(len(rest), maxBlock)]
		rest = rest[len(block):]
		e.matcher.find(block)
		b.write(e.matcher, len(rest) == 0)
		// Not of the page itself, which may be written to meanwhile.
		e.sum.Write(e.matcher.window[:len(block)])
	}
	out := binary.BigEndian.AppendUint32(b.finish(), e.sum.Sum32())
	if len(out) >= len(page) {
		return dst, false
	}
	return append(dst, out...), true
}
