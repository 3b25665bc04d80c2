// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kstruct_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// cores returns the paths of real cores.
func cores(t *testing.T) []string {
	t.Helper()
	dir := os.Getenv("UKDUMP_CORES")
	if dir == "" {
		dir = "../../build/cores"
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.elf"))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Skipf("no real cores in %s (set UKDUMP_CORES)", dir)
	}
	return paths
}

// TestTables takes every layout out of the VMCOREINFO of real kernels and asks
// their own tables for it. VMCOREINFO, written by the kernel's compiler, says
// what the answers must be.
func TestTables(t *testing.T) {
	for _, path := range cores(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			core, err := vmcore.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer core.Close()
			space, err := addrxlat.New(core)
			if err != nil {
				t.Fatal(err)
			}
			bare := parse(t, withoutLayouts(string(core.Info.Raw())))
			k := kstruct.New(bare, space, core.Order())
			k.Need("OFFSET(page.flags)")
			if line := k.Warning(); line != "" {
				if _, ok := core.Info.Symbol("kallsyms_names"); !ok {
					t.Skip("the kernel does not say where its symbol table is: ", line)
				}
				t.Fatal(line)
			}
			compare(t, k, string(core.Info.Raw()))
		})
	}
}

func parse(t *testing.T, text string) *vmcoreinfo.Info {
	t.Helper()
	info, err := vmcoreinfo.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// withoutLayouts returns VMCOREINFO without the keys that the kernel's own
// tables may know.
func withoutLayouts(raw string) string {
	var text strings.Builder
	for line := range strings.Lines(raw) {
		key, _, _ := strings.Cut(line, "=")
		switch kind, name, _ := strings.Cut(key, "("); {
		case kind == "SIZE", kind == "OFFSET", kind == "LENGTH":
		case kind == "NUMBER" && (strings.HasPrefix(name, "PG_") || strings.HasPrefix(name, "PAGE_")):
		case kind == "SYMBOL" && name == "mem_section)":
		default:
			text.WriteString(line)
		}
	}
	return text.String()
}

// compare asks k for everything in VMCOREINFO.
func compare(t *testing.T, k *kstruct.Kernel, raw string) {
	t.Helper()
	answered := 0
	for line := range strings.Lines(raw) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		kind, name, _ := strings.Cut(strings.TrimSuffix(key, ")"), "(")
		var got string
		var ok bool
		switch kind {
		case "SIZE":
			var n uint64
			n, ok = k.Size(name)
			got = strconv.FormatUint(n, 10)
		case "OFFSET":
			var n uint64
			n, ok = k.Offset(name)
			got = strconv.FormatUint(n, 10)
		case "LENGTH":
			var n uint64
			n, ok = k.Length(name)
			got = strconv.FormatUint(n, 10)
		case "NUMBER":
			if !strings.HasPrefix(name, "PG_") && !strings.HasPrefix(name, "PAGE_") {
				continue
			}
			var n int64
			n, ok = k.Number(name)
			got = strconv.FormatInt(n, 10)
		default:
			continue
		}
		if ok {
			answered++
			if got != value {
				t.Errorf("%s = %s, want VMCOREINFO's %s", key, got, value)
			}
		} else if needed(key) {
			t.Errorf("%s is not known", key)
		}
	}
	t.Logf("%d keys of VMCOREINFO are known to the kernel's own tables", answered)
}

// needed reports whether the filter cannot do without a key.
func needed(key string) bool {
	switch key {
	case "SIZE(page)", "OFFSET(page.flags)", "OFFSET(page.mapping)", "OFFSET(page._mapcount)", "OFFSET(page.private)",
		"SIZE(mem_section)", "OFFSET(mem_section.section_mem_map)", "LENGTH(zone.free_area)",
		"NUMBER(PG_lru)", "NUMBER(PG_private)", "NUMBER(PG_head_mask)":
		return true
	}
	return false
}

// TestNoTables asks a kernel without tables. What VMCOREINFO has is known, the
// warning names the first key that it has not.
func TestNoTables(t *testing.T) {
	core, err := vmcore.Open(coretest.Kernel{Era: coretest.Linux6_1()}.Write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	space, err := addrxlat.New(core)
	if err != nil {
		t.Fatal(err)
	}
	k := kstruct.New(core.Info, space, core.Order())
	k.Need("SIZE(page)", "OFFSET(page.compound_head) OFFSET(page.compound_info)")
	if line := k.Warning(); line != "" {
		t.Errorf("Warning() = %q for keys that are there", line)
	}
	k.Need("SIZE(page)", "NUMBER(none) NUMBER(nothing)", "SIZE(less)")
	if line := k.Warning(); !strings.Contains(line, "NUMBER(none) NUMBER(nothing)") || strings.Contains(line, "SIZE") {
		t.Errorf("Warning() = %q, want one that names the first keys missing", line)
	}
	if n, ok := k.Size("page"); n != 64 || !ok {
		t.Errorf("Size(page) = %d, %v, want 64, true", n, ok)
	}
	if n, ok := k.Number("PG_lru"); n != 4 || !ok {
		t.Errorf("Number(PG_lru) = %d, %v, want 4, true", n, ok)
	}
	for what, ok := range map[string]bool{
		"symbol": second(k.Symbol("none")), "size": second(k.Size("none")), "offset": second(k.Offset("a.b")),
		"length": second(k.Length("a.b")), "number": second(k.Number("PAGE_NONE_MAPCOUNT_VALUE")),
	} {
		if ok {
			t.Errorf("a %s that does not exist is known", what)
		}
	}
}

func second[T any](_ T, ok bool) bool { return ok }
