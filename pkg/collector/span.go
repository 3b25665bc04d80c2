// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package collector

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// ErrSpan says that a core claims memory so far up that a dump of it would be
// nothing but bitmaps.
var ErrSpan = errors.New("memory too far apart (damaged program headers?)")

// smallBitmaps is the size in bytes of bitmaps that are always written: those of
// 1 TiB of 4 KiB pages.
const smallBitmaps = 64 << 20

// checkSpan refuses cores whose dump would have larger bitmaps than they have
// memory: machines leave terabytes between their memory, but have some, too.
// One lying program header could fill the disk otherwise.
func checkSpan(core *vmcore.Core) error {
	if _, ok := core.Source.(describer); ok {
		return nil // it has bitmaps of that size itself
	}
	shift := uint(bits.TrailingZeros64(core.PageSize()))
	frames := (core.End() + mem.PhysAddr(core.PageSize()-1)).PFN(shift)
	present := mem.NewBitmap(frames)
	core.FillPresent(present, shift)
	bitmaps, memory := uint64(frames)/8*2, present.Count()<<shift
	if bitmaps > smallBitmaps && bitmaps > memory {
		return fmt.Errorf("%s: %d bytes of memory below %v: %w", core.Path, memory, core.End(), ErrSpan)
	}
	return nil
}
