// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// memFile is a file in memory. If room is not 0, it lies on a device that has
// room for that many blocks of 4 KiB.
type memFile struct {
	b      []byte
	room   int
	blocks map[int64]bool
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if f.room == 0 {
		return f.put(p, off)
	}
	for n := 0; n < len(p); {
		block := (off + int64(n)) / 4096
		if !f.blocks[block] {
			if len(f.blocks) == f.room {
				return n, syscall.ENOSPC
			}
			f.blocks[block] = true
		}
		end := min(len(p), n+int(4096-(off+int64(n))%4096))
		f.put(p[n:end], off+int64(n))
		n = end
	}
	return len(p), nil
}

func (f *memFile) put(p []byte, off int64) (int, error) {
	if end := int(off) + len(p); end > len(f.b) {
		f.b = append(f.b, make([]byte, end-len(f.b))...)
	}
	return copy(f.b[off:], p), nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(f.b).ReadAt(p, off)
}

// testCore is a core in two segments with a hole between them.
type testCore struct {
	pageSize int
	ram      *mem.Bitmap
	kept     *mem.Bitmap // two thirds of ram
	pages    map[mem.PFN][]byte
	elf      []byte
	dataAt   int64 // of the first page in elf
}

// newTestCore makes a core of n pages in each of two segments: zeros, noise,
// and text, by turns.
func newTestCore(pageSize, n int) *testCore {
	memory := make([]byte, 0, 2*n*pageSize)
	random := rand.NewChaCha8([32]byte{7})
	for i := range 2 * n {
		page := make([]byte, pageSize)
		switch i % 5 {
		case 1:
			random.Read(page)
		case 2, 3, 4:
			copy(page, bytes.Repeat([]byte(fmt.Sprintf("%d bottles of beer on the wall, ", i)), pageSize/25))
		}
		memory = append(memory, page...)
	}
	return coreOf(pageSize, memory, []segment{{16, 0, n}, {mem.PFN(16 + n + 100), n, n}})
}

// segment is memory at a page frame: n pages from page first of what the core
// has in the file.
type segment struct {
	at       mem.PFN
	first, n int
}

// coreOf makes a core of the segments.
func coreOf(pageSize int, memory []byte, segments []segment) *testCore {
	last := segments[len(segments)-1]
	end := last.at + mem.PFN(last.n)
	c := &testCore{pageSize: pageSize, ram: mem.NewBitmap(end), kept: mem.NewBitmap(end), pages: map[mem.PFN][]byte{}}
	for _, s := range segments {
		for i := range s.n {
			p := s.at + mem.PFN(i)
			c.ram.Set(p)
			c.pages[p] = memory[(s.first+i)*pageSize:][:pageSize]
			if p%3 != 0 {
				c.kept.Set(p)
			}
		}
	}
	c.elf, c.dataAt = elfCore(pageSize, memory, segments)
	return c
}

// elfCore returns an ELF core and where in it memory begins.
func elfCore(pageSize int, memory []byte, segments []segment) ([]byte, int64) {
	le := binary.LittleEndian
	info := fmt.Sprintf("OSRELEASE=6.1.0-test\nPAGESIZE=%d\n", pageSize)
	note := le.AppendUint32(nil, 11)
	note = le.AppendUint32(note, uint32(len(info)))
	note = le.AppendUint32(note, 0)
	note = append(note, "VMCOREINFO\x00\x00"+info...)
	note = append(note, make([]byte, -len(note)&3)...)

	headers := uint64(64 + (1+len(segments))*56)
	dataAt := headers + uint64(len(note))
	b := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	b = le.AppendUint16(b, 4)  // ET_CORE
	b = le.AppendUint16(b, 62) // EM_X86_64
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, 0)  // entry
	b = le.AppendUint64(b, 64) // program headers
	b = le.AppendUint64(b, 0)  // section headers
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{64, 56, uint16(1 + len(segments)), 0, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	header := func(kind uint32, off, phys, size uint64) {
		b = le.AppendUint32(b, kind)
		b = le.AppendUint32(b, 7)
		for _, v := range []uint64{off, 0xffff888000000000 + phys, phys, size, size, 0} {
			b = le.AppendUint64(b, v)
		}
	}
	header(4, headers, 0, uint64(len(note)))
	for _, s := range segments {
		header(1, dataAt+uint64(s.first*pageSize), uint64(s.at)*uint64(pageSize), uint64(s.n*pageSize))
	}
	b = append(b, note...)
	return append(b, memory...), int64(dataAt)
}

func (c *testCore) source(t testing.TB) vmcore.Source {
	t.Helper()
	s, err := elfcore.New(bytes.NewReader(c.elf), int64(len(c.elf)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// job is to dump the kept pages of c from s.
func (c *testCore) job(s vmcore.Source, codec compress.Codec, level, threads int) *Job {
	return &Job{
		Source: s, Codec: codec, Threads: threads,
		Pages: &pagefilter.Selection{PageSize: c.pageSize, RAM: c.ram, Kept: c.kept, Level: level},
		Meta:  diskdump.Meta{Order: binary.LittleEndian, Uts: diskdump.Utsname{Release: "6.1.0-test", Machine: "x86_64"}, Notes: s.Notes(), Time: 1},
	}
}

func (c *testCore) count(f func(page []byte) bool) uint64 {
	var n uint64
	for p, page := range c.pages {
		if c.kept.Test(p) && f(page) {
			n++
		}
	}
	return n
}

// check reads every page of the dump in f back and returns how many of the
// kept ones cannot be read; any other difference from c is an error.
func (c *testCore) check(t *testing.T, f *memFile) (lost uint64, d *diskdump.Dump) {
	t.Helper()
	d, err := diskdump.New(f, int64(len(f.b)))
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, c.pageSize)
	for p := range c.ram.Len() {
		err := d.ReadPhys(got, p.Phys(shiftOf(c.pageSize)))
		want := error(nil)
		switch {
		case !c.ram.Test(p):
			want = mem.ErrNotRAM
		case !c.kept.Test(p):
			want = mem.ErrExcluded
		case errors.Is(err, mem.ErrUnreadable):
			lost++
			continue
		}
		if !errors.Is(err, want) {
			t.Fatalf("page frame %d: %v, want %v", p, err, want)
		}
		if want == nil && !bytes.Equal(got, c.pages[p]) {
			t.Fatalf("page frame %d reads %q, want %q", p, got[:32], c.pages[p][:32])
		}
	}
	return lost, d
}

func shiftOf(pageSize int) uint {
	var n uint
	for 1<<n < pageSize {
		n++
	}
	return n
}

func marked(d *diskdump.Dump) bool { return d.Meta().Status&diskdump.Incomplete != 0 }

// useCPUs lets threads be used where there are fewer CPUs.
func useCPUs(t testing.TB, n int) {
	old := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
}
