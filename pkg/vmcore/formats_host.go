// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package vmcore

import "github.com/ukdump/ukdump/pkg/diskdump"

// formats are the formats that Open knows.
var formats = []format{
	elf,
	{diskdump.Signature, "kdump-compressed", func(path string) (Source, error) { return diskdump.Open(path) }},
}
