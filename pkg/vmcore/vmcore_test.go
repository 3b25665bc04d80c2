// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmcore_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

func TestOpen(t *testing.T) {
	path := coretest.Kernel{Era: coretest.Linux6_1()}.Write(t)
	core, err := vmcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	if core.Path != path || core.Format != "ELF" || core.Machine() != "x86_64" || core.InfoErr != nil {
		t.Errorf("Open() = path %s, format %s, machine %s, %v", core.Path, core.Format, core.Machine(), core.InfoErr)
	}
	if got, want := core.Info.OSRelease(), "6.1.0"; got != want {
		t.Errorf("OSRelease() = %s, want %s", got, want)
	}
}

// TestOpenBad opens what is no core. Every error names the file.
func TestOpenBad(t *testing.T) {
	for _, test := range []struct {
		name     string
		contents string
		want     error
	}{
		{"empty", "", vmcore.ErrUnknownFormat},
		{"short", "\x7fE", vmcore.ErrUnknownFormat},
		{"text", "Lorem ipsum dolor sit amet\n", vmcore.ErrUnknownFormat},
		{"ELF that ends", "\x7fELF", elfcore.ErrFormat},
	} {
		path := filepath.Join(t.TempDir(), "core")
		if err := os.WriteFile(path, []byte(test.contents), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := vmcore.Open(path)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: Open() = %v, want an error that names the file and wraps %v", test.name, err, test.want)
		}
	}
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, pipe, "/dev/zero"} {
		if _, err := vmcore.Open(path); !errors.Is(err, vmcore.ErrUnknownFormat) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s) = %v, want an error that names it and wraps %v", path, err, vmcore.ErrUnknownFormat)
		}
	}
	if _, err := vmcore.Open(dir + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing = %v, want %v", err, fs.ErrNotExist)
	}
}

// TestInfoErr opens cores whose VMCOREINFO is of no use: that is not Open's
// business.
func TestInfoErr(t *testing.T) {
	for _, test := range []struct {
		name string
		core []byte
		want error
	}{
		{"no notes", coretest.ELF{Segments: []coretest.Segment{{Data: make([]byte, 4096)}}}.Bytes(), vmcore.ErrNoInfo},
		{"bad", coretest.Kernel{Era: coretest.Linux6_1(), RawInfo: "PAGESIZE=5\n"}.Build().File, vmcoreinfo.ErrInvalid},
	} {
		path := filepath.Join(t.TempDir(), "core")
		if err := os.WriteFile(path, test.core, 0o600); err != nil {
			t.Fatal(err)
		}
		core, err := vmcore.Open(path)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		defer core.Close()
		if core.Info != nil || !errors.Is(core.InfoErr, test.want) {
			t.Errorf("%s: Info = %v, %v, want nil, %v", test.name, core.Info, core.InfoErr, test.want)
		}
	}
}

// TestCatchFault cuts off a file under a mapped window.
func TestCatchFault(t *testing.T) {
	c := coretest.Kernel{Era: coretest.Linux6_1()}.Build()
	path := c.Write(t)
	core, err := vmcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	core.Source.(*elfcore.Core).SetAccess(elfcore.Map)
	view := core.NewView()
	defer view.Close()
	b, err := view.Slice(coretest.DefaultRAM[0].Start, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0
	add := func() error {
		for _, v := range b {
			sum += int(v)
		}
		return nil
	}
	if err := vmcore.CatchFault(add); err != nil || sum == 0 {
		t.Errorf("CatchFault() of a whole file = %v, sum %d", err, sum)
	}
	if err := os.Truncate(path, 8192); err != nil {
		t.Fatal(err)
	}
	if err := vmcore.CatchFault(add); !errors.Is(err, mem.ErrUnreadable) {
		t.Errorf("CatchFault() of a file that was cut off = %v, want %v", err, mem.ErrUnreadable)
	}
}

func TestCatchFaultOthers(t *testing.T) {
	want := errors.New("an error")
	if err := vmcore.CatchFault(func() error { return want }); err != want {
		t.Errorf("CatchFault() = %v, want %v", err, want)
	}
	for name, f := range map[string]func() error{
		"panic":       func() error { panic("bug") },
		"nil pointer": func() error { var b *bytes.Buffer; b.WriteByte(1); return nil },
		"index":       func() error { var b []byte; b[len(b)] = 1; return nil },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: the panic did not go on", name)
				}
			}()
			vmcore.CatchFault(f)
		}()
	}
}
