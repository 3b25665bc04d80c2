// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import "github.com/klauspost/compress/snappy"

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
