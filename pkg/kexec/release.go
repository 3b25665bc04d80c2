// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kexec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Release returns the release of the kernel in the file, for example
// "6.1.0-18-amd64". It is "" if the file does not tell, which only an x86
// bzImage does.
func Release(kernelPath string) (string, error) {
	f, err := os.Open(kernelPath)
	if err != nil {
		return "", err
	}
	defer f.Close()
	release, err := bzImageRelease(f)
	if err != nil {
		return "", fmt.Errorf("%s: %w", kernelPath, err)
	}
	return release, nil
}

// bzImageRelease reads the release out of the setup header of a bzImage, whose
// fields (Documentation/arch/x86/boot.rst) are little-endian:
//
//	0x202  4 bytes  "HdrS"
//	0x20e  2 bytes  kernel_version: where the version text lies, less 0x200
//
// The text begins with the release and ends with a NUL.
func bzImageRelease(r io.ReaderAt) (string, error) {
	const magicOffset, pointerOffset, textBase = 0x202, 0x20e, 0x200
	var head [pointerOffset + 2]byte
	if _, err := r.ReadAt(head[:], 0); errors.Is(err, io.EOF) {
		return "", nil
	} else if err != nil {
		return "", err
	}
	if !bytes.Equal(head[magicOffset:magicOffset+4], []byte("HdrS")) {
		return "", nil
	}
	pointer := binary.LittleEndian.Uint16(head[pointerOffset:])
	if pointer == 0 {
		return "", nil
	}
	text := make([]byte, 256)
	n, err := r.ReadAt(text, int64(pointer)+textBase)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	version, _, _ := strings.Cut(string(text[:n]), "\x00")
	release, _, _ := strings.Cut(version, " ")
	return release, nil
}
