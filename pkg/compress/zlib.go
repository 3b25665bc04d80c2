// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/adler32"
	"io"

	"github.com/klauspost/compress/flate"
)

// zlibMethod is what the first byte of a zlib stream has in its lower half, for
// deflate (RFC 1950, 2.2).
const zlibMethod = 8

type zlibDecoder struct {
	src     bytes.Reader
	inflate io.ReadCloser
	more    [1]byte // here, since it would be allocated for each page otherwise
}

func (d *Decoder) decodeZlib(page, src []byte) error {
	if len(src) < 2+4 || src[0]&0xf != zlibMethod || binary.BigEndian.Uint16(src)%31 != 0 {
		return errors.New("no zlib header")
	}
	if src[1]&0x20 != 0 {
		return errors.New("needs a dictionary")
	}
	z := d.zlib
	if z == nil {
		z = &zlibDecoder{}
		z.inflate = flate.NewReader(&z.src)
		d.zlib = z
	}
	z.src.Reset(src[2 : len(src)-4])
	if err := z.inflate.(flate.Resetter).Reset(&z.src, nil); err != nil {
		return err
	}
	if _, err := io.ReadFull(z.inflate, page); err != nil {
		return err
	}
	if n, err := z.inflate.Read(z.more[:]); n != 0 || err != io.EOF {
		return errSize
	}
	if adler32.Checksum(page) != binary.BigEndian.Uint32(src[len(src)-4:]) {
		return errors.New("wrong checksum")
	}
	return nil
}
