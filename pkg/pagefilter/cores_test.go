// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// TestUnknownKernel filters real cores as if their kernels had stopped to say
// anything about their memory management: everything comes from their own
// tables, and the bitmaps are the same.
func TestUnknownKernel(t *testing.T) {
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
		t.Run(filepath.Base(path), func(t *testing.T) {
			core, err := vmcore.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer core.Close()
			if _, ok := core.Info.Symbol("kallsyms_names"); !ok {
				t.Skip("the kernel does not say where its symbol table is")
			}
			want := filterWith(t, core, core.Info)
			got := filterWith(t, core, withoutMemory(t, core.Info))
			for p := mem.PFN(0); p < want.Kept.Len(); p++ {
				if got.Kept.Test(p) != want.Kept.Test(p) {
					t.Fatalf("page %#x is kept: %v, want %v", p, got.Kept.Test(p), want.Kept.Test(p))
				}
			}
			if got.Excluded != want.Excluded {
				t.Errorf("excluded %+v, want %+v", got.Excluded, want.Excluded)
			}
		})
	}
}

func filterWith(t *testing.T, core *vmcore.Core, info *vmcoreinfo.Info) *pagefilter.Selection {
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
		Level: pagefilter.LevelMax, Threads: 2, Warn: func(line string) { t.Errorf("warning %q", line) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return sel
}

// withoutMemory returns VMCOREINFO without what is about memory management.
func withoutMemory(t *testing.T, info *vmcoreinfo.Info) *vmcoreinfo.Info {
	t.Helper()
	words := []string{"page", "PAGE_", "PG_", "zone", "free_area", "mem_section", "mem_map", "SECTION", "PHYSMEM"}
	var text strings.Builder
	for line := range strings.Lines(string(info.Raw())) {
		about := false
		for _, word := range words {
			about = about || strings.Contains(line, word)
		}
		if !about || strings.HasPrefix(line, "PAGESIZE") || strings.HasPrefix(line, "NUMBER(pgtable") {
			text.WriteString(line)
		}
	}
	bare, err := vmcoreinfo.Parse([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return bare
}
