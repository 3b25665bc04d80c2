// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package makedumpfile

import (
	"bytes"
	"debug/elf"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// usageCore has some pages of every kind, and two that failed, which are in no
// row of the table.
func usageCore(t *testing.T) string {
	return coretest.Kernel{Era: coretest.Linux6_1(), Blocks: []coretest.Block{
		{PFN: 0x101, Is: coretest.LRU | coretest.Mapping, Times: 3},
		{PFN: 0x111, Is: coretest.LRU | coretest.Mapping | coretest.Private, Times: 5},
		{PFN: 0x121, Is: coretest.LRU | coretest.SwapBacked | coretest.Anon, Times: 7},
		{PFN: 0x140, Order: 4, Is: coretest.Buddy},
		{PFN: 0x161, Is: coretest.HWPoison, Times: 2},
	}}.Write(t)
}

// TestMemUsage compares the table with the report that makedumpfile prints of a
// dump at level 31: its own --mem-usage takes nothing but /proc/kcore.
func TestMemUsage(t *testing.T) {
	path := usageCore(t)
	var stdout, stderr bytes.Buffer
	if status := Run([]string{"--mem-usage", path}, nil, &stdout, &stderr); status != 0 || stderr.Len() > 0 {
		t.Fatalf("Run() = %d, %q, want 0 and no message", status, &stderr)
	}
	got := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^(\w+)\t+(\d+) *\t(yes|no)\t\t\S`).FindAllStringSubmatch(stdout.String(), -1) {
		got[row[1]] = row[2]
	}
	for _, line := range []string{"page size:\t\t4096", "Total pages on system:\t", "Total size on system:\t"} {
		if !strings.Contains(stdout.String(), "\n"+line) {
			t.Errorf("output %q, want a line %q in it", &stdout, line)
		}
	}

	program, err := exec.LookPath("makedumpfile")
	if err != nil {
		t.Skip(err)
	}
	report, err := exec.Command(program, "-d", "31", "--message-level", "16", path, filepath.Join(t.TempDir(), "dump")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, report)
	}
	// makedumpfile counts the pages of the kernel image twice, because two program
	// headers speak of them: that of the image and that of the memory it lies in.
	twice := segmentPages(t, path) - totalPages(t, stdout.String())
	if twice == 0 {
		t.Error("no page has two program headers: the test tests little")
	}
	for name, row := range map[string]string{
		"ZERO": "Pages filled with zero", "NON_PRI_CACHE": "Non-private cache pages", "PRI_CACHE": "Private cache pages",
		"USER": "User process data pages", "FREE": "Free pages", "KERN_DATA": "Remaining pages",
	} {
		found := regexp.MustCompile(row + ` *: 0x([0-9a-f]+)`).FindSubmatch(report)
		if found == nil {
			t.Fatalf("makedumpfile does not report %q:\n%s", row, report)
		}
		want, err := strconv.ParseUint(string(found[1]), 16, 64)
		if name == "KERN_DATA" {
			want -= twice
		}
		if err != nil || got[name] != strconv.FormatUint(want, 10) {
			t.Errorf("%s = %s pages, want %d", name, got[name], want)
		}
	}
}

// segmentPages returns how many pages of 4 KiB the program headers speak of.
func segmentPages(t *testing.T, path string) (n uint64) {
	t.Helper()
	core, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	for _, p := range core.Progs {
		if p.Type == elf.PT_LOAD {
			n += p.Memsz / 4096
		}
	}
	return n
}

// totalPages returns the number that stands below the table.
func totalPages(t *testing.T, table string) uint64 {
	t.Helper()
	_, rest, _ := strings.Cut(table, "Total pages on system:")
	n, err := strconv.ParseUint(strings.Fields(rest + " x")[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMemUsageFiles(t *testing.T) {
	for _, args := range [][]string{{"--mem-usage"}, {"--mem-usage", "a", "b"}} {
		var stdout, stderr bytes.Buffer
		if status := Run(args, nil, &stdout, &stderr); status != 1 || !strings.Contains(stderr.String(), "want one") {
			t.Errorf("Run(%q) = %d, %q, want 1 and a message", args, status, &stderr)
		}
	}
}

// TestWithout leaves out memory at the start, in the middle and beyond the end
// of a core.
func TestWithout(t *testing.T) {
	core, err := vmcore.Open(usageCore(t))
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	w := without{core.Source, []mem.PhysRange{{Start: 0, End: 0x102000}, {Start: 0x110000, End: 0x112000}, {Start: 1 << 40, End: 1 << 41}}}
	for name, fill := range map[string]func(vmcore.Source, *mem.Bitmap){
		"FillRAM":     func(s vmcore.Source, set *mem.Bitmap) { s.FillRAM(set, 12) },
		"FillPresent": func(s vmcore.Source, set *mem.Bitmap) { s.FillPresent(set, 12) },
	} {
		all, rest := mem.NewBitmap(1<<20), mem.NewBitmap(1<<20)
		fill(core.Source, all)
		fill(w, rest)
		if got, want := rest.Count(), all.Count()-4; got != want || rest.Test(0x101) || rest.Test(0x111) || !rest.Test(0x112) {
			t.Errorf("%s sets %d page frames, want %d without 0x100, 0x101, 0x110, 0x111", name, got, want)
		}
	}
}
