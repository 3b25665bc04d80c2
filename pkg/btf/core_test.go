// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package btf

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/kallsyms"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// TestRunningKernel compares with what another reader makes of the BTF of the
// kernel that runs the test.
func TestRunningKernel(t *testing.T) {
	raw, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	if err != nil {
		t.Skip(err)
	}
	compare(t, raw, binary.NativeEndian)
}

// TestRealCores does so with real cores, whose BTF is found through kallsyms.
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
		t.Run(filepath.Base(path), func(t *testing.T) {
			core, err := vmcore.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer core.Close()
			space, err := addrxlat.New(core)
			if err != nil {
				t.Skip(err)
			}
			table, err := kallsyms.Open(core.Info, space, core.Order())
			if err != nil {
				t.Skip(err)
			}
			found, err := table.Find("__start_BTF", "__stop_BTF")
			if err != nil {
				t.Fatal(err)
			}
			raw := make([]byte, found[1].Addr-found[0].Addr)
			if err := space.ReadVirt(raw, found[0].Addr); err != nil {
				t.Fatal(err)
			}
			compare(t, raw, core.Order())

			types, err := Open(space, found[0].Addr, found[1].Addr, core.Order())
			if err != nil {
				t.Fatal(err)
			}
			// What VMCOREINFO and BTF both say.
			for _, f := range [][2]string{{"page", "flags"}, {"page", "mapping"}, {"page", "_mapcount"}, {"page", "private"}, {"mem_section", "section_mem_map"}, {"zone", "free_area"}} {
				want, ok := core.Info.Offset(f[0] + "." + f[1])
				if got, err := types.Offset(f[0], f[1]); !ok || got != want || err != nil {
					t.Errorf("Offset(%v) = %d, %v, want VMCOREINFO's %d", f, got, err, want)
				}
			}
		})
	}
}

// always are types to compare whatever the sample.
var always = map[string]bool{
	"page": true, "folio": true, "zone": true, "free_area": true, "mem_section": true,
	"list_head": true, "task_struct": true, "module": true, "pageflags": true, "pagetype": true,
	"zone_stat_item": true, "printk_info": true, "prb_desc": true, "pt_regs": true, "rq": true,
}

// compare asks about every type in always and about a sample of the others.
func compare(t *testing.T, raw []byte, order binary.ByteOrder) {
	spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	types, err := open(raw, order)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	asked := 0
	check := func(q question, want int64) {
		asked++
		if got, err := q.ask(types); got != want || err != nil {
			t.Errorf("%v = %d, %v, want %d", q, got, err, want)
		}
	}
	i := 0
	for typ, err := range spec.All() {
		if err != nil {
			t.Fatal(err)
		}
		name := typ.TypeName()
		switch typ.(type) {
		case *btf.Struct, *btf.Union, *btf.Enum:
		default:
			continue
		}
		if i++; name == "" || seen[name] || i%97 != 0 && !always[name] {
			// Of types that share a name both readers must take the first.
			seen[name] = true
			continue
		}
		seen[name] = true
		size, err := btf.Sizeof(typ)
		if err != nil {
			t.Fatal(err)
		}
		check(question{"Size", name, ""}, int64(size))
		if enum, ok := typ.(*btf.Enum); ok {
			for _, v := range enum.Values {
				want := int64(v.Value)
				if enum.Size <= 4 && !enum.Signed {
					want = int64(uint32(v.Value))
				}
				check(question{"EnumValue", name, v.Name}, want)
			}
			continue
		}
		for _, m := range flatten(typ, 0) {
			if m.BitfieldSize == 0 {
				check(question{"Offset", name, m.Name}, int64(m.Offset.Bytes()))
			}
			if a, ok := btf.UnderlyingType(m.Type).(*btf.Array); ok {
				check(question{"Length", name, m.Name}, int64(a.Nelems))
			}
		}
	}
	if asked < 1000 {
		t.Errorf("only %d questions: the test tests little", asked)
	}
	t.Logf("%d questions about %d bytes", asked, len(raw))
}

// flatten returns the members of typ, which lies offset into another, and of
// the anonymous structures and unions in it.
func flatten(typ btf.Type, offset btf.Bits) []btf.Member {
	var members, all []btf.Member
	switch typ := btf.UnderlyingType(typ).(type) {
	case *btf.Struct:
		members = typ.Members
	case *btf.Union:
		members = typ.Members
	}
	for _, m := range members {
		m.Offset += offset
		if m.Name != "" {
			all = append(all, m)
			continue
		}
		all = append(all, flatten(m.Type, m.Offset)...)
	}
	return all
}

// BenchmarkOpen measures what the first question costs on the running kernel.
func BenchmarkOpen(b *testing.B) {
	raw, err := os.ReadFile("/sys/kernel/btf/vmlinux")
	if err != nil {
		b.Skip(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		types, err := open(raw, binary.NativeEndian)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := types.Offset("page", "flags"); err != nil {
			b.Fatal(err)
		}
	}
	runtime.KeepAlive(raw)
}
