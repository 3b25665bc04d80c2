// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter

import (
	"math/bits"

	"github.com/ukdump/ukdump/pkg/mem"
)

// Selection is which page frames of a core go into a dump.
type Selection struct {
	// PageSize is the crashed kernel's page size in bytes.
	PageSize int
	// RAM has the page frames that are memory: bitmap 1 of kdump-compressed.
	RAM *mem.Bitmap
	// Kept has the page frames that the dump describes: bitmap 2, a subset of
	// RAM. Pages of zeros are still in it: the writer finds them.
	Kept *mem.Bitmap
	// Last has those page frames of Kept that the highest level would exclude:
	// a writer puts them behind all others, for they matter least if the dump
	// does not fit. It is nil at the highest level.
	Last *mem.Bitmap
	// Level is the dump level that the selection was made at; bit 0 (1) asks
	// the writer to share one copy of all zero pages.
	Level int
	// NoStructPages says that pages full of struct pages of excluded pages were
	// excluded, too.
	NoStructPages bool
	// Excluded is how many pages of each class are in RAM but not in Kept.
	Excluded Counts
}

// Counts has a number of pages for each class.
type Counts struct {
	Cache, CachePrivate, User, Free, HWPoison, Offline uint64
	StructPages                                        uint64 // see Options.StructPages
}

// pageShift returns the base-2 logarithm of PageSize.
func (s *Selection) pageShift() uint { return uint(bits.TrailingZeros(uint(s.PageSize))) }
