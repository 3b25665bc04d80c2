// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package unpack

import (
	"bufio"
	"bytes"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// MaxFirmware bounds a firmware file, in bytes.
const MaxFirmware = 16 << 20

// FirmwareOf returns the names of the firmware files that a module asks for, as
// modinfo -F firmware does, each once. They are relative to /lib/firmware. What is
// damaged asks for nothing; the kernel will say what is wrong with it.
func FirmwareOf(module string) ([]string, error) {
	code, err := ReadModule(module)
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(code))
	if err != nil {
		return nil, nil
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, nil
	}
	info, err := section.Data()
	if err != nil {
		return nil, nil
	}
	var names []string
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if name, ok := bytes.CutPrefix(field, []byte("firmware=")); ok && !slices.Contains(names, string(name)) {
			names = append(names, string(name))
		}
	}
	return names, nil
}

// ReadFirmware returns the contents of a firmware file, decompressed if its name
// says that it is compressed, as the kernel does it.
func ReadFirmware(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := io.Reader(f)
	switch filepath.Ext(path) {
	case ".xz":
		r, err = xz.NewReader(bufio.NewReader(f))
	case ".zst":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxFirmware)); err == nil {
			defer z.Close()
			r = z
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	data, err := io.ReadAll(io.LimitReader(r, MaxFirmware+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(data) > MaxFirmware {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, MaxFirmware)
	}
	return data, nil
}
