// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmcore

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// ErrUnknownFormat says that a file is no core of any known format.
var ErrUnknownFormat = errors.New("not a core of a known format")

// ErrNoInfo says that a core carries no VMCOREINFO note.
var ErrNoInfo = errors.New("no VMCOREINFO note")

// Open opens the core at path and recognises its format. A core whose
// VMCOREINFO is missing or invalid opens all the same: see Core.InfoErr.
func Open(path string) (*Core, error) {
	magic, err := readMagic(path)
	if err != nil {
		return nil, err
	}
	core := &Core{Path: path}
	switch {
	case magic == "\x7fELF":
		core.Format = "ELF"
		core.Source, err = elfcore.Open(path)
	default:
		return nil, fmt.Errorf("%s: %w", path, ErrUnknownFormat)
	}
	if err != nil {
		return nil, err
	}
	core.Info, core.InfoErr = findInfo(core.Source)
	return core, nil
}

// readMagic returns the first four bytes of the file.
func readMagic(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, 4)
	if _, err := io.ReadFull(f, buf); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("%w: too short", ErrUnknownFormat)
		}
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(buf), nil
}

// findInfo reads the VMCOREINFO note.
func findInfo(s Source) (*vmcoreinfo.Info, error) {
	note, ok := elfcore.FindVMCoreInfo(s.Notes(), s.Order())
	if !ok {
		return nil, ErrNoInfo
	}
	return vmcoreinfo.Parse(note.Desc)
}
