// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmlinux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// zoo has pages of every kind.
var zoo = []coretest.Block{
	{PFN: 0x101, Is: coretest.LRU | coretest.Mapping, Times: 3},
	{PFN: 0x111, Is: coretest.LRU | coretest.Mapping | coretest.Private, Times: 5},
	{PFN: 0x121, Is: coretest.LRU | coretest.SwapBacked | coretest.Anon, Times: 7},
	{PFN: 0x131, Is: coretest.Slab},
	{PFN: 0x140, Order: 4, Is: coretest.Buddy},
	{PFN: 0x160, Order: 3, Is: coretest.LRU | coretest.SwapBacked | coretest.Anon},
	{PFN: 0x171, Is: coretest.Offline},
	{PFN: 0x200, Order: 9, Is: coretest.HugeTLB},
}

// openCore makes the core of a kernel and opens it. Its memory has the variable
// that says which bit marks encrypted memory.
func openCore(t testing.TB, k coretest.Kernel) *vmcore.Core {
	t.Helper()
	k.Blocks, k.Model = zoo, coretest.Pointer
	segments := k.Segments
	k.Segments = func(s []coretest.Segment) []coretest.Segment {
		for i := range s {
			if at := coretest.KernelPhys + atSME; at >= s[i].Phys && uint64(at-s[i].Phys) < uint64(len(s[i].Data)) {
				binary.LittleEndian.PutUint64(s[i].Data[at-s[i].Phys:], k.SME)
			}
		}
		if segments != nil {
			s = segments(s)
		}
		return s
	}
	core, err := vmcore.Open(k.Write(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { core.Close() })
	return core
}

// select31 returns what is kept of a core at level 31, if info is its
// VMCOREINFO.
func select31(t *testing.T, core *vmcore.Core, info *vmcoreinfo.Info) *pagefilter.Selection {
	t.Helper()
	changed := *core
	changed.Info = info
	space, err := addrxlat.New(&changed)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := memmap.Find(&changed, space)
	if err != nil {
		t.Fatal(err)
	}
	sel, err := pagefilter.Filter(t.Context(), &changed, space, pages, pagefilter.Options{
		Level: pagefilter.LevelMax, Threads: 1, Warn: func(line string) { t.Errorf("warning %q", line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return sel
}

// compare compares what is kept of a core with that made VMCOREINFO and with its
// own, and what both say of the kernel's place.
func compare(t *testing.T, core *vmcore.Core, made, own *vmcoreinfo.Info) {
	t.Helper()
	got, want := select31(t, core, made), select31(t, core, own)
	for p := mem.PFN(0); p < want.Kept.Len(); p++ {
		if got.Kept.Test(p) != want.Kept.Test(p) {
			t.Fatalf("page %#x is kept: %v, want %v", p, got.Kept.Test(p), want.Kept.Test(p))
		}
	}
	if got.Excluded != want.Excluded || want.Excluded == (pagefilter.Counts{}) {
		t.Errorf("excluded %+v, want %+v", got.Excluded, want.Excluded)
	}
	if made.KernelOffset() != own.KernelOffset() {
		t.Errorf("KERNELOFFSET=%x, want %x", made.KernelOffset(), own.KernelOffset())
	}
	for _, name := range []string{"init_uts_ns", "_stext", "init_top_pgt"} {
		a, _ := made.Symbol(name)
		if b, _ := own.Symbol(name); a != b {
			t.Errorf("SYMBOL(%s)=%v, want %v", name, a, b)
		}
	}
	for _, name := range []string{"phys_base", "pgtable_l5_enabled", "sme_mask"} {
		a, ok := made.Number(name)
		if b, _ := own.Number(name); a != b || !ok {
			t.Errorf("NUMBER(%s)=%d, want %d", name, a, b)
		}
	}
}

// withoutImage leaves a core what QEMU's dump-guest-memory knows: physical
// addresses.
func withoutImage(segments []coretest.Segment) []coretest.Segment {
	segments = segments[1:]
	for i := range segments {
		segments[i].Virt = 0
	}
	return segments
}

// TestRelocate finds the kernels of machines in their memory.
func TestRelocate(t *testing.T) {
	for _, era := range eras() {
		for _, machine := range []struct {
			name   string
			kernel coretest.Kernel
		}{
			{"no KASLR", coretest.Kernel{}},
			{"KASLR", coretest.Kernel{KASLR: 0x12e00000}},
			{"KASLR as far as it goes", coretest.Kernel{KASLR: 0x3ee00000}},
			{"5 levels", coretest.Kernel{KASLR: 0x200000, Levels: 5}},
			{"encrypted", coretest.Kernel{KASLR: 0x400000, SME: 1 << 47}},
			{"no program header of the image", coretest.Kernel{KASLR: 0x600000, Segments: withoutImage}},
			{"no program header, 5 levels, encrypted", coretest.Kernel{KASLR: 0x800000, Levels: 5, SME: 1 << 51, Segments: withoutImage}},
		} {
			t.Run(era.Release+"/"+machine.name, func(t *testing.T) {
				machine.kernel.Era = era
				core := openCore(t, machine.kernel)
				file := newKernelFile(era.Release, string(core.Info.Raw())).bytes(t)
				text, err := readInfo(bytes.NewReader(file))
				if err != nil {
					t.Fatal(err)
				}
				own := core.Info
				core.Info, core.InfoErr = nil, vmcore.ErrNoInfo
				made, err := Relocate(core, text)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, core, made, own)
			})
		}
	}
}

// TestRelocateTexts gives a core without VMCOREINFO texts of other sources.
func TestRelocateTexts(t *testing.T) {
	core := openCore(t, coretest.Kernel{Era: coretest.Linux6_1(), KASLR: 0x12e00000})
	own := core.Info
	core.Info = nil
	other := coretest.Kernel{Era: coretest.Linux6_1(), Model: coretest.Pointer, KASLR: 0x37000000, Levels: 5}
	for name, text := range map[string]string{
		"VMCOREINFO of this boot":    string(own.Raw()),
		"VMCOREINFO of another boot": other.Build().Info,
		// It has no page types, but KERNELOFFSET= if it is made on a live system.
		"makedumpfile -g": without(coretest.Kernel{Era: coretest.Linux6_1(), Model: coretest.Pointer}.Build().Info,
			"CRASHTIME", "KERNELOFFSET", "NUMBER(phys_base)", "NUMBER(pgtable_l5_enabled)", "NUMBER(sme_mask)",
			"NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", "NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)"),
	} {
		t.Run(name, func(t *testing.T) {
			made, err := Relocate(core, []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			compare(t, core, made, own)
		})
	}
}

// without returns VMCOREINFO without some keys.
func without(info string, keys ...string) string {
	var b strings.Builder
	for line := range strings.Lines(info) {
		if key, _, _ := strings.Cut(line, "="); !strings.Contains(strings.Join(keys, "\n")+"\n", key+"\n") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestMerge fills the gaps of a core's VMCOREINFO, and touches nothing else.
func TestMerge(t *testing.T) {
	core := openCore(t, coretest.Kernel{Era: coretest.Linux6_12(), KASLR: 0x12e00000})
	file := newKernelFile("6.12.0", string(core.Info.Raw())).bytes(t)
	text, err := readInfo(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	own := core.Info
	lacking := without(string(own.Raw()), "SIZE(page)", "OFFSET(page.flags)", "NUMBER(PG_lru)", "SYMBOL(mem_section)")
	if core.Info, err = vmcoreinfo.Parse([]byte(lacking + "NUMBER(PG_private)=14\nMORE=yes")); err != nil {
		t.Fatal(err)
	}
	made, err := Relocate(core, text)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, core, made, own)
	for key, want := range map[string]string{"MORE": "yes", "CRASHTIME": "1700000000", "SYMBOL(a_symbol_that_nobody_asks_for)": ""} {
		if got, _ := made.Value(key); got != want {
			t.Errorf("%s=%s, want %s", key, got, want)
		}
	}
}

func TestRelocateBad(t *testing.T) {
	core := openCore(t, coretest.Kernel{Era: coretest.Linux6_1(), KASLR: 0x12e00000})
	full := core.Info
	bare := *core
	bare.Info = nil
	arm := bare
	arm.Source = otherMachine{core.Source}
	good := coretest.Kernel{Era: coretest.Linux6_1(), Model: coretest.Pointer}.Build().Info
	edit := func(key, value string) string { return without(good, key) + key + "=" + value + "\n" }
	withID := *core
	var err error
	if withID.Info, err = vmcoreinfo.Parse(append(bytes.TrimRight(full.Raw(), "\x00\n"), "\nBUILD-ID=0123\n"...)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		core   *vmcore.Core
		text   string
		target error
		want   string // part of the error
	}{
		{"nothing", &bare, "", vmcoreinfo.ErrInvalid, "OSRELEASE"},
		{"no text", &bare, "\x7fELF\x02\x01\x01", vmcoreinfo.ErrInvalid, "OSRELEASE"},
		{"no _stext", &bare, without(good, "SYMBOL(_stext)"), vmcoreinfo.ErrInvalid, "_stext"},
		{"_stext elsewhere", &bare, edit("SYMBOL(_stext)", "1000"), vmcoreinfo.ErrInvalid, "_stext"},
		{"no init_uts_ns", &bare, without(good, "SYMBOL(init_uts_ns)"), vmcoreinfo.ErrInvalid, "init_uts_ns"},
		{"init_uts_ns before it", &bare, edit("SYMBOL(init_uts_ns)", "ffffffff80000000"), vmcoreinfo.ErrInvalid, "init_uts_ns"},
		{"init_uts_ns at the end of all addresses", &bare, edit("SYMBOL(init_uts_ns)", "ffffffffffffffff"), ErrMismatch, "6.1.0"},
		{"another release", &bare, edit("OSRELEASE", "6.1.1"), ErrMismatch, "6.1.1"},
		{"a longer release", &bare, edit("OSRELEASE", "6.1.0-1"), ErrMismatch, "6.1.0-1"},
		{"no page tables", &bare, without(good, "SYMBOL(init_top_pgt)", "SYMBOL(swapper_pg_dir)"), ErrMismatch, "6.1.0"},
		{"other page tables", &bare, edit("SYMBOL(init_top_pgt)", "ffffffff81002000"), ErrMismatch, "6.1.0"},
		{"another release than VMCOREINFO's", core, edit("OSRELEASE", "6.1.1"), ErrMismatch, "6.1.1"},
		{"another build than VMCOREINFO's", &withID, edit("BUILD-ID", "4567"), ErrMismatch, "4567"},
		{"another architecture", &arm, good, nil, "aarch64"},
	} {
		info, err := Relocate(test.core, []byte(test.text))
		if err == nil || test.target != nil && !errors.Is(err, test.target) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: Relocate() = %v, %v, want an error that wraps %v and names %s", test.name, info, err, test.target, test.want)
		}
	}
}

// otherMachine is a core of another architecture.
type otherMachine struct{ vmcore.Source }

func (otherMachine) Machine() string { return "aarch64" }

// TestRealCores compares, for real cores, what comes of their kernel files and
// of their own VMCOREINFO.
func TestRealCores(t *testing.T) {
	dir := os.Getenv("UKDUMP_CORES")
	if dir == "" {
		dir = "../../build/cores"
	}
	cores, err := filepath.Glob(filepath.Join(dir, "*.elf"))
	if err != nil {
		t.Fatal(err)
	}
	if len(cores) == 0 {
		t.Skipf("no real cores in %s (set UKDUMP_CORES)", dir)
	}
	for _, path := range cores {
		t.Run(filepath.Base(path), func(t *testing.T) { testRealCore(t, path) })
	}
}

func testRealCore(t *testing.T, path string) {
	core, err := vmcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	own := core.Info
	file := filepath.Join(filepath.Dir(path), "../debug", own.OSRelease(), "vmlinux")
	if _, err := os.Stat(file); err != nil {
		t.Skipf("no kernel file to read (vmtest/fetch debug): %v", err)
	}
	text, err := ReadInfo(file)
	if err != nil {
		t.Fatal(err)
	}
	compareKeys(t, text, own)

	core.Info = nil
	for _, source := range []struct {
		name string
		vmcore.Source
	}{
		{"program header", core.Source},
		{"search", onlyMemory{core.Source}},
	} {
		t.Run(source.name, func(t *testing.T) {
			bare := *core
			bare.Source = source.Source
			made, err := Relocate(&bare, text)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, &bare, made, own)
		})
	}
}

// onlyMemory is a core without program headers.
type onlyMemory struct{ vmcore.Source }

// compareKeys compares what a kernel file says with what the kernel said.
func compareKeys(t *testing.T, text []byte, own *vmcoreinfo.Info) {
	t.Helper()
	linked, err := vmcoreinfo.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		want, ok := own.Value(key)
		if !ok || key == "SYMBOL(mem_section)" { // the pointer's address; the kernel says the pointer
			continue
		}
		if name, isSymbol := strings.CutPrefix(key, "SYMBOL("); isSymbol {
			addr, _ := linked.Symbol(strings.TrimSuffix(name, ")"))
			value = fmt.Sprintf("%x", uint64(addr)+own.KernelOffset())
		}
		same++
		if value != want {
			t.Errorf("%s=%s, want %s", key, value, want)
		}
	}
	if same < 80 {
		t.Errorf("only %d keys to compare: the test tests little", same)
	}
	t.Logf("%d keys are the same", same)
}

// FuzzRelocate gives any text to a small core.
func FuzzRelocate(f *testing.F) {
	core := openCore(f, coretest.Kernel{Era: coretest.Linux6_1(), KASLR: 0x12e00000, Segments: withoutImage})
	core.Info = nil
	f.Add([]byte(coretest.Kernel{Era: coretest.Linux6_1(), Model: coretest.Pointer}.Build().Info))
	f.Add([]byte("OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff81000000\nSYMBOL(init_uts_ns)=ffffffff81000000\nSYMBOL(init_top_pgt)=ffffffff81001000\nOFFSET(uts_namespace.name)=0\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		info, err := Relocate(core, text)
		if err == nil && info.OSRelease() != "6.1.0" {
			t.Errorf("the core is found to be of %q", info.OSRelease())
		}
	})
}
