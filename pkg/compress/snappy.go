// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy"
)

type snappyEncoder struct{}

func (snappyEncoder) Append(dst, page []byte) ([]byte, bool) {
	out := s2.EncodeSnappy(dst[len(dst):cap(dst)], page)
	if len(out) >= len(page) {
		return dst, false
	}
	return append(dst, out...), true // in place, if dst had the room
}

// decodeSnappy is strict: crash and libkdumpfile use the C++ library, which
// knows nothing of the S2 extensions to the format.
func decodeSnappy(page, src []byte) error {
	n, err := snappy.DecodedLen(src)
	if err != nil {
		return err
	}
	if n != len(page) {
		return errSize
	}
	_, err = snappy.DecodeStrict(page, src)
	return err
}
