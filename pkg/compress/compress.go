// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package compress packs and unpacks single pages of memory with the methods
// that kdump-compressed dumps know. Every page stands alone, so that a reader
// can take out any of them.
//
// A goroutine that works on pages has an Encoder or a Decoder of its own: it
// keeps the tables and buffers of the method from page to page, and nothing is
// allocated for a page. The package knows bytes only, neither dumps nor cores.
package compress

import (
	"errors"
	"fmt"

	"github.com/ukdump/ukdump/pkg/compress/zlibpage"
	"github.com/ukdump/ukdump/pkg/compress/zstdpage"
)

// Codec is a method of compression. Its value is the flag that marks a page so
// compressed in a page descriptor, and the method in the header, of
// kdump-compressed files (makedumpfile's diskdump_mod.h, DUMP_DH_COMPRESSED_*).
type Codec uint32

// The codecs. LZ4 is not among them: no reader of the format knows it.
const (
	None   Codec = 0    // stored as it is
	Zlib   Codec = 0x1  // RFC 1950
	LZO    Codec = 0x2  // LZO1X
	Snappy Codec = 0x4  // raw block, without framing
	Zstd   Codec = 0x20 // RFC 8878, one frame
)

var names = [...]struct {
	name  string
	codec Codec
}{{"none", None}, {"zlib", Zlib}, {"lzo", LZO}, {"snappy", Snappy}, {"zstd", Zstd}}

// Parse returns the codec of the name that String returns for it.
func Parse(name string) (Codec, error) {
	for _, n := range names {
		if n.name == name {
			return n.codec, nil
		}
	}
	return None, fmt.Errorf("unknown compression %q (known are none, zlib, lzo, snappy and zstd)", name)
}

func (c Codec) String() string {
	for _, n := range names {
		if n.codec == c {
			return n.name
		}
	}
	return fmt.Sprintf("compression %#x", uint32(c))
}

// Encoder compresses pages. It is for one goroutine.
type Encoder interface {
	// Append appends the compressed form of page to dst. If that form would
	// not be smaller than the page, it returns dst as it was and false: the
	// page is better stored as it is. Nothing is allocated if dst has room
	// for Bound(len(page)) more bytes.
	Append(dst, page []byte) (out []byte, smaller bool)
}

// NewEncoder returns an encoder for pages of pageSize bytes.
func NewEncoder(c Codec, pageSize int) (Encoder, error) {
	switch c {
	case None:
		return storer{}, nil
	case Zlib:
		return zlibpage.NewEncoder(pageSize), nil
	case LZO:
		return newLZOEncoder(), nil
	case Snappy:
		return newSnappyEncoder(), nil
	case Zstd:
		return zstdpage.NewEncoder(), nil
	}
	return nil, fmt.Errorf("cannot compress with %v", c)
}

// Bound returns the room in bytes that any encoder needs to work on a page of
// pageSize bytes, whether or not the result is smaller than that.
func Bound(pageSize int) int { return pageSize + 64 }

// storer is the encoder of None.
type storer struct{}

func (storer) Append(dst, page []byte) ([]byte, bool) { return dst, false }

// ErrCorrupt is what every error of Decoder.Decode wraps.
var ErrCorrupt = errors.New("damaged compressed page")

// Decoder decompresses pages of any codec. The zero value is ready; memory for
// a codec is taken when the first page of that codec comes. It is for one
// goroutine.
type Decoder struct {
	zlib *zlibDecoder
	zstd zstdDecoder
}

// Decode decompresses src into page and fails unless the result fills page
// exactly. Whatever src holds, the memory used depends on len(page) alone.
// After an error the contents of page are unspecified.
func (d *Decoder) Decode(page, src []byte, c Codec) error {
	var err error
	switch c {
	case None:
		err = copyPage(page, src)
	case Zlib:
		err = d.decodeZlib(page, src)
	case LZO:
		err = decodeLZO(page, src)
	case Snappy:
		err = decodeSnappy(page, src)
	case Zstd:
		err = d.zstd.decode(page, src)
	default:
		return fmt.Errorf("%w: unknown %v", ErrCorrupt, c)
	}
	if err != nil {
		return fmt.Errorf("%w: %v: %w", ErrCorrupt, c, err)
	}
	return nil
}

// errSize says that a page decompresses to another size than a page's.
var errSize = errors.New("not one page long")

func copyPage(page, src []byte) error {
	if len(src) != len(page) {
		return errSize
	}
	copy(page, src)
	return nil
}
