// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmcore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// ErrUnknownFormat says that a file is no core of any known format.
var ErrUnknownFormat = errors.New("not a core of a known format")

// ErrNoInfo says that a core carries no VMCOREINFO note.
var ErrNoInfo = errors.New("no VMCOREINFO note")

// format is a file format of cores.
type format struct {
	magic string // what a file of it begins with
	name  string
	open  func(path string) (Source, error)
}

// maxMagic is the length of the longest magic in bytes.
const maxMagic = 16

var elf = format{"\x7fELF", "ELF", func(path string) (Source, error) { return elfcore.Open(path) }}

// Open opens the core at path and recognises its format. A core whose
// VMCOREINFO is missing or invalid opens all the same: see Core.InfoErr.
func Open(path string) (*Core, error) {
	magic, err := readMagic(path)
	if err != nil {
		return nil, err
	}
	for _, f := range formats {
		if !strings.HasPrefix(magic, f.magic) {
			continue
		}
		source, err := f.open(path)
		if err != nil {
			return nil, err
		}
		core := &Core{Path: path, Format: f.name, Source: source}
		core.Info, core.InfoErr = findInfo(source)
		return core, nil
	}
	return nil, fmt.Errorf("%s: %w", path, ErrUnknownFormat)
}

// readMagic returns the first bytes of the file, maxMagic at most.
func readMagic(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		// Opening a pipe would wait for somebody to write to it.
		return "", fmt.Errorf("%s: %w: not a regular file", path, ErrUnknownFormat)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, maxMagic)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", err
	}
	return string(buf[:n]), nil
}

// findInfo reads the VMCOREINFO note.
func findInfo(s Source) (*vmcoreinfo.Info, error) {
	note, ok := elfcore.FindVMCoreInfo(s.Notes(), s.Order())
	if !ok {
		return nil, ErrNoInfo
	}
	return vmcoreinfo.Parse(note.Desc)
}
