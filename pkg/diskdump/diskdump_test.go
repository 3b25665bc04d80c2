// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/mem"
)

// memFile is a file in memory.
type memFile struct{ b []byte }

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(f.b) {
		f.b = append(f.b, make([]byte, end-len(f.b))...)
	}
	return copy(f.b[off:], p), nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.b).ReadAt(p, off)
}

func (f *memFile) open(t testing.TB) *Dump {
	t.Helper()
	d, err := New(f, int64(len(f.b)))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// abiOffsets has the places of fields in the headers of one layout, as crash's
// diskdump.c lists them for ARM and i386, and as gcc lays out the declarations
// of makedumpfile's diskdump_mod.h.
type abiOffsets struct {
	machine string
	order   byteOrder
	long    int

	seconds, usec, status, blockSize, subSize, bitmapBlocks, maxMapNr, cpus int

	level, split, start, end, info, infoSize, note, noteSize,
	erase, eraseSize, start64, end64, max64, subEnd int
}

var (
	amd64 = abiOffsets{"x86_64", binary.LittleEndian, 8,
		408, 416, 424, 428, 432, 436, 440, 460,
		8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104}
	s390x = abiOffsets{"s390x", binary.BigEndian, 8,
		408, 416, 424, 428, 432, 436, 440, 460,
		8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104}
	arm = abiOffsets{"armv7l", binary.LittleEndian, 4,
		404, 408, 412, 416, 420, 424, 428, 448,
		4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96}
	ppc = abiOffsets{"ppc", binary.BigEndian, 4,
		404, 408, 412, 416, 420, 424, 428, 448,
		4, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96}
	i686 = abiOffsets{"i686", binary.LittleEndian, 4,
		404, 408, 412, 416, 420, 424, 428, 448,
		4, 8, 12, 16, 20, 28, 32, 40, 44, 52, 56, 64, 72, 80}
	allABIs = []abiOffsets{amd64, s390x, arm, ppc, i686}
)

// note is a VMCOREINFO note in order, between two others.
func notes(order byteOrder) []byte {
	var b []byte
	for _, n := range []struct {
		name, desc string
		kind       uint32
	}{{"CORE", "registers of cpu 0..", 1}, {"VMCOREINFO", "OSRELEASE=6.1.0\nPAGESIZE=4096\n", 0}, {"CORE", "more", 1}} {
		b = order.AppendUint32(b, uint32(len(n.name)+1))
		b = order.AppendUint32(b, uint32(len(n.desc)))
		b = order.AppendUint32(b, n.kind)
		b = append(b, n.name...)
		b = append(b, make([]byte, 4-len(n.name)%4)...)
		b = append(b, n.desc...)
		b = append(b, make([]byte, -len(n.desc)&3)...)
	}
	return b
}

// pageContents is the contents of a page in the dumps of the tests.
func pageContents(pfn mem.PFN, size int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("%015x\n", uint64(pfn))), size/16)
}

// testMeta is a machine of the given architecture.
func testMeta(a abiOffsets, blockSize int) *Meta {
	return &Meta{
		Order:     a.order,
		Uts:       Utsname{"Linux", "node", "6.1.0-test", "#1 SMP", a.machine, "(none)"},
		Time:      1700000000,
		BlockSize: blockSize,
		CPUs:      3,
		PhysBase:  0x1000000,
		Level:     31,
		Status:    Status(compress.Zlib),
		Notes:     notes(a.order),
	}
}

// bitmapOf returns the set of the pages in 0 to n for which f is true.
func bitmapOf(n mem.PFN, f func(mem.PFN) bool) *mem.Bitmap {
	b := mem.NewBitmap(n)
	for p := range n {
		if f(p) {
			b.Set(p)
		}
	}
	return b
}

// The pages of the dumps of the tests: every seventh page frame is no memory,
// two of three others were dumped, and some of these were lost.
func isRAM(p mem.PFN) bool  { return p%7 != 3 }
func isKept(p mem.PFN) bool { return isRAM(p) && p%3 != 1 }
func isLost(p mem.PFN) bool { return isKept(p) && p%50 == 0 }

// writeDump writes a dump of n page frames, raw and compressed by turns.
func writeDump(t testing.TB, out io.WriterAt, meta *Meta, n mem.PFN) *Writer {
	t.Helper()
	kept := bitmapOf(n, isKept)
	w, err := NewWriter(out, meta, bitmapOf(n, isRAM), kept)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteHead(); err != nil {
		t.Fatal(err)
	}
	enc, err := compress.NewEncoder(compress.Zlib, meta.BlockSize)
	if err != nil {
		t.Fatal(err)
	}
	part := w.part()
	desc, data := w.DescsOffset(), w.DataOffset()
	for p := kept.NextSet(part.Start); p < part.End; p = kept.NextSet(p + 1) {
		var d Desc
		if !isLost(p) {
			page := pageContents(p, meta.BlockSize)
			if p%2 == 0 {
				page, _ = enc.Append(nil, page)
				d.Codec = compress.Zlib
			}
			d.Offset, d.Size = uint64(data), uint32(len(page))
			out.WriteAt(page, data)
			data += int64(len(page))
		}
		out.WriteAt(d.Append(nil, meta.Order), desc)
		desc += DescSize
	}
	if got, want := uint64(desc-w.DescsOffset())/DescSize, w.Descs(); got != want {
		t.Fatalf("Descs() = %d, want %d", want, got)
	}
	if err := w.Finish(false, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// checkPages reads every page frame of the test dump through d.
func checkPages(t *testing.T, d *Dump, part mem.PFNRange, n mem.PFN) {
	t.Helper()
	size := int(d.PageSize())
	view := d.NewView()
	defer view.Close()
	for p := range n + 10 {
		var want error
		switch inPart := p >= part.Start && p < part.End; {
		case p >= n || !isRAM(p):
			want = mem.ErrNotRAM
		case !isKept(p) || !inPart:
			want = mem.ErrExcluded
		case isLost(p):
			want = mem.ErrUnreadable
		}
		got := make([]byte, size-100)
		err := d.ReadPhys(got, p.Phys(d.meta.Shift())+100)
		slice, viewErr := view.Slice(p.Phys(d.meta.Shift())+100, 2*size)
		if !errors.Is(err, want) || !errors.Is(viewErr, want) {
			t.Fatalf("page frame %d: ReadPhys = %v, Slice = %v, want %v", p, err, viewErr, want)
		}
		if want != nil {
			continue
		}
		contents := pageContents(p, size)[100:]
		if !bytes.Equal(got, contents) || !bytes.Equal(slice, contents) {
			t.Fatalf("page frame %d reads %q and %q", p, got[:16], slice[:16])
		}
	}
}

func TestHeaderFields(t *testing.T) {
	const n, blockSize = 40000, 4096
	for _, a := range allABIs {
		t.Run(a.machine, func(t *testing.T) {
			var f memFile
			meta := testMeta(a, blockSize)
			w := writeDump(t, &f, meta, n)
			u32 := func(off int) uint64 { return uint64(a.order.Uint32(f.b[off:])) }
			u64 := func(off int) uint64 { return a.order.Uint64(f.b[off:]) }
			word := func(off int) uint64 {
				if a.long == 4 {
					return u32(off)
				}
				return u64(off)
			}
			const sub = blockSize
			noteAt := uint64(sub + a.subEnd)
			infoAt := uint64(bytes.Index(f.b, []byte("OSRELEASE=")))
			for _, c := range []struct {
				name      string
				got, want uint64
			}{
				{"version", u32(8), 6},
				{"seconds", word(a.seconds), 1700000000},
				{"tv_usec", word(a.usec), 0},
				{"status", u32(a.status), 1},
				{"block_size", u32(a.blockSize), blockSize},
				{"sub_hdr_size", u32(a.subSize), 1},
				{"bitmap_blocks", u32(a.bitmapBlocks), 4}, // 40000 bits are 5000 bytes
				{"max_mapnr", u32(a.maxMapNr), n},
				{"nr_cpus", u32(a.cpus), 3},
				{"phys_base", word(sub), 0x1000000},
				{"dump_level", u32(sub + a.level), 31},
				{"split", u32(sub + a.split), 0},
				{"start_pfn", word(sub + a.start), 0},
				{"end_pfn", word(sub + a.end), 0},
				{"offset_vmcoreinfo", u64(sub + a.info), infoAt},
				{"size_vmcoreinfo", word(sub + a.infoSize), uint64(len("OSRELEASE=6.1.0\nPAGESIZE=4096\n"))},
				{"offset_note", u64(sub + a.note), noteAt},
				{"size_note", word(sub + a.noteSize), uint64(len(meta.Notes))},
				{"offset_eraseinfo", u64(sub + a.erase), 0},
				{"size_eraseinfo", word(sub + a.eraseSize), 0},
				{"start_pfn_64", u64(sub + a.start64), 0},
				{"end_pfn_64", u64(sub + a.end64), 0},
				{"max_mapnr_64", u64(sub + a.max64), n},
				{"descriptors", uint64(w.DescsOffset()), 6 * blockSize},
			} {
				if c.got != c.want {
					t.Errorf("%s = %d, want %d", c.name, c.got, c.want)
				}
			}
			if got := string(f.b[:8]); got != "KDUMP   " {
				t.Errorf("signature %q", got)
			}
			for i, want := range []string{"Linux", "node", "6.1.0-test", "#1 SMP", a.machine, "(none)"} {
				if got := string(f.b[12+65*i:][:len(want)+1]); got != want+"\x00" {
					t.Errorf("utsname string %d is %q, want %q", i, got, want)
				}
			}
			if got := f.b[noteAt:][:len(meta.Notes)]; !bytes.Equal(got, meta.Notes) {
				t.Errorf("notes are %q", got)
			}
			// Bit 3 of byte 0 is page frame 3, the first that is no memory.
			if got := f.b[2*blockSize]; got != 0b11110111 {
				t.Errorf("bitmap 1 begins with %#b", got)
			}
			if got := f.b[4*blockSize]; got != 0b01100101 {
				t.Errorf("bitmap 2 begins with %#b", got)
			}
		})
	}
}

func TestWriterMarksUntilFinished(t *testing.T) {
	var f memFile
	ram := bitmapOf(100, isRAM)
	w, err := NewWriter(&f, testMeta(amd64, 4096), ram, ram)
	if err != nil {
		t.Fatal(err)
	}
	status := func() uint32 { return binary.LittleEndian.Uint32(f.b[amd64.status:]) }
	if err := w.WriteHead(); err != nil || status() != 1|8 {
		t.Errorf("after WriteHead (%v) status = %#x, want 0x9", err, status())
	}
	if err := w.Finish(true, nil); err != nil || status() != 1|8 {
		t.Errorf("after Finish(true) (%v) status = %#x, want 0x9", err, status())
	}
	if err := w.Finish(false, nil); err != nil || status() != 1 {
		t.Errorf("after Finish(false) (%v) status = %#x, want 0x1", err, status())
	}
}

func TestRoundTrip(t *testing.T) {
	for _, a := range allABIs {
		for _, blockSize := range []int{4 << 10, 64 << 10} {
			t.Run(fmt.Sprint(a.machine, "/", blockSize), func(t *testing.T) {
				n := mem.PFN(3333)
				if a == amd64 && blockSize == 4<<10 {
					n = 2*rankStep + 1234
				}
				var f memFile
				meta := testMeta(a, blockSize)
				writeDump(t, &f, meta, n)
				d := f.open(t)
				checkPages(t, d, mem.PFNRange{End: n}, n)
				got := *d.Meta()
				if got.Order != a.order || got.Uts != meta.Uts || got.Time != meta.Time ||
					got.CPUs != 3 || got.PhysBase != meta.PhysBase || got.Level != 31 ||
					got.Status != 1 || got.Split || !bytes.Equal(d.Notes(), meta.Notes) {
					t.Errorf("Meta() = %+v, want %+v", got, *meta)
				}
				if d.Machine() != a.machine || d.Order() != a.order || d.PageSize() != uint64(blockSize) {
					t.Errorf("machine %q, order %v, page size %d", d.Machine(), d.Order(), d.PageSize())
				}
				if want := mem.PhysAddr(int(n) * blockSize); d.End() != want {
					t.Errorf("End() = %v, want %v", d.End(), want)
				}
				for _, c := range []struct {
					name string
					fill func(*mem.Bitmap, uint)
					in   func(mem.PFN) bool
				}{{"FillRAM", d.FillRAM, isRAM}, {"FillPresent", d.FillPresent, isKept}} {
					got := mem.NewBitmap(n + 100)
					c.fill(got, d.meta.Shift())
					for p := range n + 100 {
						if want := p < n && c.in(p); got.Test(p) != want {
							t.Fatalf("%s: page frame %d is %v, want %v", c.name, p, got.Test(p), want)
						}
					}
				}
			})
		}
	}
}

func TestReadAcrossPages(t *testing.T) {
	var f memFile
	ram := bitmapOf(8, func(p mem.PFN) bool { return true })
	w, _ := NewWriter(&f, testMeta(amd64, 4096), ram, ram)
	w.WriteHead()
	var all []byte
	for p := range mem.PFN(8) {
		page := pageContents(p, 4096)
		off := w.DataOffset() + int64(p)*4096
		f.WriteAt(page, off)
		f.WriteAt(Desc{uint64(off), 4096, compress.None}.Append(nil, binary.LittleEndian), w.DescsOffset()+int64(p)*DescSize)
		all = append(all, page...)
	}
	got := make([]byte, 3*4096)
	if err := f.open(t).ReadPhys(got, 5000); err != nil || !bytes.Equal(got, all[5000:][:len(got)]) {
		t.Errorf("ReadPhys over page borders: %v", err)
	}
}

func TestSplit(t *testing.T) {
	const n = 2*rankStep + 1000
	for _, part := range []mem.PFNRange{{Start: 0, End: 64}, {Start: 64, End: rankStep + 640}, {Start: rankStep + 77, End: n}, {Start: 5, End: 5}} {
		var f memFile
		meta := testMeta(amd64, 4096)
		meta.Split, meta.Part = true, part
		w := writeDump(t, &f, meta, n)
		if got, want := w.DataOffset(), w.DescsOffset()+24*int64(bitmapOf(n, isKept).Count()); got != want {
			t.Errorf("DataOffset() = %d, want %d: behind room for all descriptors", got, want)
		}
		for name, c := range map[string]struct {
			off  int
			want mem.PFN
		}{"start_pfn": {16, part.Start}, "end_pfn": {24, part.End}, "start_pfn_64": {80, part.Start}, "end_pfn_64": {88, part.End}} {
			if got := binary.LittleEndian.Uint64(f.b[4096+c.off:]); got != uint64(c.want) {
				t.Errorf("%s = %d, want %d", name, got, c.want)
			}
		}
		d := f.open(t)
		checkPages(t, d, part, n)
		if got := *d.Meta(); !got.Split || got.Part != part {
			t.Errorf("Meta() says part %v, want %v", got.Part, part)
		}
	}
}

func TestNewWriterRefuses(t *testing.T) {
	for name, change := range map[string]func(*Meta){
		"page size 0":        func(m *Meta) { m.BlockSize = 0 },
		"page size odd":      func(m *Meta) { m.BlockSize = 5000 },
		"page size 2 KiB":    func(m *Meta) { m.BlockSize = 2048 },
		"part beyond memory": func(m *Meta) { m.Split, m.Part = true, mem.PFNRange{Start: 0, End: 101} },
		"part backwards":     func(m *Meta) { m.Split, m.Part = true, mem.PFNRange{Start: 10, End: 5} },
	} {
		meta := testMeta(amd64, 4096)
		change(meta)
		ram := bitmapOf(100, isRAM)
		if _, err := NewWriter(&memFile{}, meta, ram, ram); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := NewWriter(&memFile{}, testMeta(amd64, 4096), mem.NewBitmap(100), mem.NewBitmap(200)); err == nil {
		t.Error("bitmaps of different sizes: no error")
	}
	far := mem.NewBitmap(maxPages + 1)
	if _, err := NewWriter(&memFile{}, testMeta(amd64, 4096), far, far); err == nil {
		t.Error("more pages than can be read back: no error")
	}
}
