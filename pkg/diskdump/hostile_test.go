// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
)

// smallDump returns a dump of few page frames.
func smallDump(t testing.TB, a abiOffsets, n mem.PFN) []byte {
	var f memFile
	writeDump(t, &f, testMeta(a, 4096), n)
	return f.b
}

const smallPages = 60

// TestOddHeaders reads dumps whose headers are legal, but not as makedumpfile
// writes them today.
func TestOddHeaders(t *testing.T) {
	const sub = 4096
	for _, a := range allABIs {
		put32 := func(b []byte, off int, v uint32) { a.order.PutUint32(b[off:], v) }
		fill := func(b []byte, from, to int) { copy(b[sub+from:sub+to], bytes.Repeat([]byte{0xff}, to-from)) }
		version := func(b []byte, v uint32, firstUnknown int) {
			put32(b, 8, v)
			fill(b, firstUnknown, a.subEnd)
		}
		for name, change := range map[string]func(b []byte){
			"unchanged":                      func(b []byte) {},
			"version 5":                      func(b []byte) { version(b, 5, a.start64) },
			"version 4":                      func(b []byte) { version(b, 4, a.erase) },
			"version 3":                      func(b []byte) { version(b, 3, a.note) },
			"version 2":                      func(b []byte) { version(b, 2, a.info) },
			"version 1":                      func(b []byte) { version(b, 1, a.split) },
			"version 0":                      func(b []byte) { version(b, 0, a.level) },
			"a time of day like a page size": func(b []byte) { put32(b, a.usec, 4096); put32(b, a.usec+a.long-4, 4096) },
			"fields of diskdump": func(b []byte) {
				for off := a.maxMapNr + 4; off < a.cpus; off += 4 {
					put32(b, off, 1000)
				}
			},
			"machine of another word size": func(b []byte) {
				other := map[int]string{4: "x86_64", 8: "i686"}[a.long]
				copy(b[272:], other+"\x00")
			},
			"unknown machine": func(b []byte) { copy(b[272:], "z80\x00") },
		} {
			t.Run(a.machine+"/"+name, func(t *testing.T) {
				b := smallDump(t, a, smallPages)
				change(b)
				d := (&memFile{b}).open(t)
				if d.Order() != a.order {
					t.Errorf("order %v, want %v", d.Order(), a.order)
				}
				checkPages(t, d, mem.PFNRange{End: smallPages}, smallPages)
				note, ok := elfcore.FindVMCoreInfo(d.Notes(), d.Order())
				if want := d.Version() >= 3; ok != want {
					t.Errorf("version %d has VMCOREINFO: %v, want %v", d.Version(), ok, want)
				}
				if want := "OSRELEASE=6.1.0\nPAGESIZE=4096\n"; ok && string(note.Desc) != want {
					t.Errorf("VMCOREINFO %q, want %q", note.Desc, want)
				}
			})
		}
	}
}

// TestOneBitmap reads a dump that has the bitmap of dumped pages only.
func TestOneBitmap(t *testing.T) {
	b := smallDump(t, amd64, smallPages)
	// The first bitmap becomes part of the sub header's blocks.
	binary.LittleEndian.PutUint32(b[amd64.subSize:], 2)
	binary.LittleEndian.PutUint32(b[amd64.bitmapBlocks:], 1)
	d := (&memFile{b}).open(t)
	buf := make([]byte, 16)
	for p := range mem.PFN(smallPages) {
		err := d.ReadPhys(buf, p.Phys(12))
		if want := map[bool]error{false: mem.ErrNotRAM, true: nil}[isKept(p)]; !isLost(p) && !errors.Is(err, want) {
			t.Errorf("page frame %d: %v, want %v", p, err, want)
		}
	}
}

func TestRefuses(t *testing.T) {
	put32 := func(off int, v uint32) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint32(b[off:], v) }
	}
	put64 := func(off int, v uint64) func([]byte) {
		return func(b []byte) { binary.LittleEndian.PutUint64(b[off:], v) }
	}
	const sub = 4096
	a := amd64
	for name, c := range map[string]struct {
		change func([]byte)
		say    string
	}{
		"signature":             {func(b []byte) { b[0] = 'D' }, "no signature"},
		"version 7":             {put32(8, 7), "header makes no sense"},
		"block size 0":          {put32(a.blockSize, 0), "header makes no sense"},
		"block size 5000":       {put32(a.blockSize, 5000), "header makes no sense"},
		"block size 1 GiB":      {put32(a.blockSize, 1<<30), "header makes no sense"},
		"no sub header":         {put32(a.subSize, 0), "header makes no sense"},
		"huge sub header":       {put32(a.subSize, math.MaxUint32), "cut off?"},
		"no bitmap":             {put32(a.bitmapBlocks, 0), "header makes no sense"},
		"huge bitmap":           {put32(a.bitmapBlocks, math.MaxUint32), "cut off?"},
		"no pages":              {put64(sub+a.max64, 0), "0 page frames"},
		"more pages than bits":  {put64(sub+a.max64, 1<<20), "1048576 page frames, which take 32"},
		"very many pages":       {put64(sub+a.max64, 1<<63), "page frames"},
		"notes outside":         {put64(sub+a.note, 1<<40), "notes at"},
		"notes at the very end": {put64(sub+a.note, math.MaxUint64), "notes at"},
		"huge notes":            {put64(sub+a.noteSize, 1<<62), "bytes of notes"},
		"part backwards": {func(b []byte) {
			put32(sub+a.split, 1)(b)
			put64(sub+a.start64, 20)(b)
			put64(sub+a.end64, 10)(b)
		}, "part from page frame 20 to 10"},
		"part outside": {func(b []byte) {
			put32(sub+a.split, 1)(b)
			put64(sub+a.end64, smallPages+1)(b)
		}, "part from page frame 0 to 61"},
	} {
		b := smallDump(t, a, smallPages)
		c.change(b)
		d, err := New(&memFile{b}, int64(len(b)))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: New = %v, %v, want ErrFormat and %q", name, d, err, c.say)
		}
	}
}

// TestBadDescriptors has every field of a descriptor wrong in turn.
func TestBadDescriptors(t *testing.T) {
	b := smallDump(t, amd64, smallPages)
	good := (&memFile{b}).open(t)
	at := good.descs + DescSize*1 // of page frame 2, compressed
	desc := parseDesc(b[at:], binary.LittleEndian)
	for name, change := range map[string]func(*Desc){
		"no data":                     func(d *Desc) { d.Size = 0 },
		"larger than a page":          func(d *Desc) { d.Size = 4097 },
		"huge":                        func(d *Desc) { d.Size = math.MaxUint32 },
		"behind the file":             func(d *Desc) { d.Offset = uint64(len(b)) },
		"across the end":              func(d *Desc) { d.Offset = uint64(len(b)) - 5 },
		"far behind the file":         func(d *Desc) { d.Offset = math.MaxInt64 },
		"negative":                    func(d *Desc) { d.Offset = math.MaxUint64 - 1 },
		"raw, but of another size":    func(d *Desc) { d.Codec = 0 },
		"unknown codec":               func(d *Desc) { d.Codec = 0x40 },
		"another codec":               func(d *Desc) { d.Codec = 0x20 },
		"data of a page that is none": func(d *Desc) { d.Offset++ },
	} {
		bad := desc
		change(&bad)
		broken := bytes.Clone(b)
		copy(broken[at:], bad.Append(nil, binary.LittleEndian))
		err := (&memFile{broken}).open(t).ReadPhys(make([]byte, 4096), mem.PFN(2).Phys(12))
		if !errors.Is(err, mem.ErrUnreadable) {
			t.Errorf("%s: ReadPhys = %v, want ErrUnreadable", name, err)
		}
	}
}

// TestCut cuts a dump off everywhere. It opens if headers and bitmaps are
// there, and then gives the right pages or errors.
func TestCut(t *testing.T) {
	b := smallDump(t, amd64, smallPages)
	whole := (&memFile{b}).open(t)
	for n := 0; n < len(b); n += 7 {
		d, err := New(&memFile{b[:n]}, int64(n))
		if opens := int64(n) >= whole.descs; (err == nil) != opens {
			t.Fatalf("cut to %d bytes: New = %v, want success %v", n, err, opens)
		}
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("cut to %d bytes: %v, want ErrFormat", n, err)
			}
			continue
		}
		for p := range mem.PFN(smallPages) {
			got := make([]byte, 4096)
			err := d.ReadPhys(got, p.Phys(12))
			if err == nil && !bytes.Equal(got, pageContents(p, 4096)) {
				t.Errorf("cut to %d bytes: page frame %d reads %q", n, p, got[:16])
			}
			if err != nil && isKept(p) && !errors.Is(err, mem.ErrUnreadable) {
				t.Errorf("cut to %d bytes: page frame %d: %v, want ErrUnreadable", n, p, err)
			}
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vmcore")
	if err := os.WriteFile(path, smallDump(t, amd64, smallPages), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	checkPages(t, d, mem.PFNRange{End: smallPages}, smallPages)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	text := filepath.Join(dir, "text")
	os.WriteFile(text, []byte(strings.Repeat("not a dump\n", 100)), 0o600)
	for _, p := range []string{text, dir, filepath.Join(dir, "missing")} {
		d, err := Open(p)
		if err == nil || d != nil || !strings.Contains(err.Error(), p) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Open(%s) = %v, %v, want one line that names it", p, d, err)
		}
	}
}

func TestConcurrentReads(t *testing.T) {
	const n = 2000
	d := (&memFile{smallDump(t, amd64, n)}).open(t)
	done := make(chan error)
	for range 4 {
		go func() {
			view := d.NewView()
			buf := make([]byte, 4096)
			var err error
			for p := range mem.PFN(n) {
				if !isKept(p) || isLost(p) {
					continue
				}
				slice, viewErr := view.Slice(p.Phys(12), 4096)
				err = errors.Join(err, viewErr, d.ReadPhys(buf, p.Phys(12)))
				if want := pageContents(p, 4096); err == nil && (!bytes.Equal(buf, want) || !bytes.Equal(slice, want)) {
					err = fmt.Errorf("page frame %d differs", p)
				}
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	for _, a := range allABIs {
		f.Add(smallDump(f, a, 8))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := New(&memFile{b}, int64(len(b)))
		if err != nil {
			if d != nil || !errors.Is(err, ErrFormat) {
				t.Errorf("New = %v, %v, want nil and ErrFormat", d, err)
			}
			return
		}
		set := mem.NewBitmap(64)
		d.FillRAM(set, d.meta.Shift())
		d.FillPresent(set, d.meta.Shift())
		view := d.NewView()
		defer view.Close()
		for p := range min(64, d.maxMapNr+1) {
			s, err := view.Slice(p.Phys(d.meta.Shift()), 1<<20)
			known := errors.Is(err, mem.ErrNotRAM) || errors.Is(err, mem.ErrExcluded) || errors.Is(err, mem.ErrUnreadable)
			if err == nil && len(s) != d.meta.BlockSize || err != nil && !known {
				t.Errorf("page frame %d: %d bytes, %v", p, len(s), err)
			}
		}
	})
}
