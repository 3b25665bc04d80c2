// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/dump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// testKernel is a machine with 3 MiB of memory, of which a third is page cache.
func testKernel() coretest.Kernel {
	return coretest.Kernel{
		Era: coretest.Linux6_1(), KASLR: 0x3200000, CPUs: 3,
		Blocks: []coretest.Block{{PFN: 0x200, Is: coretest.LRU, Times: 0x100}},
	}
}

func openCore(t testing.TB, path string) *vmcore.Core {
	t.Helper()
	core, err := vmcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { core.Close() })
	return core
}

// smallFile is a file on a device that has room for so many bytes.
type smallFile struct {
	*os.File
	room int64
	full error // what it says when there is none
}

func (f smallFile) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.room {
		n, _ := f.File.WriteAt(p[:max(f.room-off, 0)], off)
		return n, f.full
	}
	return f.File.WriteAt(p, off)
}

func newFile(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "dump"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// openDump opens what was saved.
func openDump(t testing.TB, f *os.File) *diskdump.Dump {
	t.Helper()
	d, err := diskdump.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// checkPages checks the contents of the machine's memory in the dump: pages in
// missing are not there, for the reason why.
func checkPages(t *testing.T, d *diskdump.Dump, missing mem.PFNRange, why error) {
	t.Helper()
	got, want := make([]byte, 4096), make([]byte, 4096)
	for p := mem.PFN(0x100); p < 0x400; p++ {
		err := d.ReadPhys(got, p.Phys(12))
		if p >= missing.Start && p < missing.End {
			if !errors.Is(err, why) {
				t.Fatalf("page %#x: %v, want %v", p, err, why)
			}
			continue
		}
		coretest.Contents(want, p)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("page %#x: %v; as it was: %v", p, err, bytes.Equal(got, want))
		}
	}
}

var cachePages = mem.PFNRange{Start: 0x200, End: 0x300}

func TestSave(t *testing.T) {
	for _, test := range []struct {
		name    string
		opts    Options
		missing mem.PFNRange
		level   int
	}{
		{"nothing asked for", Options{}, mem.PFNRange{}, 0},
		{"level 1", Options{Levels: []int{1}, Codec: compress.Zlib}, mem.PFNRange{}, 1},
		{"level 31", Options{Levels: []int{31}, Codec: compress.Zstd, Threads: 1}, cachePages, 31},
		{"the first of two levels", Options{Levels: []int{31, 1}, Codec: compress.Snappy, Threads: 2}, cachePages, 31},
		{"no mapping", Options{Levels: []int{2}, NoMmap: true}, cachePages, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			core, out := openCore(t, testKernel().Write(t)), newFile(t)
			var steps [2]atomic.Uint64 // the most that was done in each
			test.opts.Progress = func(p Progress) {
				i := slices.Index([]Step{Filtering, Writing}, p.Step)
				steps[i].Store(max(steps[i].Load(), p.Done))
				if p.Done > p.Total {
					t.Errorf("progress of %d of %d", p.Done, p.Total)
				}
			}
			test.opts.Warn = func(line string) { t.Errorf("warning %q", line) }
			report, err := Save(context.Background(), core, out, test.opts)
			if err != nil {
				t.Fatal(err)
			}
			d := openDump(t, out)
			checkPages(t, d, test.missing, mem.ErrExcluded)
			info, err := out.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if report.Level != test.level || report.Incomplete() || report.Bytes != info.Size() ||
				report.Excluded.Cache != test.missing.Len() || report.RAM-report.Kept != test.missing.Len() {
				t.Errorf("report %+v, want level %d, %d bytes, %d pages of cache excluded",
					report, test.level, info.Size(), test.missing.Len())
			}
			if steps[0].Load() == 0 || steps[1].Load() != report.Kept {
				t.Errorf("progress: %d pages filtered, %d written, want some and %d", steps[0].Load(), steps[1].Load(), report.Kept)
			}
		})
	}
}

// TestMeta checks what the dump says of the machine.
func TestMeta(t *testing.T) {
	core, out := openCore(t, testKernel().Write(t)), newFile(t)
	if _, err := Save(context.Background(), core, out, Options{Levels: []int{31}}); err != nil {
		t.Fatal(err)
	}
	m := openDump(t, out).Meta()
	got := fmt.Sprint(m.Uts, m.Time, m.CPUs, int64(m.PhysBase), m.Level, m.BlockSize, len(m.Notes))
	want := fmt.Sprint(diskdump.Utsname{
		Sysname: "Linux", Nodename: "coretest", Release: "6.1.0", Version: "#1 SMP", Machine: "x86_64", Domainname: "(none)",
	}, coretest.CrashTime, 3, -0x3200000, 31, 4096, len(core.Notes()))
	if got != want {
		t.Errorf("the dump says %s, want %s", got, want)
	}
}

// TestMetaDamaged has a utsname that cannot be right: what VMCOREINFO says is
// taken.
func TestMetaDamaged(t *testing.T) {
	k := testKernel()
	k.Info = map[string]string{"OSRELEASE": "6.6.6"}
	core, out := openCore(t, k.Write(t)), newFile(t)
	if _, err := Save(context.Background(), core, out, Options{}); err != nil {
		t.Fatal(err)
	}
	got := openDump(t, out).Meta().Uts
	want := diskdump.Utsname{Sysname: "Linux", Nodename: "(none)", Release: "6.6.6", Version: "(unknown)", Machine: "x86_64"}
	if got != want {
		t.Errorf("utsname %+v, want %+v", got, want)
	}
}

// TestFallback saves a kernel that is not understood.
func TestFallback(t *testing.T) {
	for _, test := range []struct {
		level    int
		fallback bool
		want     int // level of the dump; -1: none
	}{
		{0, false, 0}, {1, false, 1}, {1, true, 1}, {31, true, 1}, {16, true, 1}, {31, false, -1},
	} {
		k := testKernel()
		k.Info = map[string]string{"SIZE(page)": ""}
		core, out := openCore(t, k.Write(t)), newFile(t)
		var warnings []string
		report, err := Save(context.Background(), core, out, Options{
			Levels: []int{test.level}, Fallback: test.fallback,
			Warn: func(line string) { warnings = append(warnings, line) },
		})
		if test.want < 0 {
			if !errors.Is(err, kstruct.ErrUnknownLayout) || !strings.Contains(err.Error(), core.Path) {
				t.Errorf("Save() at level %d = %v, want an error that names the file and wraps %v", test.level, err, kstruct.ErrUnknownLayout)
			}
			continue
		}
		if err != nil {
			t.Errorf("Save() at level %d = %v", test.level, err)
			continue
		}
		checkPages(t, openDump(t, out), mem.PFNRange{}, nil)
		if report.Level != test.want || !strings.Contains(strings.Join(warnings, "\n"), "SIZE(page)") {
			t.Errorf("level %d: saved at %d with warnings %q, want %d and one that names SIZE(page)",
				test.level, report.Level, warnings, test.want)
		}
	}
}

// TestFull saves to a device that has room only for the smaller dump.
func TestFull(t *testing.T) {
	size := func(level int) int64 {
		out := newFile(t)
		report, err := Save(context.Background(), openCore(t, testKernel().Write(t)), out, Options{Levels: []int{level}})
		if err != nil {
			t.Fatal(err)
		}
		return report.Bytes
	}
	room := (size(0) + size(2)) / 2
	for _, test := range []struct {
		name     string
		levels   []int
		truncate bool
		want     int // level
		full     error
		err      error
	}{
		{"a smaller dump fits", []int{0, 2}, true, 2, unix.ENOSPC, nil},
		{"a smaller dump fits a target", []int{0, 2}, true, 2, target.ErrNoSpace, nil},
		{"the third dump fits", []int{0, 0, 2}, true, 2, unix.ENOSPC, nil},
		{"no other level", []int{0}, true, 0, unix.ENOSPC, dump.ErrIncomplete},
		{"no level fits", []int{0, 0}, true, 0, unix.ENOSPC, dump.ErrIncomplete},
		{"what was written stays", []int{0, 2}, false, 0, unix.ENOSPC, dump.ErrIncomplete},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := newFile(t)
			core, warnings := openCore(t, testKernel().Write(t)), 0
			opts := Options{Levels: test.levels, Threads: 1, Warn: func(string) { warnings++ }}
			var report *Report
			var err error
			if test.truncate {
				report, err = Save(context.Background(), core, smallFile{file, room, test.full}, opts)
			} else {
				out := struct{ onlyWriteAt }{smallFile{file, room, test.full}}
				report, err = Save(context.Background(), core, out, opts)
			}
			if !errors.Is(err, test.err) || test.err != nil && !errors.Is(err, test.full) {
				t.Fatalf("Save() = %v, want %v", err, test.err)
			}
			d := openDump(t, file)
			if report.Level != test.want || d.Meta().Level != test.want {
				t.Errorf("level %d, in the dump %d, want %d", report.Level, d.Meta().Level, test.want)
			}
			if got, want := d.Meta().Status&diskdump.Incomplete != 0, test.err != nil; got != want || report.Incomplete() != want {
				t.Errorf("incomplete: %v in the dump, %v in the report, want %v", got, report.Incomplete(), want)
			}
			if retries := len(test.levels) - 1; test.truncate && warnings != retries {
				t.Errorf("%d warnings, want %d", warnings, retries)
			}
		})
	}
}

// TestAccess has files that are mapped as a whole, as those of the kernel are, and
// others.
func TestAccess(t *testing.T) {
	const read, mapped, runs = elfcore.Read, elfcore.Map, elfcore.MapRuns
	file := openCore(t, testKernel().Write(t)).Source.(*elfcore.Core)
	if file.Access() != read {
		t.Errorf("an ordinary file is at access %v, want %v", file.Access(), read)
	}
	for _, test := range []struct {
		opts         Options
		before, want elfcore.Access
	}{
		{Options{Threads: 1}, read, runs},
		{Options{Threads: 2}, read, read},
		{Options{Threads: 2}, runs, read},
		{Options{Threads: 1, NoMmap: true}, read, read},
		{Options{Threads: 1}, mapped, mapped},
		{Options{Threads: 2}, mapped, mapped},
		{Options{Threads: 1, NoMmap: true}, mapped, read},
	} {
		file.SetAccess(test.before)
		if test.opts.setAccess(file); file.Access() != test.want {
			t.Errorf("%d threads, no mapping %v: access %v becomes %v, want %v",
				test.opts.Threads, test.opts.NoMmap, test.before, file.Access(), test.want)
		}
	}
}

// onlyWriteAt hides every method but one.
type onlyWriteAt interface {
	WriteAt(p []byte, off int64) (int, error)
}

// TestUnreadable saves a core whose file was cut off after it was opened.
func TestUnreadable(t *testing.T) {
	for access, threads := range map[elfcore.Access]int{elfcore.Read: 2, elfcore.Map: 2, elfcore.MapRuns: 1} {
		k := testKernel()
		k.Segments = func(segments []coretest.Segment) []coretest.Segment {
			return []coretest.Segment{segments[0], segments[2], segments[1]} // the machine's memory last
		}
		path := k.Write(t)
		core, out := openCore(t, path), newFile(t)
		core.Source.(*elfcore.Core).SetAccess(access)
		const lost = 0x20
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()-lost<<12); err != nil {
			t.Fatal(err)
		}
		var warnings []string
		report, err := Save(context.Background(), core, out, Options{
			Levels: []int{1}, Threads: threads, Warn: func(line string) { warnings = append(warnings, line) },
		})
		if err != nil {
			t.Fatal(err)
		}
		if !report.Incomplete() || report.Unreadable != lost || len(warnings) != 1 {
			t.Errorf("access %v: %d pages unreadable, warnings %q, want %d and one", access, report.Unreadable, warnings, lost)
		}
		d := openDump(t, out)
		checkPages(t, d, mem.PFNRange{Start: 0x400 - lost, End: 0x400}, mem.ErrUnreadable)
		if d.Meta().Status&diskdump.Incomplete == 0 {
			t.Errorf("access %v: the dump is not marked as incomplete", access)
		}
	}
}

// TestCancel ends a run at its beginning and in its middle.
func TestCancel(t *testing.T) {
	core := openCore(t, testKernel().Write(t))
	for _, step := range []Step{Filtering, Writing} {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		out := newFile(t)
		_, err := Save(ctx, core, out, Options{Levels: []int{31}, Threads: 1, Progress: func(p Progress) {
			if p.Step == step {
				cancel()
			}
		}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("Save() cancelled while %s = %v, want %v", step, err, context.Canceled)
		}
		if got, want := errors.Is(err, dump.ErrIncomplete), step == Writing; got != want {
			t.Errorf("Save() cancelled while %s = %v, wraps %v: %v, want %v", step, err, dump.ErrIncomplete, got, want)
		}
		if step == Writing {
			openDump(t, out)
		}
	}
}
