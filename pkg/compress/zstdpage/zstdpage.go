// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package zstdpage compresses single pages of memory into zstd frames
// (RFC 8878).
package zstdpage

import "encoding/binary"

const (
	maxBlock = 1 << 16
	minPage  = 32
	slack    = 8 // bytes
)

// Encoder compresses pages. It is for one goroutine.
type Encoder struct {
	match matcher
	lits  literalCoder
	seqs  sequenceCoder
	out   []byte
}

// NewEncoder returns an encoder for pages of up to pageSize bytes.
func NewEncoder(pageSize int) *Encoder {
	block := min(pageSize, maxBlock)
	e := &Encoder{out: make([]byte, 2*pageSize+1024)}
	e.match.seqs = make([]sequence, block/minMatch+1)
	e.match.lits = make([]byte, block+slack)
	e.seqs.coded = make([]coded, block/minMatch+1)
	e.seqs.init()
	e.lits.init()
	return e
}

// Append appends a frame with page to dst, or returns false.
func (e *Encoder) Append(dst, page []byte) ([]byte, bool) {
	if len(page) < minPage {
		return dst, false
	}
	n := e.header(len(page))
	e.match.rep, e.match.rep1 = 1, 4
	for start := 0; start < len(page); start += maxBlock {
		n = e.block(n, page, start)
	}
	if n >= len(page) {
		return dst, false
	}
	return append(dst, e.out[:n]...), true
}

func (e *Encoder) header(size int) int {
	out := e.out
	binary.LittleEndian.PutUint32(out, 0xfd2fb528)
	const single = 1 << 5
	switch {
	case size < 256:
		out[4], out[5] = single, byte(size)
		return 6
	case size < 256+1<<16:
		out[4] = single | 1<<6
		binary.LittleEndian.PutUint16(out[5:], uint16(size-256))
		return 7
	}
	out[4] = single | 2<<6
	binary.LittleEndian.PutUint32(out[5:], uint32(size))
	return 9
}

func (e *Encoder) block(n int, page []byte, start int) int {
	end := min(len(page), start+maxBlock)
	rep, rep1 := e.match.rep, e.match.rep1
	e.match.find(page[start:end])
	out := e.lits.append(e.out, n+3, e.match.lits[:e.match.nlit])
	out = e.seqs.append(e.out, out, e.match.seqs[:e.match.nseq])
	kind, size := 2, out-(n+3)
	if size >= end-start {
		kind, size = 0, copy(e.out[n+3:], page[start:end])
		e.match.rep, e.match.rep1 = rep, rep1
	}
	h := size<<3 | kind<<1
	if end == len(page) {
		h |= 1
	}
	e.out[n], e.out[n+1], e.out[n+2] = byte(h), byte(h>>8), byte(h>>16)
	return n + 3 + size
}
