// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package collector

import (
	"bytes"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// foreignDump is a dump of a program that knows nothing of the kernel in it.
type foreignDump struct {
	vmcore.Source
	header diskdump.Meta
}

func (d foreignDump) Meta() *diskdump.Meta { return &d.header }

// TestMetaForeign fills in what QEMU's dump-guest-memory leaves empty in its
// headers, and nothing else.
func TestMetaForeign(t *testing.T) {
	core, err := vmcore.Open(coretest.Kernel{Era: coretest.Linux6_1(), KASLR: 0x200000}.Write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	want := meta(core)
	core.Source = foreignDump{core.Source, diskdump.Meta{Uts: diskdump.Utsname{Machine: "x86_64"}, CPUs: 7, Time: 8}}
	got := meta(core)
	if got.Uts != want.Uts || got.PhysBase != want.PhysBase || got.Uts.Release != "6.1.0" || got.PhysBase == 0 {
		t.Errorf("meta() = %+v, %#x, want %+v, %#x", got.Uts, got.PhysBase, want.Uts, want.PhysBase)
	}
	if got.CPUs != 7 || got.Time != 8 {
		t.Errorf("%d CPUs, time %d, want the header's 7 and 8", got.CPUs, got.Time)
	}
	full := diskdump.Meta{Uts: diskdump.Utsname{Release: "5.0", Version: "#1"}, PhysBase: 9}
	core.Source = foreignDump{core.Source, full}
	if got := meta(core); got.Uts != full.Uts || got.PhysBase != 9 {
		t.Errorf("meta() = %+v, %d, want the header's %+v, 9", got.Uts, got.PhysBase, full.Uts)
	}
}

// TestNotes has VMCOREINFO that is the core's, another, or none.
func TestNotes(t *testing.T) {
	core, err := vmcore.Open(coretest.Kernel{Era: coretest.Linux6_1(), CPUs: 3}.Write(t))
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	verbatim := core.Notes()
	if got := notes(core); !bytes.Equal(got, verbatim) {
		t.Errorf("notes() has %d bytes, want the core's %d as they are", len(got), len(verbatim))
	}
	if core.Info, err = vmcoreinfo.Parse([]byte("OSRELEASE=6.1.0\nPAGESIZE=4096\n")); err != nil {
		t.Fatal(err)
	}
	got := notes(core)
	note, _ := elfcore.FindVMCoreInfo(got, core.Order())
	if cpus := elfcore.CountCPUs(got, core.Order()); string(note.Desc) != string(core.Info.Raw()) || cpus != 3 {
		t.Errorf("notes() has %d CPUs and VMCOREINFO %q, want 3 and %q", cpus, note.Desc, core.Info.Raw())
	}
	core.Info = nil
	if got := notes(core); !bytes.Equal(got, verbatim) {
		t.Errorf("notes() without VMCOREINFO has %d bytes, want the core's %d as they are", len(got), len(verbatim))
	}
}
