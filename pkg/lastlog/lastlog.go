// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package lastlog cuts texts into small pieces and puts them together again: what
// a capture run keeps of the kernel log where no target takes it, but the firmware
// has room for a few variables.
//
// Each piece stands alone, so that one that is lost costs its text and no more.
// It has, with numbers in little-endian order:
//
//	offset size
//	     0    4  "ukdl"
//	     4    1  1, the version
//	     5    1  which file the text belongs to
//	     6    2  the number of the piece, from 0 on; 0 has the end of the text
//	     8    2  how many pieces there are
//	    10    2  the size of its text
//	    12    8  when the machine crashed, in seconds since 1970
//	    20    1  1 if the text is compressed, as a zlib stream (RFC 1950); else 0
//	    21       the text
//
// The newest text comes first, so that what is kept of a text that does not fit is
// its end.
package lastlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ukdump/ukdump/pkg/compress"
)

// File is which file a text belongs to.
type File byte

// The files.
const (
	Dmesg  File = 0 // the log of the kernel that crashed
	Report File = 1 // what the capture run did
)

// Piece is one piece.
type Piece struct {
	File    File
	Number  int // from 0 on, the end of the text
	Count   int
	Crashed time.Time // to the second
	Text    []byte
}

const (
	magic      = "ukdl"
	version    = 1
	headerSize = 21
	// maxText bounds the text of a piece, in bytes; with more of it, the pieces
	// would be no smaller.
	maxText = 8 << 10
	// maxPieces bounds how many pieces there are.
	maxPieces = 1 << 10
)

// Name returns a name for a piece, which no other piece has.
func Name(file File, crashed time.Time, number int) string {
	return fmt.Sprintf("UkdumpLog-%x-%d-%d", crashed.Unix(), file, number)
}

// Pack cuts the text into pieces of no more than size bytes, the end of the text
// first. A size of 1 KiB holds about 4 KiB of a kernel log.
func Pack(file File, crashed time.Time, text []byte, size int) ([][]byte, error) {
	if size <= headerSize {
		return nil, fmt.Errorf("pieces of %d bytes have no room for text", size)
	}
	encoder, err := compress.NewEncoder(compress.Zlib, maxText)
	if err != nil {
		return nil, err
	}
	var pieces [][]byte
	for len(text) > 0 && len(pieces) < maxPieces {
		piece, n := pack(encoder, text, size-headerSize)
		b := append([]byte(magic), version, byte(file))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(pieces)))
		b = binary.LittleEndian.AppendUint16(b, 0) // the count, once it is known
		b = binary.LittleEndian.AppendUint16(b, uint16(n))
		b = binary.LittleEndian.AppendUint64(b, uint64(crashed.Unix()))
		pieces = append(pieces, append(b, piece...))
		text = text[:len(text)-n]
	}
	for _, b := range pieces {
		binary.LittleEndian.PutUint16(b[8:], uint16(len(pieces)))
	}
	return pieces, nil
}

// pack returns as much of the end of the text as fits into room bytes, with what
// tells whether it is compressed, and how much that is.
func pack(encoder compress.Encoder, text []byte, room int) (b []byte, n int) {
	for n = min(len(text), maxText); n > room; n -= max(n/16, 1) {
		b, smaller := encoder.Append([]byte{1}, text[len(text)-n:])
		if smaller && len(b)-1 <= room {
			return b, n
		}
	}
	return append([]byte{0}, text[len(text)-n:]...), n
}

// Parse reads a piece.
func Parse(b []byte) (Piece, error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic {
		return Piece{}, errors.New("no piece of a log")
	}
	if b[4] != version {
		return Piece{}, fmt.Errorf("version %d of pieces, %d is known", b[4], version)
	}
	p := Piece{
		File:    File(b[5]),
		Number:  int(binary.LittleEndian.Uint16(b[6:])),
		Count:   int(binary.LittleEndian.Uint16(b[8:])),
		Crashed: time.Unix(int64(binary.LittleEndian.Uint64(b[12:])), 0).UTC(),
	}
	size, text := int(binary.LittleEndian.Uint16(b[10:])), b[headerSize:]
	switch compressed := b[20]; {
	case p.File > Report:
		return p, fmt.Errorf("piece of an unknown file %d", p.File)
	case p.Number >= p.Count || p.Count > maxPieces:
		return p, fmt.Errorf("piece %d of %d", p.Number, p.Count)
	case p.Crashed.Year() < 1970 || p.Crashed.Year() > 9999:
		return p, fmt.Errorf("a crash in the year %d", p.Crashed.Year())
	case size > maxText:
		return p, fmt.Errorf("%d bytes of text, there can be %d", size, maxText)
	case compressed == 0 && size != len(text) || compressed > 1:
		return p, fmt.Errorf("%d bytes of text, kept as %d in way %d", size, len(text), compressed)
	case compressed == 0:
		p.Text = slices.Clone(text)
		return p, nil
	}
	p.Text = make([]byte, size)
	var d compress.Decoder
	return p, d.Decode(p.Text, text, compress.Zlib)
}

// Join puts the pieces of one file of one crash together, and returns how many are
// missing; where, a line says.
func Join(pieces []Piece) (text []byte, missing int) {
	if len(pieces) == 0 {
		return nil, 0
	}
	sorted := slices.Clone(pieces)
	slices.SortFunc(sorted, func(a, b Piece) int { return b.Number - a.Number })
	sorted = slices.CompactFunc(sorted, func(a, b Piece) bool { return a.Number == b.Number })
	next := sorted[0].Count - 1
	for _, p := range append(sorted, Piece{Number: -1}) {
		if gap := next - p.Number; gap > 0 {
			text = fmt.Appendf(text, "\n[%d pieces of %d bytes at the most are missing here]\n", gap, maxText)
			missing += gap
		}
		text = append(text, p.Text...)
		next = p.Number - 1
	}
	return text, missing
}
