// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package addrxlat_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// open opens a core that lies in memory.
func open(t testing.TB, b []byte) *vmcore.Core {
	t.Helper()
	source, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	core := &vmcore.Core{Source: source, Path: "vmcore"}
	if note, ok := elfcore.FindVMCoreInfo(source.Notes(), source.Order()); ok {
		core.Info, core.InfoErr = vmcoreinfo.Parse(note.Desc)
	} else {
		core.InfoErr = vmcore.ErrNoInfo
	}
	return core
}

func newSpace(t testing.TB, b []byte) *addrxlat.Space {
	t.Helper()
	space, err := addrxlat.New(open(t, b))
	if err != nil {
		t.Fatal(err)
	}
	return space
}

// mapping is a page that a test maps.
type mapping struct {
	virt mem.VirtAddr
	phys mem.PhysAddr
	size uint64
}

var mappings = []mapping{
	{0xffffc90000000000, 0x1000, 4 << 10},
	{0xffffc90000001000, 0x7_ffff_f000, 4 << 10},
	{0xffffc90000200000, 0x1_2340_0000, 2 << 20},
	{0xffffc90040000000, 0x40_0000_0000, 1 << 30},
	{0xffffffffff000000, 0x123000, 4 << 10},
	{0x0000000000400000, 0x5000, 4 << 10}, // user space
	{0x00007ffffffff000, 0xf_ffff_f000, 4 << 10},
	{0xffff800000000000, 0x6000, 4 << 10}, // the lowest kernel address with 4 levels
}

// TestTranslate looks addresses up in pages of every size.
func TestTranslate(t *testing.T) {
	only5 := []mapping{{0xff12345678900000, 0x8000, 4 << 10}, {0x00ff_ffff_ffe0_0000, 0x20_0000, 2 << 20}}
	for _, test := range []struct {
		name   string
		kernel coretest.Kernel
	}{
		{"4 levels", coretest.Kernel{}},
		{"5 levels", coretest.Kernel{Levels: 5}},
		{"4 levels, encrypted", coretest.Kernel{SME: 1 << 47}},
		{"5 levels, encrypted", coretest.Kernel{Levels: 5, SME: 1 << 51}},
		{"KASLR", coretest.Kernel{KASLR: 0x2b200000}},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := mappings
			if test.kernel.Levels == 5 {
				all = append(all[:len(all):len(all)], only5...)
			}
			k := test.kernel
			k.Era = coretest.Linux6_1()
			k.MapMore = func(tables *coretest.Tables) {
				for _, m := range all {
					tables.Map(m.virt, m.phys, m.size)
				}
			}
			walker := newSpace(t, k.Build().File).NewWalker()
			defer walker.Close()
			rnd := rand.New(rand.NewSource(1))
			for range 1000 {
				m := all[rnd.Intn(len(all))]
				in := uint64(rnd.Int63n(int64(m.size)))
				m.check(t, walker, in)
			}
		})
	}
}

func (m *mapping) check(t *testing.T, walker *addrxlat.Walker, in uint64) {
	t.Helper()
	phys, size, err := walker.Translate(m.virt + mem.VirtAddr(in))
	if want := m.phys + mem.PhysAddr(in); err != nil || phys != want || size != m.size-in {
		t.Errorf("Translate(%v) = %v, %#x, %v, want %v, %#x, nil", m.virt+mem.VirtAddr(in), phys, size, err, want, m.size-in)
	}
}

// TestEntryBits sets every bit of an entry that does not say where the page is.
func TestEntryBits(t *testing.T) {
	for _, test := range []struct {
		mapping
		level int
		bits  uint64
	}{
		// accessed, dirty, PAT (the bit that means "large" elsewhere), global,
		// available, protection key, NX
		{mapping{0xffffc90000000000, 0x1000, 4 << 10}, 1, 0xfff0_0000_0000_0ffe},
		// PAT is bit 12 here
		{mapping{0xffffc90000200000, 0x4020_0000, 2 << 20}, 2, 0xfff0_0000_0000_1ffe},
		{mapping{0xffffc90040000000, 0x40_0000_0000, 1 << 30}, 3, 0xfff0_0000_0000_1ffe},
	} {
		k := coretest.Kernel{Era: coretest.Linux6_1(), MapMore: func(tables *coretest.Tables) {
			tables.Map(test.virt, test.phys, test.size)
			entry := tables.Entry(test.virt, test.level)
			binary.LittleEndian.PutUint64(entry, binary.LittleEndian.Uint64(entry)|test.bits)
		}}
		walker := newSpace(t, k.Build().File).NewWalker()
		defer walker.Close()
		test.check(t, walker, 0x123)
	}
}

// TestNotMapped looks up what the page tables do not have.
func TestNotMapped(t *testing.T) {
	k := coretest.Kernel{Era: coretest.Linux6_1(), MapMore: func(tables *coretest.Tables) {
		tables.Map(0xffffc90000000000, 0x10_0000, 4<<10)
		// Swapped out: everything is there but the bit that counts.
		tables.Map(0xffffc90000005000, 0x2000, 4<<10)
		tables.Entry(0xffffc90000005000, 1)[0] &^= 1
		tables.Map(0xffffc90000200000, 0x40_0000, 2<<20)
		tables.Entry(0xffffc90000200000, 2)[0] &^= 1
	}}
	space := newSpace(t, k.Build().File)
	walker := space.NewWalker()
	defer walker.Close()
	for _, addr := range []mem.VirtAddr{
		0, 0xffffc90000001000, 0xffffc90000005000, 0xffffc90000200000, 0xffffc90040000000, 0xffffd90000000000,
		0x0000800000000000, 0xffff7fffffffffff, 0x8000000000000000, 0xff11000000000000, // not canonical
		0xffffffffffffffff,
	} {
		for range 2 { // what a walk leaves behind does not matter
			if phys, _, err := walker.Translate(addr); !errors.Is(err, mem.ErrNotMapped) {
				t.Errorf("Translate(%v) = %v, %v, want %v", addr, phys, err, mem.ErrNotMapped)
			}
			if _, err := walker.Slice(addr, 1); !errors.Is(err, mem.ErrNotMapped) {
				t.Errorf("Slice(%v) = %v, want %v", addr, err, mem.ErrNotMapped)
			}
			if err := space.ReadVirt(make([]byte, 1), addr); !errors.Is(err, mem.ErrNotMapped) {
				t.Errorf("ReadVirt(%v) = %v, want %v", addr, err, mem.ErrNotMapped)
			}
		}
	}
	if err := space.ReadVirt(make([]byte, 4097), 0xffffc90000000000); !errors.Is(err, mem.ErrNotMapped) {
		t.Errorf("ReadVirt beyond a page = %v, want %v", err, mem.ErrNotMapped)
	}
}

// TestDamagedTables has tables that are not there, that are their own parents,
// and a large page where none can be. Only that they end matters, and how.
func TestDamagedTables(t *testing.T) {
	put := func(entry []byte, v uint64) { binary.LittleEndian.PutUint64(entry, v) }
	const virt = mem.VirtAddr(0xffffc90000000000)
	for _, test := range []struct {
		name   string
		damage func(tables *coretest.Tables)
		want   error
	}{
		{"table outside memory", func(tables *coretest.Tables) { put(tables.Entry(virt, 3), 0x123_4567_8003) }, mem.ErrUnreadable},
		{"table at the end of memory", func(tables *coretest.Tables) { put(tables.Entry(virt, 2), 1<<52-1) }, nil}, // a large page
		{"table of level 5's size", func(tables *coretest.Tables) { put(tables.Entry(virt, 4), 0xf_ffff_ffff_f083) }, mem.ErrUnreadable},
		{"table that is its own parent", func(tables *coretest.Tables) {
			for index := range 512 {
				put(tables.Page(tables.Root.PFN(12))[index*8:], uint64(tables.Root)|3)
			}
		}, nil}, // the root is a table of level 1, too
	} {
		t.Run(test.name, func(t *testing.T) {
			k := coretest.Kernel{Era: coretest.Linux6_1(), MapMore: func(tables *coretest.Tables) {
				tables.Map(virt, 0x1000, 4<<10)
				test.damage(tables)
			}}
			core := k.Build()
			space := newSpace(t, core.File)
			walker := space.NewWalker()
			defer walker.Close()
			if phys, _, err := walker.Translate(virt); !errors.Is(err, test.want) {
				t.Errorf("Translate() = %v, %v, want %v", phys, err, test.want)
			}
			// The kernel image does not need the tables.
			buf := make([]byte, 5)
			if err := space.ReadVirt(buf, coretest.KernelLink); err != nil || string(buf) != "Linux" {
				t.Errorf("ReadVirt of the kernel image = %q, %v, want Linux", buf, err)
			}
		})
	}
}

func TestReadVirt(t *testing.T) {
	// Two pages that follow each other in virtual memory only.
	const virt, a, b = mem.VirtAddr(0xffffc90000000000), mem.PFN(0x105), mem.PFN(0x103)
	k := coretest.Kernel{Era: coretest.Linux6_1(), MapMore: func(tables *coretest.Tables) {
		tables.Map(virt, a.Phys(12), 4<<10)
		tables.Map(virt+4096, b.Phys(12), 4<<10)
	}}
	want := make([]byte, 8192)
	coretest.Contents(want[:4096], a)
	coretest.Contents(want[4096:], b)
	space := newSpace(t, k.Build().File)
	var wg sync.WaitGroup
	for g := range int64(4) {
		wg.Go(func() {
			rnd := rand.New(rand.NewSource(g))
			walker := space.NewWalker()
			defer walker.Close()
			for range 200 {
				off, n := rnd.Intn(8192), rnd.Intn(8192)
				n = min(n, 8192-off)
				got := make([]byte, n)
				if err := space.ReadVirt(got, virt+mem.VirtAddr(off)); err != nil || !bytes.Equal(got, want[off:off+n]) {
					t.Errorf("ReadVirt of %d bytes at offset %#x: %v, equal: %v", n, off, err, bytes.Equal(got, want[off:off+n]))
				}
				slice, err := walker.Slice(virt+mem.VirtAddr(off), n+1)
				if err != nil || len(slice) == 0 || len(slice) > n+1 || !bytes.HasPrefix(want[off:], slice) {
					t.Errorf("Slice of %d bytes at offset %#x: %v, %d bytes, not the right ones", n+1, off, err, len(slice))
				}
			}
		})
	}
	wg.Wait()
}

// TestNew takes keys away, one at a time.
func TestNew(t *testing.T) {
	for _, test := range []struct {
		name string
		info map[string]string
		want string // part of the error; "": none
	}{
		{"all keys", nil, ""},
		{"the page table's other name", map[string]string{"SYMBOL(init_top_pgt)": ""}, ""},
		{"no page table", map[string]string{"SYMBOL(init_top_pgt)": "", "SYMBOL(swapper_pg_dir)": ""}, "init_top_pgt"},
		{"page table below the image", map[string]string{"SYMBOL(init_top_pgt)": "ffff888001001000"}, "init_top_pgt"},
		{"page table within a page", map[string]string{"SYMBOL(init_top_pgt)": "ffffffff81001008"}, "init_top_pgt"},
		{"no phys_base, but a program header", map[string]string{"NUMBER(phys_base)": ""}, ""},
		{"no pgtable_l5_enabled", map[string]string{"NUMBER(pgtable_l5_enabled)": ""}, ""},
		{"no sme_mask", map[string]string{"NUMBER(sme_mask)": ""}, ""},
		{"no KERNEL_IMAGE_SIZE", map[string]string{"NUMBER(KERNEL_IMAGE_SIZE)": ""}, ""},
		{"absurd KERNEL_IMAGE_SIZE", map[string]string{"NUMBER(KERNEL_IMAGE_SIZE)": "-1"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := coretest.Kernel{Era: coretest.Linux6_1(), KASLR: 0x200000, Info: test.info}
			if test.info["SYMBOL(init_top_pgt)"] != "" {
				k.KASLR = 0
			}
			space, err := addrxlat.New(open(t, k.Build().File))
			if test.want != "" {
				if !errors.Is(err, addrxlat.ErrUnsupported) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("New() = %v, want an error that wraps %v and names %s", err, addrxlat.ErrUnsupported, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 5)
			if err := space.ReadVirt(buf, coretest.KernelLink+mem.VirtAddr(k.KASLR)); err != nil || string(buf) != "Linux" {
				t.Errorf("ReadVirt() = %q, %v, want Linux", buf, err)
			}
		})
	}
}

func TestNewUnsupported(t *testing.T) {
	noInfo := coretest.ELF{Segments: []coretest.Segment{{Data: make([]byte, 4096)}}}
	other := noInfo
	other.Machine = 183 // arm64
	other.Notes = coretest.Note(binary.LittleEndian, "VMCOREINFO", 0, []byte("OSRELEASE=6.1\nPAGESIZE=4096\n"))
	noBase := noInfo
	noBase.Notes = coretest.Note(binary.LittleEndian, "VMCOREINFO", 0,
		[]byte("OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(init_top_pgt)=ffffffff81000000\n"))
	for name, e := range map[string]coretest.ELF{"VMCOREINFO": noInfo, "aarch64": other, "phys_base": noBase} {
		_, err := addrxlat.New(open(t, e.Bytes()))
		if !errors.Is(err, addrxlat.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("New() = %v, want an error that wraps %v and names %s", err, addrxlat.ErrUnsupported, name)
		}
	}
}

// FuzzTranslate walks page tables of arbitrary bytes.
func FuzzTranslate(f *testing.F) {
	entry := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	f.Add(entry(0x1003), uint64(0xffffc90000000000), false)
	f.Add(entry(0x3), uint64(0xffffc90000000000), true)
	f.Add(append(entry(0x2083), entry(0x3003)...), uint64(0), false)
	f.Add(entry(1<<52-1), ^uint64(0), true)
	f.Fuzz(func(t *testing.T, tables []byte, addr uint64, l5 bool) {
		if len(tables) == 0 {
			return
		}
		memory := make([]byte, 0, 4*4096)
		for len(memory) < cap(memory) {
			memory = append(memory, tables[:min(len(tables), cap(memory)-len(memory))]...)
		}
		info := "OSRELEASE=6.1\nPAGESIZE=4096\nSYMBOL(init_top_pgt)=ffffffff81000000\nNUMBER(phys_base)=-16777216\n"
		if l5 {
			info += "NUMBER(pgtable_l5_enabled)=1\n"
		}
		e := coretest.ELF{
			Notes:    coretest.Note(binary.LittleEndian, "VMCOREINFO", 0, []byte(info)),
			Segments: []coretest.Segment{{Data: memory}},
		}
		space := newSpace(t, e.Bytes())
		walker := space.NewWalker()
		defer walker.Close()
		phys, size, err := walker.Translate(mem.VirtAddr(addr))
		if err != nil {
			if !errors.Is(err, mem.ErrNotMapped) && !errors.Is(err, mem.ErrUnreadable) {
				t.Errorf("error %v wraps neither of two", err)
			}
			return
		}
		if size == 0 || size > 1<<30 || phys >= 1<<52 {
			t.Errorf("Translate() = %v, %#x", phys, size)
		}
		again, sizeAgain, err := walker.Translate(mem.VirtAddr(addr))
		if got, want := fmt.Sprint(again, sizeAgain, err), fmt.Sprint(phys, size, nil); got != want {
			t.Errorf("Translate() = %v the second time, want %v", got, want)
		}
		space.ReadVirt(make([]byte, 10000), mem.VirtAddr(addr))
	})
}
