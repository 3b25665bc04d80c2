// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package coretest builds small cores of made-up x86_64 machines for tests: an
// ELF core with notes, page tables, the memory section array and struct pages in
// the layout of a chosen kernel release. A test says in a table what each page
// is and has a core of a few MiB that makedumpfile understands as well. Nothing
// but tests imports it.
//
// It knows nothing of the packages that read cores: what it writes comes from
// the kernel's headers and from the VMCOREINFO of real kernels.
package coretest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/mem"
)

// Kernel is what a core is made of. Era is needed, everything else can be left
// out.
type Kernel struct {
	Era    *Era
	Blocks []Block // what the pages are; others are of no class
	// Fields are written into struct pages after the blocks: damage, mostly.
	Fields []Field
	// RAM is the machine's memory, besides that of the kernel's own data at
	// KernelPhys; DefaultRAM if nil.
	RAM []mem.PhysRange
	// Absent is memory, too, but its contents are not in the core.
	Absent []mem.PhysRange
	// Info changes lines of VMCOREINFO: key to value, and "" leaves a line out.
	Info map[string]string
	// RawInfo, if not "", is VMCOREINFO, whatever else is said here.
	RawInfo string

	StructPage int                       // bytes of a struct page; 64 if 0
	Levels     int                       // of page tables, 4 or 5; 4 if 0
	KASLR      uint64                    // how far the image was moved, in bytes, a multiple of 2 MiB
	SME        uint64                    // the bit that marks encrypted memory in page table entries
	Vmemmap    uint64                    // size of the pages that struct pages are mapped by; 4 KiB if 0, or 2 MiB
	DirectMap  uint64                    // size of the pages that all memory is mapped by; 2 MiB if 0, or 1 GiB
	Model      Model                     // how struct pages are found
	Repeat     Repeat                    // sections that are there many times
	Unmapped   []mem.PFNRange            // page frames whose struct pages are not mapped
	MapMore    func(*Tables)             // adds to the page tables
	CPUs       int                       // notes with registers; 1 if 0
	Segments   func([]Segment) []Segment // changes the program headers' segments
}

// Repeat makes a large machine of a few sections: those from number First on,
// Count of them, are there Times times, one after the other. The struct pages of
// all their copies are the same memory.
type Repeat struct{ First, Count, Times uint64 }

// Model is the kernel's memory model.
type Model int

// The memory models.
const (
	Extreme   Model = iota // SPARSEMEM_EXTREME with vmemmap, as distributions have it
	Pointer                // the same, but the symbol is that of a pointer to the array
	Static                 // SPARSEMEM without EXTREME
	Scattered              // SPARSEMEM_EXTREME without vmemmap: each section's array lies elsewhere
	Flat                   // FLATMEM
)

// DefaultRAM is the memory of a machine whose spec does not say: page frames
// 0x100 to 0x3ff.
var DefaultRAM = []mem.PhysRange{{Start: 1 << 20, End: 4 << 20}}

// Where things are in a made-up machine.
const (
	// KernelPhys is where the kernel's own data begins in physical memory. The
	// memory behind it grows with what is in it.
	KernelPhys = mem.PhysAddr(16 << 20)
	// KernelMap is where the kernel image is mapped without KASLR, KernelLink
	// where KernelPhys is.
	KernelMap  = mem.VirtAddr(0xffffffff80000000)
	KernelLink = KernelMap + 0x1000000
	// SectionPages is the page frames in a memory section.
	SectionPages = mem.PFN(1) << (sectionBits - pageShift)

	pageShift   = 12
	pageSize    = 1 << pageShift
	sectionBits = 27
)

// CrashTime is when every made-up machine crashed.
const CrashTime = 1700000000

// Core is a finished core.
type Core struct {
	File []byte // the ELF core
	Info string // VMCOREINFO
	// Root is the page table of the highest level, Sections the address that
	// SYMBOL(mem_section) gives.
	Root     mem.PhysAddr
	Sections mem.VirtAddr

	b       *builder
	offsets []Segment
}

// Build makes the core.
func (k Kernel) Build() *Core {
	b := newBuilder(&k)
	b.buildStructPages()
	b.buildSections()
	b.buildUtsname()
	if k.MapMore != nil {
		k.MapMore(&b.tables)
	}
	info := b.vmcoreinfo()
	segments := b.segments()
	notes := Note(binary.LittleEndian, "CORE", 1, make([]byte, 336)) // struct elf_prstatus
	notes = slices.Repeat(notes, max(k.CPUs, 1))
	notes = append(notes, Note(binary.LittleEndian, "VMCOREINFO", 0, []byte(info))...)
	c := &Core{Info: info, Root: b.tables.Root, Sections: b.sectionSymbol, b: b}
	c.File, c.offsets = ELF{Notes: notes, Segments: segments}.build()
	return c
}

// Write makes the core and puts it into a file that lives as long as the test.
func (k Kernel) Write(t testing.TB) string {
	t.Helper()
	return k.Build().Write(t)
}

// Write puts the core into a file that lives as long as the test.
func (c *Core) Write(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(path, c.File, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Phys returns the bytes of the file from physical address addr to the end of
// the page, to look at or damage.
func (c *Core) Phys(addr mem.PhysAddr) []byte {
	for _, s := range c.offsets {
		if addr >= s.Phys && uint64(addr-s.Phys) < uint64(len(s.Data)) {
			n := pageSize - uint64(addr)%pageSize
			return c.File[s.Offset+uint64(addr-s.Phys):][:n]
		}
	}
	panic(fmt.Sprintf("coretest: no memory at %v", addr))
}

// Virt is Phys for a virtual address. It knows what was mapped; it does not
// look at the page tables.
func (c *Core) Virt(addr mem.VirtAddr) []byte {
	phys, ok := c.Lookup(addr)
	if !ok {
		panic(fmt.Sprintf("coretest: nothing mapped at %v", addr))
	}
	return c.Phys(phys)
}

// Lookup returns what virt was mapped to, without looking at the page tables.
func (c *Core) Lookup(virt mem.VirtAddr) (mem.PhysAddr, bool) { return c.b.tables.Lookup(virt) }

// PageAddr returns the address of the struct page of pfn.
func (c *Core) PageAddr(pfn mem.PFN) mem.VirtAddr { return c.b.pageAddr(pfn) }

// Contents fills p with what memory has at a page frame of the machine that the
// kernel's own data is not in: a page of zeros for every fourth.
func Contents(p []byte, pfn mem.PFN) {
	clear(p)
	if pfn%4 == 0 {
		return
	}
	for i := 0; i+8 <= len(p); i += 8 {
		binary.LittleEndian.PutUint64(p[i:], uint64(pfn)*0x9e3779b97f4a7c15+uint64(i/512))
	}
}

// vmcoreinfo returns the note's text.
func (b *builder) vmcoreinfo() string {
	k := b.k
	if k.RawInfo != "" {
		return k.RawInfo
	}
	lines := strings.Split(strings.TrimSpace(b.generated()+k.Era.info), "\n")
	var text strings.Builder
	change := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&text, "%s=%s\n", key, value)
		}
	}
	seen := map[string]bool{}
	for _, line := range lines {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if v, ok := k.Info[key]; ok {
			value = v
		}
		change(key, value)
		seen[key] = true
	}
	for key, value := range k.Info {
		if !seen[key] {
			change(key, value)
		}
	}
	return text.String()
}

// generated returns the lines that depend on the machine.
func (b *builder) generated() string {
	k := b.k
	image := uint64(KernelLink) + k.KASLR
	l5 := 0
	if b.tables.Levels == 5 {
		l5 = 1
	}
	return fmt.Sprintf(`OSRELEASE=%s
PAGESIZE=4096
CRASHTIME=%d
KERNELOFFSET=%x
SYMBOL(_stext)=%x
SYMBOL(init_uts_ns)=%x
SYMBOL(swapper_pg_dir)=%x
SYMBOL(init_top_pgt)=%x
NUMBER(phys_base)=%d
NUMBER(pgtable_l5_enabled)=%d
NUMBER(KERNEL_IMAGE_SIZE)=1073741824
NUMBER(sme_mask)=%d
SIZE(page)=%d
%s`, k.Era.Release, CrashTime, k.KASLR, image, image+utsOffset, image+rootOffset, image+rootOffset,
		int64(KernelPhys)-int64(image-uint64(KernelMap)), l5, k.SME, b.structPage, b.modelInfo)
}

// segments returns the core's PT_LOADs: the kernel image, which overlaps the
// memory that it lies in, and the memory.
func (b *builder) segments() []Segment {
	image := b.memory.read(KernelPhys, imagePages*pageSize)
	segments := []Segment{{Phys: KernelPhys, Virt: KernelLink + mem.VirtAddr(b.k.KASLR), Data: image}}
	for _, r := range b.ram() {
		segments = append(segments, Segment{
			Phys: r.Start, Virt: b.direct + mem.VirtAddr(r.Start),
			Data: b.memory.read(r.Start, r.Len()),
		})
	}
	for _, r := range b.k.Absent {
		segments = append(segments, Segment{Phys: r.Start, Virt: b.direct + mem.VirtAddr(r.Start), MemSize: r.Len()})
	}
	if b.k.Segments != nil {
		segments = b.k.Segments(segments)
	}
	return segments
}
