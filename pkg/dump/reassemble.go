// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/mem"
)

// Reassemble makes one dump of the parts of a split one. Page data is copied as
// it is, all at once, so that pages which shared data go on doing so. It is an
// error if parts are missing, or if descriptors lead out of their part.
func Reassemble(ctx context.Context, out io.WriterAt, set *diskdump.Set) (Stats, error) {
	if missing := set.Missing(); len(missing) > 0 {
		return Stats{}, fmt.Errorf("no part of the split dump has page frames %#x to %#x",
			uint64(missing[0].Start), uint64(missing[0].End-1))
	}
	meta := set.Meta()
	pages := set.End().PFN(meta.Shift())
	ram, kept := mem.NewBitmap(pages), mem.NewBitmap(pages)
	set.FillRAM(ram, meta.Shift())
	set.FillPresent(kept, meta.Shift())
	frame, err := diskdump.NewWriter(out, meta, ram, kept)
	if err != nil {
		return Stats{}, err
	}
	if err := frame.WriteHead(); err != nil {
		return Stats{}, err
	}
	a := &assembly{
		ctx:   ctx,
		data:  newStream(out, frame.DataOffset()),
		descs: newDescs(out, meta.Order, frame.DescsOffset()),
	}
	for _, part := range set.Parts() {
		if err := a.add(part); err != nil {
			return Stats{}, err
		}
	}
	if err := errors.Join(a.data.flush(), a.descs.flush(math.MaxInt64, 0)); err != nil {
		return Stats{}, err
	}
	stats := a.descs.count
	stats.Pages, stats.Bytes = a.descs.written, a.data.off
	incomplete := stats.Incomplete() || meta.Status&diskdump.Incomplete != 0
	return stats, frame.Finish(incomplete, &diskdump.Sums{Descs: a.descs.sum, Data: a.data.sum.Sum64(), End: a.data.off})
}

// assembly is a dump being made of parts.
type assembly struct {
	ctx   context.Context
	data  *stream
	descs *descs
	pages uint64 // of the parts that were added
}

// add adds what is in a part: its data, and its descriptors, moved as far as
// the data is.
func (a *assembly) add(part *diskdump.Dump) error {
	start, end, err := part.DataRange()
	if err != nil {
		return err
	}
	shift := a.data.end() - start
	err = part.EachDesc(func(_ mem.PFN, desc diskdump.Desc) error {
		if desc != (diskdump.Desc{}) {
			desc.Offset += uint64(shift)
		}
		a.descs.add(a.pages, desc)
		a.pages++
		return a.descs.flush(math.MaxInt64, descsChunk)
	})
	if err != nil {
		return err
	}
	return a.copy(part, start, end)
}

func (a *assembly) copy(part *diskdump.Dump, start, end int64) error {
	buf := make([]byte, 256<<10)
	for start < end {
		if err := a.ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), end-start)]
		if err := part.ReadData(b, start); err != nil {
			return err
		}
		if err := a.data.append(b); err != nil {
			return err
		}
		start += int64(len(b))
	}
	return nil
}
