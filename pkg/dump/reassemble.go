// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

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
		ctx: ctx, order: meta.Order,
		data:  newStream(out, frame.DataOffset(), dataChunk),
		descs: newStream(out, frame.DescsOffset(), descsChunk),
	}
	for _, part := range set.Parts() {
		if err := a.add(part); err != nil {
			return a.stats, err
		}
	}
	if err := errors.Join(a.data.flush(), a.descs.flush()); err != nil {
		return a.stats, err
	}
	a.stats.Bytes = a.data.off
	incomplete := a.stats.Incomplete() || meta.Status&diskdump.Incomplete != 0
	return a.stats, frame.Finish(incomplete, &diskdump.Sums{Descs: a.descs.sum, Data: a.data.sum, End: a.data.off})
}

// assembly is a dump being made of parts.
type assembly struct {
	ctx         context.Context
	order       binary.ByteOrder
	data, descs *stream
	stats       Stats
}

// add adds what is in a part: its data, and its descriptors, moved as far as
// the data is.
func (a *assembly) add(part *diskdump.Dump) error {
	start, end, err := part.DataRange()
	if err != nil {
		return err
	}
	shift := a.data.end() - start
	var buf []byte
	err = part.EachDesc(func(_ mem.PFN, desc diskdump.Desc) error {
		a.stats.Pages++
		if desc == (diskdump.Desc{}) {
			a.stats.Unreadable++
		} else {
			desc.Offset += uint64(shift)
		}
		buf = desc.Append(buf[:0], a.order)
		return a.descs.append(buf)
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
