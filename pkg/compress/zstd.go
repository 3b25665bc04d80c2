// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

type zstdEncoder struct{ enc *zstd.Encoder }

// newZstdEncoder asks for the smallest state that serves: a window of one page,
// and no checksum, since makedumpfile writes none and every page would pay for it.
func newZstdEncoder(pageSize int) (Encoder, error) {
	window := max(zstd.MinWindowSize, 1<<bits.Len(uint(pageSize-1)))
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(window),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	return &zstdEncoder{enc}, nil
}

func (e *zstdEncoder) Append(dst, page []byte) ([]byte, bool) {
	out := e.enc.EncodeAll(page, dst)
	if len(out)-len(dst) >= len(page) {
		return dst, false
	}
	return out, true
}

type zstdDecoder struct{ dec *zstd.Decoder }

// decode decodes no more than fits into page. The window that a frame asks for
// is of no account: the decoder takes the page itself for it.
func (d *zstdDecoder) decode(page, src []byte) (err error) {
	if d.dec == nil {
		d.dec, err = zstd.NewReader(nil,
			zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true),
			zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return err
		}
	}
	out, err := d.dec.DecodeAll(src, page[:0:len(page)])
	if err != nil {
		return err
	}
	if len(out) != len(page) {
		return errSize
	}
	return nil
}
