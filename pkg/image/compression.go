// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package image

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Compression is how the archive is compressed, by the name of the command that
// can undo it, or "none".
type Compression string

// The compressions that images are written with. Unpacking costs the capture
// kernel memory for a moment, on top of the image and what comes out of it:
// zstd 1 MiB (the window that we choose), gzip 32 KiB, lz4 16 MiB (the kernel
// unpacks the legacy frame in whole blocks of 8 MiB).
const (
	Zstd Compression = "zstd"
	LZ4  Compression = "lz4"
	Gzip Compression = "gzip"
	None Compression = "none"
)

// Compressions returns all of them, the preferred first.
func Compressions() []Compression { return []Compression{Zstd, LZ4, Gzip, None} }

// ParseCompression checks that name is the name of a compression.
func ParseCompression(name string) (Compression, error) {
	if c := Compression(name); slices.Contains(Compressions(), c) {
		return c, nil
	}
	return "", fmt.Errorf("unknown compression %q: use zstd, lz4, gzip or none", name)
}

// zstdWindow bounds what the kernel allocates to unpack, which is the window
// that the frame declares. More than 1 MiB saves next to nothing here.
const zstdWindow = 1 << 20

// writer returns a compressor. Its output depends on the input alone.
func (c Compression) writer(w io.Writer) (io.WriteCloser, error) {
	switch c {
	case Zstd:
		return zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedBestCompression),
			zstd.WithWindowSize(zstdWindow), zstd.WithEncoderConcurrency(1))
	case LZ4:
		// The kernel (lib/decompress_unlz4.c) knows the legacy frame alone.
		z := lz4.NewWriter(w)
		return z, z.Apply(lz4.LegacyOption(true), lz4.CompressionLevelOption(lz4.Level9), lz4.ConcurrencyOption(1))
	case Gzip:
		return gzip.NewWriterLevel(w, gzip.BestCompression)
	case None:
		return nopCloser{w}, nil
	}
	return nil, fmt.Errorf("unknown compression %q", string(c))
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// newcMagic starts an archive of the format "newc", see cpio(5).
const newcMagic = "070701"

// newReader recognises the compression of an image by its first bytes and
// returns what decompresses it.
func newReader(r io.Reader) (io.Reader, Compression, error) {
	b := bufio.NewReader(r)
	magic, _ := b.Peek(len(newcMagic)) // a shorter file is no image, see below
	starts := func(s string) bool { return bytes.HasPrefix(magic, []byte(s)) }
	switch {
	case starts("\x28\xb5\x2f\xfd"):
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		return z, Zstd, err
	case starts("\x02\x21\x4c\x18"):
		return lz4.NewReader(b), LZ4, nil
	case starts("\x1f\x8b"):
		z, err := gzip.NewReader(b)
		return z, Gzip, err
	case starts(newcMagic):
		return b, None, nil
	}
	return nil, "", fmt.Errorf("not an image: it starts with %q", magic)
}

// configSymbol is the kernel configuration symbol without which a kernel cannot
// unpack an initramfs of that compression; "" if it always can.
func (c Compression) configSymbol() string {
	if c == None {
		return ""
	}
	return "CONFIG_RD_" + strings.ToUpper(string(c))
}

// SupportedBy reports whether a kernel with the configuration, the text of its
// config file, can unpack an image of that compression.
func (c Compression) SupportedBy(kernelConfig []byte) bool {
	symbol := c.configSymbol()
	return symbol == "" || bytes.Contains(kernelConfig, []byte("\n"+symbol+"=y\n"))
}
