// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// holey makes a core of n pages with runs of pages left out that are longer and
// shorter than what makes a hole.
func holey(n int) *testCore {
	c := newTestCore(4096, n)
	c.kept = mem.NewBitmap(c.ram.Len())
	at := c.ram.NextSet(0)
	for i := 0; at < c.ram.Len(); i++ {
		keep, leave := mem.PFN(50+i%7), mem.PFN(elfGap-2+i%5)
		for p := at; p < min(at+keep, c.ram.Len()); p++ {
			if c.ram.Test(p) {
				c.kept.Set(p)
			}
		}
		at += keep + leave
	}
	return c
}

// checkELF reads every page of the core in f and returns how many of the kept
// ones are not what they should be.
func (c *testCore) checkELF(t *testing.T, f io.ReaderAt, size int64) (wrong uint64) {
	t.Helper()
	e, err := elfcore.New(f, size)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, c.pageSize)
	for p := range c.ram.Len() {
		err := e.ReadPhys(got, p.Phys(shiftOf(c.pageSize)))
		switch {
		case !c.ram.Test(p):
			if !errors.Is(err, mem.ErrNotRAM) {
				t.Fatalf("page frame %d: %v, want ErrNotRAM", p, err)
			}
		case err != nil && !errors.Is(err, mem.ErrExcluded):
			t.Fatalf("page frame %d: %v", p, err)
		case c.kept.Test(p) && (err != nil || !bytes.Equal(got, c.pages[p])):
			wrong++
		}
	}
	return wrong
}

func TestWriteELF(t *testing.T) {
	useCPUs(t, 4)
	for _, c := range []*testCore{holey(3000), newTestCore(64<<10, 700)} {
		for _, level := range []int{0, 31} {
			for _, threads := range []int{1, 4} {
				t.Run(fmt.Sprint(c.pageSize, "/", level, "/", threads), func(t *testing.T) {
					var f memFile
					job := c.job(c.source(t), compress.Zstd, level, threads)
					stats, err := WriteELF(context.Background(), &f, job)
					if err != nil {
						t.Fatal(err)
					}
					if wrong := c.checkELF(t, &f, int64(len(f.b))); wrong != 0 {
						t.Errorf("%d pages are wrong", wrong)
					}
					if stats.Incomplete() || stats.Bytes != int64(len(f.b)) {
						t.Errorf("stats = %+v for a file of %d bytes", stats, len(f.b))
					}
					c.checkHeaders(t, &f)
				})
			}
		}
	}
}

// checkHeaders looks at the core through package debug/elf, and at what crash
// wants of it.
func (c *testCore) checkHeaders(t *testing.T, f *memFile) {
	t.Helper()
	e, err := elf.NewFile(f)
	if err != nil {
		t.Fatal(err)
	}
	if e.Type != elf.ET_CORE || e.Machine != elf.EM_X86_64 || len(e.Progs) < 3 || e.Progs[0].Type != elf.PT_NOTE {
		t.Errorf("type %v, machine %v, %d program headers", e.Type, e.Machine, len(e.Progs))
	}
	notes, err := io.ReadAll(e.Progs[0].Open())
	if want := c.source(t).Notes(); err != nil || !bytes.Equal(notes, want) {
		t.Errorf("notes are %q (%v), want %q", notes, err, want)
	}
	memory := uint64(0)
	for _, p := range e.Progs[1:] {
		if p.Type != elf.PT_LOAD || p.Align != 0 || p.Filesz > p.Memsz {
			t.Errorf("program header %+v", p.ProgHeader)
		}
		if p.Vaddr != 0xffff888000000000+p.Paddr {
			t.Errorf("program header for %#x has address %#x", p.Paddr, p.Vaddr)
		}
		memory += p.Memsz
	}
	if want := c.ram.Count() * uint64(c.pageSize); memory != want {
		t.Errorf("program headers have %d bytes of memory, want %d", memory, want)
	}
}

// TestELFHoles counts what is in the file of a run of pages left out.
func TestELFHoles(t *testing.T) {
	const n = 2000
	memory := bytes.Repeat([]byte{1}, n*4096)
	for _, test := range []struct {
		gap, pages int // left out, and in the file
	}{{0, n}, {1, n}, {255, n}, {256, n - 256}, {1000, n - 1000}} {
		c := coreOf(4096, memory, []segment{{0, 0, n}})
		c.kept = bitmapWithout(n, mem.PFNRange{Start: 100, End: 100 + mem.PFN(test.gap)})
		var f memFile
		stats, err := WriteELF(context.Background(), &f, c.job(c.source(t), compress.None, 0, 1))
		if err != nil || int(stats.Pages) != test.pages {
			t.Errorf("%d pages left out: %d in the file (%v), want %d", test.gap, stats.Pages, err, test.pages)
		}
		if wrong := c.checkELF(t, &f, int64(len(f.b))); wrong != 0 {
			t.Errorf("%d pages left out: %d are wrong", test.gap, wrong)
		}
		c.checkHeaders(t, &f)
	}
}

func bitmapWithout(n mem.PFN, r mem.PFNRange) *mem.Bitmap {
	b := mem.NewBitmap(n)
	b.SetRange(mem.PFNRange{End: n})
	b.ClearRange(r)
	return b
}

// TestELFOverlap has a core with the kernel's image in a segment of its own, as
// the kernel writes it, which lies in the memory of another.
func TestELFOverlap(t *testing.T) {
	memory := newTestCore(4096, 500)
	c := coreOf(4096, memory.elf[memory.dataAt:], []segment{{300, 284, 100}, {16, 0, 1000}})
	c.ram = bitmapWithout(1016, mem.PFNRange{End: 16})
	c.kept = bitmapWithout(1016, mem.PFNRange{End: 16})
	c.kept.ClearRange(mem.PFNRange{Start: 350, End: 700})
	var f memFile
	stats, err := WriteELF(context.Background(), &f, c.job(c.source(t), compress.None, 0, 1))
	if err != nil || stats.Pages != 650 {
		t.Errorf("%d pages in the file (%v), want 650", stats.Pages, err)
	}
	if wrong := c.checkELF(t, &f, int64(len(f.b))); wrong != 0 {
		t.Errorf("%d pages are wrong", wrong)
	}
	e, err := elf.NewFile(&f)
	if err != nil {
		t.Fatal(err)
	}
	type load struct{ start, file, size uint64 }
	want := []load{{16, 334, 684}, {300, 50, 100}, {700, 316, 316}}
	for _, p := range e.Progs[1:] {
		got := load{p.Paddr / 4096, p.Filesz / 4096, p.Memsz / 4096}
		found := false
		for _, w := range want {
			found = found || got == w
		}
		if !found {
			t.Errorf("program header %+v, want one of %v", got, want)
		}
	}
}

func TestELFManySegments(t *testing.T) {
	// As many as are too many for the ELF header.
	const n = 66000
	c := &testCore{pageSize: 4096, ram: mem.NewBitmap(2 * n), kept: mem.NewBitmap(2 * n)}
	for p := mem.PFN(0); p < 2*n; p += 2 {
		c.ram.Set(p)
		c.kept.Set(p)
	}
	small := newTestCore(4096, 1)
	job := c.job(everywhere{small.source(t)}, compress.None, 0, 1)
	var f memFile
	if _, err := WriteELF(context.Background(), &f, job); err != nil {
		t.Fatal(err)
	}
	e, err := elfcore.New(&f, int64(len(f.b)))
	if err != nil {
		t.Fatal(err)
	}
	if got := len(e.Segments()); got != n {
		t.Errorf("%d segments, want %d", got, n)
	}
	buf := make([]byte, 4096)
	for p := range mem.PFN(2 * n) {
		if err := e.ReadPhys(buf, p.Phys(12)); (err == nil) != (p%2 == 0) {
			t.Fatalf("page frame %d: %v", p, err)
		}
	}
}

// everywhere is a source that has the same page at every address.
type everywhere struct{ vmcore.Source }

func (e everywhere) ReadPhys(p []byte, addr mem.PhysAddr) error {
	return e.Source.ReadPhys(p, 16*4096+addr%4096)
}

func (e everywhere) NewView() mem.View { return e }

func (e everywhere) Slice(addr mem.PhysAddr, n int) ([]byte, error) {
	return bytes.Repeat([]byte{byte(addr >> 13)}, min(n, 4096)), nil
}

// TestELFOfDump writes an ELF core of the pages of a kdump-compressed dump.
func TestELFOfDump(t *testing.T) {
	c := newTestCore(4096, 700)
	b := written(t, c.job(c.source(t), compress.LZO, 1, 1))
	d, err := diskdump.New(&memFile{b: b}, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var f memFile
	if _, err := WriteELF(context.Background(), &f, c.job(d, compress.None, 1, 1)); err != nil {
		t.Fatal(err)
	}
	if wrong := c.checkELF(t, &f, int64(len(f.b))); wrong != 0 {
		t.Errorf("%d pages are wrong", wrong)
	}
	e, _ := elfcore.New(&f, int64(len(f.b)))
	for p := range c.ram.Len() {
		err := e.ReadPhys(make([]byte, 4096), p.Phys(12))
		if c.ram.Test(p) && !c.kept.Test(p) && !errors.Is(err, mem.ErrExcluded) {
			t.Fatalf("page frame %d: %v, want ErrExcluded", p, err)
		}
	}
}

func TestELFFullDevice(t *testing.T) {
	c := holey(3000)
	var whole memFile
	if _, err := WriteELF(context.Background(), &whole, c.job(c.source(t), compress.None, 0, 1)); err != nil {
		t.Fatal(err)
	}
	blocks := (len(whole.b) + 4095) / 4096
	for room := 2; room < blocks; room += 1 + room/4 {
		f := &memFile{room: room, blocks: map[int64]bool{}}
		stats, err := WriteELF(context.Background(), f, c.job(c.source(t), compress.None, 0, 1))
		if !errors.Is(err, syscall.ENOSPC) || !errors.Is(err, ErrIncomplete) {
			t.Fatalf("room for %d of %d blocks: %v, want ErrIncomplete and ENOSPC", room, blocks, err)
		}
		wrong := c.checkELF(t, f, int64(len(f.b)))
		if wrong == 0 || stats.Unwritten == 0 || f.b[48] != 1 {
			t.Errorf("room for %d blocks: %d pages missing, stats %+v, e_flags %d", room, wrong, stats, f.b[48])
		}
	}
}

func TestELFTruncatedCore(t *testing.T) {
	c := newTestCore(4096, 700)
	path := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(path, c.elf, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := elfcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.SetAccess(elfcore.Map)
	if err := os.Truncate(path, c.dataAt+1000*4096); err != nil {
		t.Fatal(err)
	}
	var f memFile
	stats, err := WriteELF(context.Background(), &f, c.job(s, compress.None, 0, 1))
	if err != nil || stats.Unreadable == 0 || f.b[48] != 1 {
		t.Errorf("stats %+v, e_flags %d, %v", stats, f.b[48], err)
	}
	if wrong := c.checkELF(t, &f, int64(len(f.b))); wrong > stats.Unreadable {
		t.Errorf("%d pages are wrong, %d could not be read", wrong, stats.Unreadable)
	}
}

func TestELFFlat(t *testing.T) {
	c := holey(1000)
	var plain memFile
	if _, err := WriteELF(context.Background(), &plain, c.job(c.source(t), compress.None, 1, 1)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := diskdump.NewFlatWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := WriteELF(context.Background(), w, c.job(c.source(t), compress.None, 1, 1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	flat, err := diskdump.NewFlat(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(flat, 0, flat.Size()))
	if err != nil || !bytes.Equal(got, plain.b) {
		t.Errorf("flattened it is %d bytes (%v), want %d", len(got), err, len(plain.b))
	}
}
