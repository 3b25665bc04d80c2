// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"encoding/binary"
	"io"
	"slices"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
)

const (
	// descsChunk is how many descriptors are written at a time, and mostDescs how
	// many may wait before data is written for their sake. They are 264 KiB and
	// 1 MiB in the file.
	descsChunk = 11 << 10
	mostDescs  = 43 << 10
)

// descs gathers page descriptors. They are written when their data has been:
// so a dump that ends early has no descriptor without data.
type descs struct {
	out     io.WriterAt
	order   binary.ByteOrder
	base    int64 // where the first descriptor of the dump goes
	waiting []diskdump.Desc
	runs    []descRun // which descriptors wait
	safe    int       // how many of them have their data in the file
	buf     []byte
	zero    diskdump.Desc // of the page of zeros, if there is one
	end     uint64        // of the data that descriptors written so far lead to
	sum     uint64        // diskdump.SumDesc of those
	count   Stats         // what they are: Zero, Copies, Raw and Unreadable
	written uint64        // how many they are
}

// descRun is n descriptors in a row, from the first-th of the dump on.
type descRun struct{ first, n uint64 }

func newDescs(out io.WriterAt, order binary.ByteOrder, base int64) *descs {
	// A chunk, and those whose data waits.
	waiting := make([]diskdump.Desc, 0, 3*descsChunk/2)
	return &descs{out: out, order: order, base: base, waiting: waiting}
}

// add adds the i-th descriptor of the dump.
func (d *descs) add(i uint64, desc diskdump.Desc) {
	if last := len(d.runs) - 1; last >= 0 && d.runs[last].first+d.runs[last].n == i {
		d.runs[last].n++
	} else {
		d.runs = append(d.runs, descRun{i, 1})
	}
	d.waiting = append(d.waiting, desc)
}

// flush writes the descriptors whose data lies in front of off in the file, if
// they are least or more.
func (d *descs) flush(off int64, least int) error {
	for d.safe < len(d.waiting) {
		if next := d.waiting[d.safe]; next.Offset+uint64(next.Size) > uint64(off) {
			break
		}
		d.safe++
	}
	if d.safe < least {
		return nil
	}
	done := 0
	for d.safe > 0 {
		r := &d.runs[done]
		n := min(r.n, uint64(d.safe))
		if err := d.write(descRun{r.first, n}); err != nil {
			return err
		}
		if n < r.n {
			*r = descRun{r.first + n, r.n - n}
			break
		}
		done++
	}
	d.runs = append(d.runs[:0], d.runs[done:]...)
	return nil
}

// write writes the descriptors of r, which wait longest.
func (d *descs) write(r descRun) error {
	batch := d.waiting[:r.n]
	d.buf = slices.Grow(d.buf[:0], len(batch)*diskdump.DescSize)
	for _, desc := range batch {
		d.buf = desc.Append(d.buf, d.order)
	}
	if _, err := d.out.WriteAt(d.buf, d.base+int64(r.first)*diskdump.DescSize); err != nil {
		return err
	}
	for i, desc := range batch {
		d.sum += diskdump.SumDesc(r.first+uint64(i), d.buf[i*diskdump.DescSize:][:diskdump.DescSize])
		d.classify(desc)
	}
	d.waiting = append(d.waiting[:0], d.waiting[r.n:]...)
	d.safe -= int(r.n)
	d.written += r.n
	return nil
}

// classify counts a descriptor.
func (d *descs) classify(desc diskdump.Desc) {
	switch {
	case desc == (diskdump.Desc{}):
		d.count.Unreadable++
		return
	case desc == d.zero:
		d.count.Zero++
	case desc.Offset < d.end:
		d.count.Copies++
	case desc.Codec == compress.None:
		d.count.Raw++
	}
	d.end = max(d.end, desc.Offset+uint64(desc.Size))
}
