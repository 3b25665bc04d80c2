// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package collector

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// TestRecoverInfo has cores whose VMCOREINFO note is damaged, with copies of it
// in some pages.
func TestRecoverInfo(t *testing.T) {
	fill := func(from string, with byte) func(string) string {
		return func(info string) string {
			at := strings.Index(info, from)
			return info[:at] + strings.Repeat(string(with), len(info)-at)
		}
	}
	for _, test := range []struct {
		name    string
		damage  func(info string) string
		copies  []func(info string) string
		damaged bool
		found   bool
	}{
		{"nothing is wrong", strings.Clone, nil, false, false},
		{"all of it", fill("", '\xff'), []func(string) string{strings.Clone}, true, true},
		{"the second half", fill("SYMBOL(init_uts_ns)", '9'), []func(string) string{strings.Clone}, true, true},
		{"of another kernel", func(info string) string {
			return strings.Replace(info, "OSRELEASE=6", "OSRELEASE=5", 1)
		}, []func(string) string{strings.Clone}, true, true},
		{"the first copy, too", fill("", 0), []func(string) string{
			fill("PAGESIZE", 'x'),
			func(info string) string { return strings.Replace(info, "init_uts_ns)=", "init_uts_ns)=f", 1) },
			strings.Clone,
		}, true, true},
		{"every copy", fill("", 0), []func(string) string{fill("PAGESIZE", 'x')}, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			kernel := testKernel()
			made := kernel.Build()
			info := made.Info
			for i, damage := range test.copies {
				copy(made.Phys(coretest.DefaultRAM[0].Start+0x10000+mem.PhysAddr(i)<<12), damage(info)+"\x00")
			}
			note := bytes.Index(made.File, []byte(info))
			copy(made.File[note:], test.damage(info))
			path := filepath.Join(t.TempDir(), "core")
			if err := os.WriteFile(path, made.File, 0o600); err != nil {
				t.Fatal(err)
			}
			core := openCore(t, path)
			if got := InfoDamaged(core); got != test.damaged {
				t.Fatalf("InfoDamaged = %v, want %v", got, test.damaged)
			}
			if !test.damaged {
				return
			}
			err := RecoverInfo(t.Context(), core)
			if !test.found {
				if !errors.Is(err, ErrNoCopy) {
					t.Errorf("RecoverInfo = %v, want ErrNoCopy", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := string(core.Info.Raw()); got != info || InfoDamaged(core) {
				t.Errorf("RecoverInfo found %q, want %q", got, info)
			}
		})
	}
}

func TestRecoverInfoEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	because := errors.New("enough")
	cancel(because)
	if err := RecoverInfo(ctx, openCore(t, testKernel().Write(t))); !errors.Is(err, because) {
		t.Errorf("RecoverInfo with an ended context = %v, want %v", err, because)
	}
}

// TestRecoverReal finds the page in a real machine's memory.
func TestRecoverReal(t *testing.T) {
	paths, _ := filepath.Glob("../../build/cores/*.elf")
	if len(paths) == 0 {
		t.Skip("no core in build/cores")
	}
	for _, path := range paths {
		core := openCore(t, path)
		release := core.Info.OSRelease()
		core.Info, core.InfoErr = nil, vmcore.ErrNoInfo
		if err := RecoverInfo(t.Context(), core); err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if got := core.Info.OSRelease(); got != release || core.Info.CrashTime() == 0 {
			t.Errorf("%s: a copy for %s, crashed at %d, want %s and a time", path, got, core.Info.CrashTime(), release)
		}
	}
}
