// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// Census is what the bitmaps and descriptors of a dump say of its pages.
type Census struct {
	RAM    uint64 // pages of memory
	Dumped uint64 // pages with a descriptor
	Lost   uint64 // of these, without data: the dump is incomplete
	// Shared is how many of the dumped have the data of a page before: pages of
	// zeros and other copies.
	Shared uint64
	// Codecs is how many pages are compressed by which codec, and how many bytes
	// that takes. It is only about data that is not shared.
	Codecs map[compress.Codec]Share
}

// Share is a number of pages and the bytes that they take in the file.
type Share struct{ Pages, Bytes uint64 }

// Census counts the pages of the dump.
func (d *Dump) Census() (*Census, error) {
	c := &Census{Codecs: map[compress.Codec]Share{}}
	err := d.eachChunk(d.bitmaps[0], mem.PFNRange{End: d.maxMapNr}, func(b []byte, _ uint64) error {
		c.RAM += popcount(b)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var end uint64 // of the data seen so far
	err = d.EachDesc(func(_ mem.PFN, desc Desc) error {
		c.Dumped++
		switch {
		case desc == (Desc{}):
			c.Lost++
		case desc.Offset < end:
			c.Shared++
		default:
			s := c.Codecs[desc.Codec]
			c.Codecs[desc.Codec] = Share{s.Pages + 1, s.Bytes + uint64(desc.Size)}
			end = desc.Offset + uint64(desc.Size)
		}
		return nil
	})
	return c, err
}

// Verify reads everything that there is in the dump and holds its parts against
// each other. It calls report with one line for everything that is wrong. What
// is odd, but read alike by all readers, is not wrong. The only error is that
// of ctx.
func (d *Dump) Verify(ctx context.Context, report func(finding string)) error {
	v := &verifier{d: d, ctx: ctx, buf: make([]byte, min(chunk, d.size)), report: func(format string, args ...any) {
		report(fmt.Sprintf(format, args...))
	}}
	v.header()
	v.notes()
	v.bitmaps()
	v.pages()
	v.seal()
	return ctx.Err()
}

type verifier struct {
	d      *Dump
	ctx    context.Context
	buf    []byte
	report func(format string, args ...any)
}

func (v *verifier) header() {
	main, sub := &v.d.main, &v.d.sub
	if want := min(sub.maxMapNr64, math.MaxUint32); uint64(main.maxMapNr) != want {
		v.report("header: max_mapnr is %d, want %d as in the sub header", main.maxMapNr, want)
	}
	if main.cpus == 0 {
		v.report("header: nr_cpus is 0")
	}
	if sub.level > 31 {
		v.report("header: dump level %d, want 0 to 31", sub.level)
	}
	known := Incomplete | NoVmemmap | Status(compress.Zlib|compress.LZO|compress.Snappy|compress.Zstd)
	if unknown := Status(main.status) &^ known; unknown != 0 {
		v.report("header: unknown status bits %#x", uint32(unknown))
	}
}

// notes looks whether the notes are whole and about the machine of the header.
func (v *verifier) notes() {
	d := v.d
	if _, err := elfcore.ParseNotes(d.meta.Notes, d.order); err != nil {
		v.report("notes: %v", err)
	}
	note, ok := elfcore.FindVMCoreInfo(d.meta.Notes, d.order)
	if !ok {
		return
	}
	// crash takes VMCOREINFO from where the sub header says, drgn from the notes.
	if d.sub.infoOff != 0 && d.sub.infoSize != 0 {
		info, err := d.readRange("VMCOREINFO", d.sub.infoOff, d.sub.infoSize)
		if err != nil || !bytes.Equal(info, note.Desc) {
			v.report("header: offset_vmcoreinfo %d leads to something else than the note", d.sub.infoOff)
		}
	}
	info, err := vmcoreinfo.Parse(note.Desc)
	if err != nil {
		v.report("notes: %v", err)
		return
	}
	if info.PageSize() != d.PageSize() {
		v.report("header: block size %d, but PAGESIZE=%d in VMCOREINFO", d.PageSize(), info.PageSize())
	}
	if got, want := d.meta.Uts.Release, info.OSRelease(); got != want {
		v.report("header: release %q, but OSRELEASE=%q in VMCOREINFO", got, want)
	}
}

// bitmaps looks for pages that were dumped, but are no memory.
func (v *verifier) bitmaps() {
	d := v.d
	var wrong uint64
	err := d.eachChunk(d.bitmaps[1], mem.PFNRange{End: d.maxMapNr}, func(b []byte, at uint64) error {
		ram := v.buf[:len(b)]
		if err := d.readAt(ram, d.bitmaps[0]+int64(at)); err != nil {
			return err
		}
		for i := range b {
			b[i] &^= ram[i]
		}
		wrong += popcount(b)
		return v.ctx.Err()
	})
	if err != nil {
		v.report("%v", err)
	}
	if wrong > 0 {
		v.report("bitmaps: %d pages are in the second and not in the first", wrong)
	}
}

// pages decompresses every page.
func (v *verifier) pages() {
	r := newReader(v.d)
	var lost uint64
	var last Desc
	err := v.d.EachDesc(func(pfn mem.PFN, desc Desc) error {
		switch {
		case desc == (Desc{}):
			lost++
		case desc != last:
			if err := r.readPage(desc); err != nil {
				v.report("page frame %#x: %v", uint64(pfn), err)
			}
		}
		last = desc
		return v.ctx.Err()
	})
	if err != nil {
		v.report("%v", err)
	}
	marked := Status(v.d.main.status)&Incomplete != 0
	switch {
	case marked:
		v.report("incomplete: %d pages were lost when the dump was written", lost)
	case lost > 0:
		v.report("descriptors: %d pages have no data, but the dump is not marked as incomplete", lost)
	}
}

// seal compares the checksums, if the dump has any.
func (v *verifier) seal() {
	d := v.d
	at, data, err := d.sealRange()
	if err != nil {
		v.report("%v", err)
		return
	}
	if data-at < sealSize {
		return
	}
	b := make([]byte, sealSize)
	if err := d.readAt(b, at); err != nil {
		v.report("%v", err)
		return
	}
	var s seal
	if !s.decode(b) {
		v.noSeal(b, at)
		return
	}
	// Behind an incomplete dump there may be a piece of a page.
	marked := Status(d.main.status)&Incomplete != 0
	if s.end > uint64(d.size) || s.end < uint64(d.size) && !marked {
		v.report("file of %d bytes, want %d", d.size, s.end)
	}
	block := int64(d.meta.BlockSize)
	for _, part := range []struct {
		name       string
		start, end int64
		want       uint64
	}{
		{"header", 0, block, s.head},
		{"sub header, notes or bitmaps", block, d.descs, s.body},
		{"page data", min(data, d.size), min(int64(min(s.end, math.MaxInt64)), d.size), s.data},
	} {
		sum, err := v.sum(part.start, part.end)
		if err == nil && sum != part.want {
			err = errors.New("damaged: wrong checksum")
		}
		if err != nil {
			v.report("%s: %v", part.name, err)
		}
	}
	if sum, err := v.sumDescs(at); err != nil {
		v.report("%v", err)
	} else if sum != s.descs {
		v.report("descriptors: damaged: wrong checksum")
	}
}

// noSeal is about what is in the place of the seal. Dumps of makedumpfile have
// page data there, ours a seal if they are complete.
func (v *verifier) noSeal(b []byte, at int64) {
	first := int64(math.MaxInt64)
	v.d.EachDesc(func(_ mem.PFN, desc Desc) error {
		if desc != (Desc{}) {
			first = min(first, int64(min(desc.Offset, math.MaxInt64)))
		}
		return nil
	})
	if first >= at+sealSize && !bytes.Equal(b, make([]byte, sealSize)) {
		v.report("descriptors: what follows them is neither page data nor a seal")
	}
}

// sealRange returns where a seal would be and where data may begin behind it.
func (d *Dump) sealRange() (at, data int64, err error) {
	var all, own uint64
	err = d.eachChunk(d.bitmaps[1], mem.PFNRange{End: d.maxMapNr}, func(b []byte, at uint64) error {
		all += popcount(b)
		mask(b, at, d.part())
		own += popcount(b)
		return nil
	})
	at, data = dataPlace(d.descs, own, all, &d.meta)
	return at, data, err
}

// sumDescs returns the sum of the checksums of the descriptors, which end at end.
func (v *verifier) sumDescs(end int64) (sum uint64, err error) {
	room := int64(len(v.buf)) / DescSize * DescSize
	i := uint64(0)
	for at := v.d.descs; at < end; at += room {
		b := v.buf[:min(room, end-at)]
		if err := v.d.readAt(b, at); err != nil {
			return 0, err
		}
		for ; len(b) > 0; b = b[DescSize:] {
			sum += SumDesc(i, b[:DescSize])
			i++
		}
	}
	return sum, v.ctx.Err()
}

// sum returns the checksum of a part of the file.
func (v *verifier) sum(start, end int64) (uint64, error) {
	sum := xxhash.New()
	for start < end {
		b := v.buf[:min(int64(len(v.buf)), end-start)]
		if err := v.d.readAt(b, start); err != nil {
			return 0, err
		}
		sum.Write(b)
		start += int64(len(b))
		if err := v.ctx.Err(); err != nil {
			return 0, err
		}
	}
	return sum.Sum64(), nil
}
