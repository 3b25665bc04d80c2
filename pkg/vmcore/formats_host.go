// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package vmcore

import (
	"fmt"
	"strings"

	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/elfcore"
)

// formats are the formats that Open knows.
var formats = []format{
	elf,
	{diskdump.Signature, "kdump-compressed", func(path string) (Source, error) { return diskdump.Open(path) }},
	{diskdump.FlatSignature, "flattened", openFlat},
}

// openFlat opens a flattened core, of any other format.
func openFlat(path string) (Source, error) {
	flat, err := diskdump.OpenFlat(path)
	if err != nil {
		return nil, err
	}
	source, err := openInside(flat)
	if err != nil {
		flat.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return source, nil
}

func openInside(flat *diskdump.Flat) (Source, error) {
	magic := make([]byte, min(maxMagic, flat.Size()))
	if _, err := flat.ReadAt(magic, 0); err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(string(magic), diskdump.Signature):
		return diskdump.New(flat, flat.Size())
	case strings.HasPrefix(string(magic), elf.magic):
		return elfcore.New(flat, flat.Size())
	}
	return nil, ErrUnknownFormat
}

// OpenParts opens the parts of a split dump as one core. The parts may come in
// any order; the pages of parts that are missing are excluded.
func OpenParts(paths []string) (*Core, error) {
	var parts []*diskdump.Dump
	fail := func(err error) (*Core, error) {
		for _, p := range parts {
			p.Close()
		}
		return nil, err
	}
	for _, path := range paths {
		d, err := diskdump.Open(path)
		if err != nil {
			return fail(err)
		}
		parts = append(parts, d)
	}
	set, err := diskdump.Join(parts)
	if err != nil {
		return fail(fmt.Errorf("%s: %w", strings.Join(paths, ", "), err))
	}
	core := &Core{Path: strings.Join(paths, ", "), Format: "kdump-compressed, split", Source: set}
	core.Info, core.InfoErr = findInfo(set)
	return core, nil
}
