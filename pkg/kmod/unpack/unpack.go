// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package unpack reads kernel modules as distributions ship them: plain, or
// compressed with xz, zstd or gzip. It serves the image builder. The capture
// side must not import it: its modules are plain files, and the decompressors
// would cost memory there.
package unpack

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// MaxSize bounds a decompressed module, in bytes. The largest ones (amdgpu,
// nvidia) have some 100 MiB with debug information.
const MaxSize = 512 << 20

// elfMagic starts every module, see elf(5).
const elfMagic = "\x7fELF"

// ReadModule returns the module in the file, decompressed. The contents decide
// on the compression, not the name. Anything that is not ELF in the end is an
// error.
func ReadModule(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	module, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return module, nil
}

func read(r io.Reader) ([]byte, error) {
	plain, err := decompress(bufio.NewReader(r))
	if err != nil {
		return nil, err
	}
	module, err := io.ReadAll(io.LimitReader(plain, MaxSize+1))
	if err != nil {
		return nil, err
	}
	if len(module) > MaxSize {
		return nil, fmt.Errorf("larger than %d bytes", MaxSize)
	}
	if !bytes.HasPrefix(module, []byte(elfMagic)) {
		return nil, errors.New("not a kernel module: neither ELF nor xz, zstd or gzip of it")
	}
	return module, nil
}

func decompress(r *bufio.Reader) (io.Reader, error) {
	magic, _ := r.Peek(6) // a shorter file is no module, which read finds out
	switch {
	case bytes.HasPrefix(magic, []byte("\xfd7zXZ\x00")):
		return xz.NewReader(r)
	case bytes.HasPrefix(magic, []byte("\x28\xb5\x2f\xfd")):
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxSize))
	case bytes.HasPrefix(magic, []byte("\x1f\x8b")):
		return gzip.NewReader(r)
	}
	return r, nil
}
