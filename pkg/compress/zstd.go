// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import "github.com/klauspost/compress/zstd"

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
