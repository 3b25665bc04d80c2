// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/mem"
)

func TestSplitPages(t *testing.T) {
	const n = 300000
	for name, keep := range map[string]func(p mem.PFN) bool{
		"all":     func(mem.PFN) bool { return true },
		"none":    func(mem.PFN) bool { return false },
		"one":     func(p mem.PFN) bool { return p == 77777 },
		"the end": func(p mem.PFN) bool { return p > n-1000 },
		"third":   func(p mem.PFN) bool { return p%3 == 0 },
	} {
		kept := mem.NewBitmap(n)
		for p := range mem.PFN(n) {
			if keep(p) {
				kept.Set(p)
			}
		}
		for _, parts := range []int{1, 2, 3, 7, 64} {
			var at mem.PFN
			for i, r := range splitPages(kept, parts) {
				if r.Start != at || r.End < at || r.Start%64 != 0 && r.Start != n {
					t.Errorf("%s: part %d of %d is %v, want its start at %d", name, i, parts, r, at)
				}
				at = r.End
				// Alignment makes a difference of 64 pages at either end.
				if got, want := kept.CountRange(r), kept.Count()/uint64(parts); name == "all" || name == "third" {
					if got+128 < want || got > want+128 {
						t.Errorf("%s: part %d of %d has %d pages, want %d", name, i, parts, got, want)
					}
				}
			}
			if at != n {
				t.Errorf("%s: %d parts end at %d, want %d", name, parts, at, n)
			}
		}
	}
}

// writeSplit writes c in parts and opens them.
func writeSplit(t *testing.T, c *testCore, codec compress.Codec, n int) ([]*memFile, *diskdump.Set) {
	t.Helper()
	files, outs := make([]*memFile, n), make([]io.WriterAt, n)
	for i := range files {
		files[i] = &memFile{}
		outs[i] = files[i]
	}
	stats, err := WriteSplit(context.Background(), outs, c.job(c.source(t), codec, 31, 0))
	if err != nil {
		t.Fatal(err)
	}
	if stats.Pages != c.kept.Count() {
		t.Errorf("stats = %+v, want %d pages", stats, c.kept.Count())
	}
	return files, joined(t, files)
}

func joined(t *testing.T, files []*memFile) *diskdump.Set {
	t.Helper()
	var parts []*diskdump.Dump
	for _, f := range files {
		d, err := diskdump.New(f, int64(len(f.b)))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, d)
	}
	set, err := diskdump.Join(parts)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestWriteSplit(t *testing.T) {
	useCPUs(t, 4)
	c := newTestCore(4096, 700)
	for _, n := range []int{1, 2, 5} {
		files, set := writeSplit(t, c, compress.LZO, n)
		got := make([]byte, 4096)
		for p := c.kept.NextSet(0); p < c.kept.Len(); p = c.kept.NextSet(p + 1) {
			if err := set.ReadPhys(got, p.Phys(12)); err != nil || !bytes.Equal(got, c.pages[p]) {
				t.Fatalf("%d parts: page frame %d: %v", n, p, err)
			}
		}
		for i, f := range files {
			if !bytes.Equal(f.b[:4096], files[0].b[:4096]) {
				t.Errorf("the main header of part %d is another", i)
			}
			if got := findings(f.b); got != nil {
				t.Errorf("part %d of %d: %q", i, n, got)
			}
		}
		var whole memFile
		stats, err := Reassemble(context.Background(), &whole, set)
		if err != nil {
			t.Fatal(err)
		}
		if lost, d := c.check(t, &whole); lost != 0 || d.Meta().Split || marked(d) {
			t.Errorf("%d parts reassembled: %d pages lost, %+v", n, lost, d.Meta())
		}
		if got := findings(whole.b); got != nil || stats.Bytes != int64(len(whole.b)) {
			t.Errorf("%d parts reassembled: %q, stats %+v", n, got, stats)
		}
	}
}

// TestReassembleOfOthers gives the parts to makedumpfile.
func TestReassembleOfOthers(t *testing.T) {
	tool, err := exec.LookPath("makedumpfile")
	if err != nil {
		t.Skip("no makedumpfile: ", err)
	}
	c := newTestCore(4096, 700)
	for _, codec := range []compress.Codec{compress.None, compress.Zlib, compress.Zstd} {
		files, _ := writeSplit(t, c, codec, 3)
		dir := t.TempDir()
		args := []string{"--reassemble"}
		for i, f := range files {
			path := filepath.Join(dir, fmt.Sprint("part", i))
			if err := os.WriteFile(path, f.b, 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, path)
		}
		out := filepath.Join(dir, "vmcore")
		if msg, err := exec.Command(tool, append(args, out)...).CombinedOutput(); err != nil {
			t.Fatalf("makedumpfile --reassemble: %v\n%s", err, msg)
		}
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if lost, _ := c.check(t, &memFile{b: b}); lost != 0 {
			t.Errorf("%v: %d pages lost", codec, lost)
		}
	}
}

// TestSplitFullDevice has one part on a full device.
func TestSplitFullDevice(t *testing.T) {
	c := newTestCore(4096, 3000)
	files := []*memFile{{}, {room: 120, blocks: map[int64]bool{}}, {}}
	stats, err := WriteSplit(context.Background(), []io.WriterAt{files[0], files[1], files[2]},
		c.job(c.source(t), compress.Snappy, 31, 0))
	if !errors.Is(err, ErrIncomplete) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v, want ErrIncomplete and ENOSPC", err)
	}
	set := joined(t, files)
	var lost uint64
	for p := c.kept.NextSet(0); p < c.kept.Len(); p = c.kept.NextSet(p + 1) {
		got := make([]byte, 4096)
		err := set.ReadPhys(got, p.Phys(12))
		if errors.Is(err, mem.ErrUnreadable) {
			lost++
		} else if err != nil || !bytes.Equal(got, c.pages[p]) {
			t.Fatalf("page frame %d: %v", p, err)
		}
	}
	if lost == 0 || lost != stats.Unwritten {
		t.Errorf("%d pages lost, stats %+v", lost, stats)
	}
	for i, f := range files {
		if status := binary.LittleEndian.Uint32(f.b[424:]); status != 4|8 || !bytes.Equal(f.b[:4096], files[0].b[:4096]) {
			t.Errorf("part %d has status %#x and the header of part 0: %v", i, status, bytes.Equal(f.b[:4096], files[0].b[:4096]))
		}
	}
	var whole memFile
	if _, err := Reassemble(context.Background(), &whole, set); err != nil {
		t.Fatal(err)
	}
	if again, d := c.check(t, &whole); again != lost || !marked(d) {
		t.Errorf("reassembled: %d pages lost, want %d; marked incomplete: %v", again, lost, marked(d))
	}
}

func TestReassembleMissingPart(t *testing.T) {
	c := newTestCore(4096, 700)
	files, _ := writeSplit(t, c, compress.Snappy, 3)
	_, err := Reassemble(context.Background(), &memFile{}, joined(t, files[:2]))
	if err == nil || !strings.Contains(err.Error(), "no part of the split dump has page frames") {
		t.Errorf("error %v, want one about the missing part", err)
	}
}

func TestSplitProgress(t *testing.T) {
	c := newTestCore(4096, 700)
	job := c.job(c.source(t), compress.Snappy, 31, 0)
	var most uint64
	jobs := job.split(3)
	if jobs[0].Progress != nil {
		t.Error("progress is reported though nobody asked")
	}
	job.Progress = func(pages uint64, _ int64) { most = max(most, pages) }
	jobs = job.split(3)
	jobs[0].Progress(10, 0)
	jobs[1].Progress(20, 0)
	jobs[0].Progress(30, 0)
	if most != 50 {
		t.Errorf("the parts' progress sums up to %d, want 50", most)
	}
}
