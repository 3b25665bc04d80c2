// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
)

// newCore opens the core in b.
func newCore(b []byte) (*elfcore.Core, error) {
	return elfcore.New(bytes.NewReader(b), int64(len(b)))
}

// openFile opens the core in b from a file.
func openFile(t testing.TB, b []byte) *elfcore.Core {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := elfcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestHeaders compares what the headers say with what debug/elf reads there.
func TestHeaders(t *testing.T) {
	segments := []coretest.Segment{
		{Phys: 0x1000, Virt: 0xc0001000, Data: bytes.Repeat([]byte{1}, 0x1000), MemSize: 0x3000},
		{Phys: 0x10_0000, Virt: 0xc0100000, Data: bytes.Repeat([]byte{2}, 0x2345)},
	}
	for _, test := range []struct {
		class   elf.Class
		order   binary.ByteOrder
		machine elf.Machine
		name    string
	}{
		{elf.ELFCLASS64, binary.LittleEndian, elf.EM_X86_64, "x86_64"},
		{elf.ELFCLASS64, binary.LittleEndian, elf.EM_AARCH64, "aarch64"},
		{elf.ELFCLASS64, binary.BigEndian, elf.EM_S390, "s390x"},
		{elf.ELFCLASS64, binary.LittleEndian, elf.EM_PPC64, "ppc64le"},
		{elf.ELFCLASS64, binary.BigEndian, elf.EM_PPC64, "ppc64"},
		{elf.ELFCLASS64, binary.LittleEndian, elf.EM_RISCV, "riscv64"},
		{elf.ELFCLASS64, binary.LittleEndian, elf.EM_LOONGARCH, "loongarch64"},
		{elf.ELFCLASS32, binary.LittleEndian, elf.EM_386, "i686"},
		{elf.ELFCLASS32, binary.LittleEndian, elf.EM_ARM, "armv7l"},
		{elf.ELFCLASS32, binary.BigEndian, elf.EM_PPC, "ppc"},
	} {
		for _, extended := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s extended %v", test.name, extended), func(t *testing.T) {
				e := coretest.ELF{
					Class: test.class, Order: test.order, Machine: test.machine, Extended: extended,
					Segments: segments, Notes: coretest.Note(test.order, "CORE", 1, []byte("registers")),
				}
				b := e.Bytes()
				c, err := newCore(b)
				if err != nil {
					t.Fatal(err)
				}
				if c.Machine() != test.name || c.Order() != test.order {
					t.Errorf("machine %s, order %v, want %s, %v", c.Machine(), c.Order(), test.name, test.order)
				}
				if !bytes.Equal(c.Notes(), e.Notes) {
					t.Errorf("Notes() = %x, want %x", c.Notes(), e.Notes)
				}
				if extended {
					// debug/elf does not know PN_XNUM; the same core without it does.
					e.Extended = false
					b = e.Bytes()
				}
				checkSegments(t, c.Segments(), b)
			})
		}
	}
}

func checkSegments(t *testing.T, got []elfcore.Segment, b []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	var want []elfcore.Segment
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			want = append(want, elfcore.Segment{
				Phys: mem.PhysAddr(p.Paddr), Virt: mem.VirtAddr(p.Vaddr), Offset: p.Off,
				FileSize: p.Filesz, MemSize: p.Memsz,
			})
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Segments() = %v, want %v", got, want)
	}
}

// farFile is a file like /proc/kcore: most of its terabytes cannot be read.
type farFile struct {
	*bytes.Reader
	data []byte // at
	at   int64
}

func (f farFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.at {
		return bytes.NewReader(f.data).ReadAt(p, off-f.at)
	}
	return f.Reader.ReadAt(p, off)
}

// TestKcore opens what looks like /proc/kcore: the file has the size of the
// address space, the kernel image lies at its end, and what vmalloc gave out has
// no physical address.
func TestKcore(t *testing.T) {
	const (
		size = 1 << 47
		text = size - 1<<31
	)
	segments := []coretest.Segment{
		{Phys: 0x100_0000, Virt: 0xffffffff81000000, Offset: text, FileSize: 0x2000},
		{Phys: 0xffffffffffffffff, Virt: 0xffffc90000000000, Offset: 1 << 45, FileSize: 1 << 45},
		{Phys: 0x1000, Virt: 0xffff888000001000, Data: bytes.Repeat([]byte{1}, 0x1000)},
		{Phys: 0xffffffffffffffff, Virt: 0xffffffffff600000, Offset: size - 4096, FileSize: 4096},
	}
	b := coretest.ELF{Segments: segments}.Bytes()
	c, err := elfcore.New(farFile{bytes.NewReader(b), bytes.Repeat([]byte{2}, 0x2000), text}, size)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(c.Segments()); n != 2 || c.End() != 0x100_2000 {
		t.Errorf("%d segments up to %v, want 2 up to 0x1002000", n, c.End())
	}
	for addr, want := range map[mem.PhysAddr]byte{0x1fff: 1, 0x100_1fff: 2} {
		var got [1]byte
		if err := c.ReadPhys(got[:], addr); err != nil || got[0] != want {
			t.Errorf("ReadPhys(%v) = %d, %v, want %d", addr, got[0], err, want)
		}
	}
}

// machine is memory in the simplest way that there is.
type machine struct {
	granule uint64
	bytes   []byte
	state   []state // of every byte
}

type state byte

const (
	nothing state = iota
	padding
	leftOut
	inFile
)

// randomMachine returns a core of random segments, which may overlap, and what
// it ought to say.
func randomMachine(rnd *rand.Rand, granule uint64) (*machine, coretest.ELF) {
	const size = 1 << 20
	m := &machine{granule: granule, bytes: make([]byte, size), state: make([]state, size)}
	rnd.Read(m.bytes)
	e := coretest.ELF{Notes: coretest.Note(binary.LittleEndian, "VMCOREINFO", 0,
		fmt.Appendf(nil, "OSRELEASE=6.1\nPAGESIZE=%d\n", granule))}
	at := func() uint64 {
		n := uint64(rnd.Intn(size - 0x20000))
		if rnd.Intn(2) == 0 {
			n &^= 0xfff
		}
		return n
	}
	for range 1 + rnd.Intn(8) {
		start := at()
		memSize := 1 + uint64(rnd.Intn(0x20000))
		fileSize := memSize
		if rnd.Intn(3) == 0 {
			fileSize = uint64(rnd.Intn(int(memSize)))
		}
		e.Segments = append(e.Segments, coretest.Segment{
			Phys: mem.PhysAddr(start), Data: m.bytes[start : start+fileSize], MemSize: memSize,
		})
		m.mark(start, start+fileSize, inFile)
		m.mark(start, start+memSize, leftOut)
		m.mark(start&^(granule-1), (start+memSize+granule-1)&^(granule-1), padding)
	}
	for i, s := range m.state {
		if s == padding {
			m.bytes[i] = 0
		}
	}
	return m, e
}

// mark raises the state of bytes.
func (m *machine) mark(start, end uint64, s state) {
	for i := start; i < end; i++ {
		m.state[i] = max(m.state[i], s)
	}
}

// read returns what reading n bytes at addr must give.
func (m *machine) read(addr, n uint64) ([]byte, error) {
	for i := addr; i < addr+n; i++ {
		switch m.state[i] {
		case nothing:
			return nil, mem.ErrNotRAM
		case leftOut:
			return nil, mem.ErrExcluded
		}
	}
	return m.bytes[addr : addr+n], nil
}

// TestReads reads random segments, overlapping, cut short and unaligned, in
// every way that there is, and compares with the memory that they were made of.
func TestReads(t *testing.T) {
	for seed := range int64(30) {
		rnd := rand.New(rand.NewSource(seed))
		m, e := randomMachine(rnd, []uint64{4096, 65536}[seed%2])
		b := e.Bytes()
		inMemory, err := newCore(b)
		if err != nil {
			t.Fatal(err)
		}
		file := openFile(t, b)
		views := map[string]mem.View{"file": file.NewView(), "memory": inMemory.NewView()}
		for name, access := range map[string]elfcore.Access{"mapped file": elfcore.Map, "mapped runs": elfcore.MapRuns} {
			file.SetAccess(access)
			views[name] = file.NewView()
		}
		for range 300 {
			addr := uint64(rnd.Intn(len(m.bytes) - 0x10000))
			n := uint64(rnd.Intn(0x4000))
			if rnd.Intn(2) == 0 {
				addr &^= 0xfff
			}
			m.checkReadPhys(t, file, addr, n)
			for name, view := range views {
				m.checkSlice(t, name, view, addr, n*n/0x100+1) // up to 1 MiB
			}
		}
		m.checkFrames(t, file)
		for _, v := range views {
			v.Close()
		}
	}
}

func (m *machine) checkReadPhys(t *testing.T, c *elfcore.Core, addr, n uint64) {
	t.Helper()
	want, wantErr := m.read(addr, n)
	got := make([]byte, n)
	err := c.ReadPhys(got, mem.PhysAddr(addr))
	if !errors.Is(err, wantErr) || err == nil && !bytes.Equal(got, want) {
		t.Fatalf("ReadPhys of %d bytes at %#x: error %v, want %v; equal bytes: %v", n, addr, err, wantErr, bytes.Equal(got, want))
	}
}

// checkSlice checks a slice, which may end early, but not before its first byte.
func (m *machine) checkSlice(t *testing.T, name string, view mem.View, addr, n uint64) {
	t.Helper()
	got, err := view.Slice(mem.PhysAddr(addr), int(n))
	if _, wantErr := m.read(addr, 1); !errors.Is(err, wantErr) {
		t.Fatalf("%s: Slice at %#x = %v, want %v", name, addr, err, wantErr)
	}
	if err != nil {
		return
	}
	if len(got) == 0 || uint64(len(got)) > n {
		t.Fatalf("%s: Slice of %d bytes at %#x has %d", name, n, addr, len(got))
	}
	if want, err := m.read(addr, uint64(len(got))); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%s: Slice of %d bytes at %#x has the wrong ones (%v)", name, n, addr, err)
	}
}

// checkFrames compares the bitmaps, and End, with the memory.
func (m *machine) checkFrames(t *testing.T, c *elfcore.Core) {
	t.Helper()
	end := uint64(0)
	ram, present := mem.NewBitmap(mem.PFN(len(m.state))), mem.NewBitmap(mem.PFN(len(m.state)))
	shift := uint(12)
	if m.granule == 65536 {
		shift = 16
	}
	c.FillRAM(ram, shift)
	c.FillPresent(present, shift)
	for at := uint64(0); at < uint64(len(m.state)); at += m.granule {
		best := nothing
		for _, s := range m.state[at : at+m.granule] {
			best = max(best, s)
		}
		pfn := mem.PhysAddr(at).PFN(shift)
		if got, want := ram.Test(pfn), best != nothing; got != want {
			t.Fatalf("frame %#x is memory: %v, want %v", pfn, got, want)
		}
		if got, want := present.Test(pfn), best == inFile; got != want {
			t.Fatalf("frame %#x is present: %v, want %v", pfn, got, want)
		}
		if best != nothing {
			end = at + m.granule
		}
	}
	if got := uint64(c.End()); got != end {
		t.Fatalf("End() = %#x, want %#x", got, end)
	}
}

// goodCore is a small core.
func goodCore() coretest.ELF {
	return coretest.ELF{
		Notes: append(coretest.Note(binary.LittleEndian, "CORE", 1, make([]byte, 336)),
			coretest.Note(binary.LittleEndian, "VMCOREINFO", 0, []byte("OSRELEASE=6.1\nPAGESIZE=4096\n"))...),
		Segments: []coretest.Segment{
			{Phys: 0x1000, Data: bytes.Repeat([]byte{1}, 0x1800)},
			{Phys: 0x8000, Data: bytes.Repeat([]byte{2}, 0x1000), MemSize: 0x3000},
		},
	}
}

// TestCutOff cuts a core off everywhere. Where it opens all the same, all that
// the file still has can be read.
func TestCutOff(t *testing.T) {
	b := goodCore().Bytes()
	for n := range len(b) {
		c, err := newCore(b[:n])
		if err == nil {
			t.Fatalf("a core of %d bytes cut off at %d opens", len(b), n)
		}
		if !errors.Is(err, elfcore.ErrFormat) || c != nil {
			t.Fatalf("cut off at %d: %v, want an error that wraps %v", n, err, elfcore.ErrFormat)
		}
	}
	if _, err := newCore(b); err != nil {
		t.Fatal(err)
	}
}

// TestShrunk reads a file that lost its end after it was opened.
func TestShrunk(t *testing.T) {
	b := goodCore().Bytes()
	path := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := elfcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := os.Truncate(path, int64(len(b)-0x800)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 0x1000)
	if err := c.ReadPhys(buf, 0x8000); !errors.Is(err, mem.ErrUnreadable) {
		t.Errorf("ReadPhys of memory that is gone = %v, want %v", err, mem.ErrUnreadable)
	}
	if err := c.ReadPhys(buf, 0x1000); err != nil {
		t.Errorf("ReadPhys of memory that is still there = %v, want nil", err)
	}
}

// TestBadHeaders changes single fields of good headers.
func TestBadHeaders(t *testing.T) {
	le := binary.LittleEndian
	header := func(f func(h []byte)) func(b []byte) { return func(b []byte) { f(b[:64]) } }
	// Program header 0 is the PT_NOTE, 1 and 2 are the PT_LOADs.
	prog := func(i int, f func(p []byte)) func(b []byte) { return func(b []byte) { f(b[64+56*i:][:56]) } }
	for _, test := range []struct {
		name   string
		damage func(b []byte)
	}{
		{"no magic", header(func(h []byte) { h[0] = 'x' })},
		{"class 0", header(func(h []byte) { h[4] = 0 })},
		{"class 3", header(func(h []byte) { h[4] = 3 })},
		{"32-bit x86_64", header(func(h []byte) { h[4] = 1 })},
		{"data encoding 0", header(func(h []byte) { h[5] = 0 })},
		{"big-endian x86_64", header(func(h []byte) { h[5] = 2 })},
		{"executable", header(func(h []byte) { le.PutUint16(h[16:], 2) })},
		{"unknown machine", header(func(h []byte) { le.PutUint16(h[18:], 8) })},
		{"program headers of 32 bytes", header(func(h []byte) { le.PutUint16(h[54:], 32) })},
		{"no program headers", header(func(h []byte) { le.PutUint16(h[56:], 0) })},
		{"program headers outside the file", header(func(h []byte) { le.PutUint64(h[32:], 1<<40) })},
		{"program headers at the end of all addresses", header(func(h []byte) { le.PutUint64(h[32:], 1<<64-56) })},
		{"more program headers than the file holds", header(func(h []byte) { le.PutUint16(h[56:], 0xfffe) })},
		{"extended count without a section", header(func(h []byte) { le.PutUint16(h[56:], 0xffff); le.PutUint64(h[40:], 1<<63) })},
		{"extended count of 0", header(func(h []byte) { le.PutUint16(h[56:], 0xffff); le.PutUint64(h[40:], 0x800) })},
		{"note outside the file", prog(0, func(p []byte) { le.PutUint64(p[8:], 1<<50) })},
		{"note larger than the file", prog(0, func(p []byte) { le.PutUint64(p[32:], 1<<63) })},
		{"segment outside the file", prog(1, func(p []byte) { le.PutUint64(p[8:], 1<<63) })},
		{"segment larger than the file", prog(1, func(p []byte) { le.PutUint64(p[32:], 1<<20); le.PutUint64(p[40:], 1<<20) })},
		{"segment that wraps around", prog(1, func(p []byte) { le.PutUint64(p[8:], 0x1000); le.PutUint64(p[32:], 1<<64-0x800) })},
		{"segment smaller in memory", prog(1, func(p []byte) { le.PutUint64(p[40:], 1) })},
		{"memory beyond 2^52", prog(1, func(p []byte) { le.PutUint64(p[24:], 1<<52) })},
		{"memory that ends beyond 2^52", prog(1, func(p []byte) { le.PutUint64(p[40:], 1<<52) })},
		{"memory at the end of all addresses", prog(1, func(p []byte) { le.PutUint64(p[24:], 1<<64-0x1000) })},
		{"endless memory", prog(1, func(p []byte) { le.PutUint64(p[40:], 1<<64-1) })},
		{"no memory", func(b []byte) {
			prog(1, func(p []byte) { le.PutUint32(p, 6) })(b)
			prog(2, func(p []byte) { le.PutUint32(p, 6) })(b)
		}},
	} {
		b := goodCore().Bytes()
		test.damage(b)
		if c, err := newCore(b); !errors.Is(err, elfcore.ErrFormat) || c != nil {
			t.Errorf("%s: New() = %v, want an error that wraps %v", test.name, err, elfcore.ErrFormat)
		}
	}
}

func TestOpenDirectory(t *testing.T) {
	dir := t.TempDir()
	if _, err := elfcore.Open(dir); !errors.Is(err, elfcore.ErrFormat) {
		t.Errorf("Open of a directory = %v, want %v", err, elfcore.ErrFormat)
	}
}
