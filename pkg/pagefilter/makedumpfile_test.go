// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/pagefilter"
)

// knows is the first version of makedumpfile that knows the struct pages of an
// era. An era that is not here is known to all.
var knows = map[string]string{
	"6.4.0":  "1.7.3",
	"6.7.0":  "1.7.4",
	"6.9.0":  "1.7.6",
	"6.11.0": "1.7.6",
	"6.12.0": "1.7.7",
	"7.2.0":  "1.7.9++",
}

// makedumpfile returns the program to compare with, the one that the variable
// MAKEDUMPFILE names or the one of the machine, and its version.
func makedumpfile(t *testing.T) (program, version string) {
	t.Helper()
	program, err := exec.LookPath(cmp.Or(os.Getenv("MAKEDUMPFILE"), "makedumpfile"))
	if err != nil {
		t.Skipf("no makedumpfile to compare with: %v", err)
	}
	out, err := exec.Command(program, "-v").CombinedOutput()
	if err != nil {
		t.Fatalf("%s -v: %v\n%s", program, err, out)
	}
	if _, err := fmt.Sscanf(string(out), "makedumpfile: version %s", &version); err != nil {
		t.Fatalf("%s -v says %q, which has no version", program, out)
	}
	return program, version
}

// newer reports whether version a is at least b. A "++" is what follows a
// release.
func newer(a, b string) bool {
	for a != "" && b != "" {
		x, restA := versionPart(a)
		y, restB := versionPart(b)
		if x != y {
			return x > y
		}
		a, b = restA, restB
	}
	return b == ""
}

func versionPart(s string) (int, string) {
	digits := 0
	for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
		digits++
	}
	n, _ := strconv.Atoi(s[:digits])
	return n, s[min(digits+1, len(s)):]
}

// bitmaps reads the two bitmaps of a kdump-compressed dump, by the offsets of
// makedumpfile's diskdump_mod.h.
func bitmaps(t *testing.T, path string) (ram, kept []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("KDUMP   ")) {
		t.Fatalf("%s begins with %.8q, want a kdump-compressed dump", path, b)
	}
	field := func(off int) int { return int(binary.LittleEndian.Uint32(b[off:])) }
	blockSize, subBlocks, bitmapBlocks := field(428), field(432), field(436)
	bitmap := b[blockSize*(1+subBlocks):][:blockSize*bitmapBlocks]
	return bitmap[:len(bitmap)/2], bitmap[len(bitmap)/2:]
}

// TestAgainstMakedumpfile compares both bitmaps with those of makedumpfile, for
// every era that it knows and every level.
func TestAgainstMakedumpfile(t *testing.T) {
	program, version := makedumpfile(t)
	for _, era := range coretest.Eras() {
		t.Run(era.Release, func(t *testing.T) {
			if need := knows[era.Release]; !newer(version, need) {
				t.Skipf("makedumpfile %s does not know the struct pages of Linux %s, %s does", version, era.Release, need)
			}
			t.Parallel()
			k, animals := zooKernel(era)
			path := k.Write(t)
			for level := range pagefilter.LevelMax + 1 {
				compare(t, program, path, level, animals)
			}
		})
	}
}

// machines is the ways in which the machines of the zoo can differ.
var machines = []struct {
	name   string
	change func(k *coretest.Kernel)
	since  string // the version of makedumpfile that has it right
}{
	{"5 levels of page tables", func(k *coretest.Kernel) { k.Levels = 5 }, ""},
	{"encrypted memory", func(k *coretest.Kernel) { k.SME = 1 << 47 }, ""},
	{"no KASLR", func(k *coretest.Kernel) { k.KASLR = 0 }, ""},
	{"struct pages mapped by 2 MiB", func(k *coretest.Kernel) { k.Vmemmap = 2 << 20 }, ""},
	{"memory mapped by 1 GiB", func(k *coretest.Kernel) { k.DirectMap = 1 << 30 }, ""},
	{"struct pages of 56 bytes", func(k *coretest.Kernel) { k.StructPage = 56 }, ""},
	{"struct pages of 80 bytes", func(k *coretest.Kernel) { k.StructPage = 80 }, ""},
	{"sparse, pointer to the sections", func(k *coretest.Kernel) { k.Model = coretest.Pointer }, ""},
	{"sparse, one array of sections", func(k *coretest.Kernel) { k.Model = coretest.Static }, ""},
	{"sparse without vmemmap", func(k *coretest.Kernel) { k.Model = coretest.Scattered }, ""},
	{"flat", func(k *coretest.Kernel) { k.Model = coretest.Flat }, ""},
	{"absent memory", func(k *coretest.Kernel) {
		k.Absent = []mem.PhysRange{{Start: 32 << 20, End: 33 << 20}}
		k.Blocks = append(k.Blocks, coretest.Block{PFN: 0x2010, Is: coretest.LRU})
	}, ""},
	{"memory that does not fill its pages", func(k *coretest.Kernel) {
		k.RAM = append(k.RAM, mem.PhysRange{Start: 40<<20 + 0x234, End: 40<<20 + 0x3456})
	}, "1.7.6"},
	{"memory far up", func(k *coretest.Kernel) {
		k.RAM = append(k.RAM, mem.PhysRange{Start: 20 << 30, End: 20<<30 + 4<<20})
		k.Blocks = append(k.Blocks, coretest.Block{PFN: 20<<18 + 0x10, Is: coretest.LRU})
	}, ""},
}

// TestMachines filters the zoo of machines that differ in everything but struct
// pages.
func TestMachines(t *testing.T) {
	for _, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			era := coretest.Linux6_1()
			k, animals := zooKernel(era)
			m.change(&k)
			path := k.Write(t)
			sel := filterCore(t, path, pagefilter.Options{Level: pagefilter.LevelMax, Threads: 2})
			for _, a := range animals {
				r := a.pages()
				want := a.want == nil
				if got := sel.Kept.CountRange(r); got != 0 && !want || want && got != r.Len() {
					t.Errorf("%d of %d pages of %q are kept, want all: %v", got, r.Len(), a.name, want)
				}
			}
			program, version := makedumpfile(t)
			if !newer(version, m.since) {
				t.Skipf("makedumpfile %s has this wrong", version)
			}
			compare(t, program, path, pagefilter.LevelMax, animals)
		})
	}
}

// compare holds our bitmaps of a core against makedumpfile's.
func compare(t *testing.T, program, core string, level int, animals []animal) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "dump")
	cmd := exec.Command(program, "-c", "-d", strconv.Itoa(level), "--message-level", "4", core, out)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, msg)
	}
	ram, kept := bitmaps(t, out)
	sel := filterCore(t, core, pagefilter.Options{Level: level, Threads: 2})
	for _, b := range []struct {
		name string
		got  *mem.Bitmap
		want []byte
	}{{"memory", sel.RAM, ram}, {"kept", sel.Kept, kept}} {
		for p := range mem.PFN(len(b.want) * 8) {
			want := b.want[p/8]&(1<<(p%8)) != 0
			if got := b.got.Test(p); got != want {
				t.Errorf("level %d: page %#x of %s: %s = %v, makedumpfile has %v",
					level, p, nameOf(animals, p), b.name, got, want)
			}
		}
		if got := b.got.NextSet(mem.PFN(len(b.want) * 8)); got < b.got.Len() {
			t.Errorf("level %d: %s has page %#x, makedumpfile's bitmap ends before it", level, b.name, got)
		}
	}
}
