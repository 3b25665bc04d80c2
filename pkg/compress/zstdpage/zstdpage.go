// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package zstdpage compresses single pages of memory into zstd frames
// (RFC 8878), one frame for each page.
//
// A dump is compressed page by page, and for 4 KiB at a time a general encoder
// mostly prepares: it sorts symbols and builds trees and tables for a few
// hundred bytes of them. For the 34,167 pages with data that dump level 31 keeps
// of a 2 GiB machine (Linux 6.1, 140 MB), one core of an EPYC needs
//
//	                                    CPU s   output MB
//	klauspost/compress, SpeedFastest     0.35        43.7
//	libzstd 1.5.4, level 1               0.26        40.7
//	this package                         0.19        40.6
//
// Hence this package, though a well-kept library exists: compressing is most of
// the time that a machine spends on its dump. It does what such pages need and
// no more, and it has no decoder. What it does in another way:
//
//   - The search prefers the last offset, looking some bytes ahead: pages of a
//     kernel are arrays of structures that differ in a few bytes (match.go).
//   - Code lengths come from a rounding of logarithms instead of a tree, with
//     no sorting, within 0.1 % of Huffman's (huffman.go).
//   - FSE tables have 64 states always, and their states are enumerated instead
//     of spread one by one (fse.go).
//
// Dumps are tested in QEMU without KVM, too, where instructions count instead of
// cycles, and a load or store is about twelve of them. So what is used together
// shares a word, and loops end at a comparison with != 0 or with another number:
// for the sign of what was just tested QEMU computes all flags in a function.
//
// The same page always gives the same frame, whatever came before it.
package zstdpage

import "encoding/binary"

// blockSize is the most that one block holds. It is the largest page of the
// machines that have kdump; what is larger gets several blocks.
const blockSize = 1 << 16

// minPage is the size in bytes of the smallest page worth trying.
const minPage = 32

// Encoder compresses pages. It is for one goroutine. Of its 720 KiB a page
// of 4 KiB touches less than a tenth.
type Encoder struct {
	// The block at work: its bytes, and what find and encode make of them.
	window   window
	last     [1 << hashBits]uint16 // position of the last bytes with a hash
	found    [maxSeqs]uint64       // literals, length of the match<<16, offset<<32
	seqs     [maxSeqs]sequence
	nseq     int
	literals literalBuffer
	nlit     int
	counts   [3][64]uint16 // how often each code is in seqs, by kind
	// The last two offsets. A decoder keeps a third that is never used here.
	rep, rep1 int

	codes   codes
	tables  [3]fseTable // in use for the block, by kind
	huffman huffman
	fit     distribution
	out     output
}

// NewEncoder returns an encoder for pages of any size.
func NewEncoder() *Encoder {
	e := &Encoder{}
	e.codes.init()
	return e
}

// Append appends a frame that holds page to dst. If the frame would not be
// smaller than the page, it returns dst as it was and false. Nothing is allocated
// if dst has room for len(page)+64 more bytes, as long as pages have no more than
// 64 KiB.
func (e *Encoder) Append(dst, page []byte) (out []byte, smaller bool) {
	if len(page) < minPage {
		return dst, false
	}
	out = appendFrameHeader(dst, len(page))
	e.rep, e.rep1 = 1, 4 // section 3.1.1.5
	for rest := page; len(rest) > 0; {
		n := min(len(rest), blockSize)
		out = e.appendBlock(out, rest[:n], n == len(rest))
		rest = rest[n:]
	}
	if len(out)-len(dst) >= len(page) {
		return dst, false
	}
	return out, true
}

// appendFrameHeader appends the header of a frame in a single segment, with the
// size of the content and without a checksum (section 3.1.1.1).
func appendFrameHeader(dst []byte, size int) []byte {
	const singleSegment = 1 << 5
	dst = append(dst, 0x28, 0xb5, 0x2f, 0xfd)
	switch {
	case size < 256:
		return append(dst, singleSegment, byte(size))
	case size < 256+1<<16:
		return binary.LittleEndian.AppendUint16(append(dst, singleSegment|1<<6), uint16(size-256))
	}
	return binary.LittleEndian.AppendUint32(append(dst, singleSegment|2<<6), uint32(size))
}

// appendBlock appends a block with data, compressed if that makes it smaller
// (section 3.1.1.2).
func (e *Encoder) appendBlock(dst, data []byte, final bool) []byte {
	const raw, compressed = 0, 2
	rep, rep1 := e.rep, e.rep1
	e.find(data)
	e.encode(len(data))
	n := e.writeSequences(e.writeLiterals())
	kind, content := compressed, data
	if n < len(data) {
		content = e.out[:n]
	} else {
		kind = raw
		e.rep, e.rep1 = rep, rep1 // no decoder will see the sequences
	}
	header := len(content)<<3 | kind<<1
	if final {
		header |= 1
	}
	return append(append(dst, byte(header), byte(header>>8), byte(header>>16)), content...)
}
