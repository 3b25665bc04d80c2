// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kallsyms_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/kallsyms"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// TestRealCores compares the symbol tables of real cores with what the kernels'
// images say of the symbols that they export to modules.
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
	space, err := addrxlat.New(core)
	if err != nil {
		t.Skip(err)
	}
	if _, ok := core.Info.Symbol("kallsyms_names"); !ok {
		t.Skipf("%s does not say where its symbols are (6.0 and later do)", core.Info.OSRelease())
	}
	table, err := kallsyms.Open(core.Info, space, core.Order())
	if err != nil {
		t.Fatal(err)
	}

	addrs := map[string][]mem.VirtAddr{}
	last := mem.VirtAddr(0)
	err = table.Each(func(s kallsyms.Symbol) bool {
		if s.Addr < last {
			t.Errorf("%s at %v comes behind one at %v", s.Name, s.Addr, last)
		}
		last = s.Addr
		addrs[s.Name] = append(addrs[s.Name], s.Addr)
		return !t.Failed()
	})
	if err != nil {
		t.Fatal(err)
	}

	release := core.Info.OSRelease()
	image := vmlinux(t, filepath.Join(filepath.Dir(path), "../kernel", release, "boot/vmlinuz-"+release))
	exported := exportedSymbols(t, image)
	if len(exported) < 5000 {
		t.Fatalf("the image exports %d symbols: the test tests nothing", len(exported))
	}
	for name, addr := range exported {
		if addr >= 0xffffffff80000000 { // not an offset into a CPU's area
			addr += mem.VirtAddr(core.Info.KernelOffset())
		}
		if !slices.Contains(addrs[name], addr) {
			t.Errorf("%s at %v, want %v", name, addrs[name], addr)
		}
	}
	btf := image.Section(".BTF")
	found, err := table.Find("__start_BTF", "__stop_BTF")
	if err != nil {
		t.Fatal(err)
	}
	start := mem.VirtAddr(btf.Addr + core.Info.KernelOffset())
	if stop := start + mem.VirtAddr(btf.Size); found[0].Addr != start || found[1].Addr != stop {
		t.Errorf("BTF from %v to %v, want %v to %v", found[0].Addr, found[1].Addr, start, stop)
	}
	t.Logf("%d symbols, %d of them exported", table.Len(), len(exported))
}

// vmlinux unpacks the ELF image in an x86 bzImage (Documentation/arch/x86/boot.rst).
func vmlinux(t *testing.T, path string) *elf.File {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Skipf("no kernel image to compare with: %v", err)
	}
	setup := (int(b[0x1f1]) + 1) * 512 // setup_sects
	payload := b[setup:][binary.LittleEndian.Uint32(b[0x248:]):][:binary.LittleEndian.Uint32(b[0x24c:])]
	var unpack *exec.Cmd
	switch {
	case bytes.HasPrefix(payload, []byte("\x28\xb5\x2f\xfd")):
		unpack = exec.Command("zstd", "-dc")
	case bytes.HasPrefix(payload, []byte("\xfd7zXZ")):
		unpack = exec.Command("xz", "-dc")
	case bytes.HasPrefix(payload, []byte("\x02\x21\x4c\x18")):
		unpack = exec.Command("lz4", "-dc")
	case bytes.HasPrefix(payload, []byte("\x1f\x8b")):
		unpack = exec.Command("gzip", "-dc")
	default:
		t.Skipf("%s is packed in an unknown way", path)
	}
	unpack.Stdin = bytes.NewReader(payload[:len(payload)-4]) // behind it is its size
	image, err := unpack.Output()
	if err != nil {
		t.Skipf("unpack %s: %v", path, err)
	}
	file, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// exportedSymbols reads __ksymtab and __ksymtab_gpl: for each symbol the
// distances to its address and to its name (struct kernel_symbol in
// include/linux/export-internal.h).
func exportedSymbols(t *testing.T, image *elf.File) map[string]mem.VirtAddr {
	t.Helper()
	strs := image.Section("__ksymtab_strings")
	text, err := strs.Data()
	if err != nil {
		t.Fatal(err)
	}
	symbols := map[string]mem.VirtAddr{}
	for _, s := range image.Sections {
		if s.Name != "__ksymtab" && s.Name != "__ksymtab_gpl" {
			continue
		}
		b, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		distance := func(at int) uint64 {
			return s.Addr + uint64(at) + uint64(int32(image.ByteOrder.Uint32(b[at:])))
		}
		for at := 0; at+12 <= len(b); at += 12 {
			name, _, _ := strings.Cut(string(text[distance(at+4)-strs.Addr:]), "\x00")
			symbols[name] = mem.VirtAddr(distance(at))
		}
	}
	return symbols
}
