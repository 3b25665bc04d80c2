// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

func TestWriteDiskdump(t *testing.T) {
	useCPUs(t, 4)
	for _, pageSize := range []int{4 << 10, 64 << 10} {
		c := newTestCore(pageSize, 700)
		for _, codec := range []compress.Codec{compress.None, compress.Zlib, compress.Snappy, compress.Zstd} {
			for _, level := range []int{0, 31} {
				var first []byte
				for _, threads := range []int{1, 4} {
					t.Run(fmt.Sprintf("%d/%v/%d/%d", pageSize, codec, level, threads), func(t *testing.T) {
						var f memFile
						stats, err := WriteDiskdump(context.Background(), &f, c.job(c.source(t), codec, level, threads))
						if err != nil {
							t.Fatal(err)
						}
						lost, d := c.check(t, &f)
						if lost != 0 || marked(d) {
							t.Errorf("%d pages lost, marked incomplete: %v", lost, marked(d))
						}
						if d.Meta().Level != level || d.Meta().Status != diskdump.Status(codec) || d.Meta().BlockSize != pageSize {
							t.Errorf("Meta() = %+v", d.Meta())
						}
						want := Stats{Pages: c.kept.Count(), Bytes: int64(len(f.b))}
						zeros := c.count(func(p []byte) bool { return bytes.Count(p, []byte{0}) == len(p) })
						if level&1 != 0 {
							want.Zero = zeros
						} else {
							// Now and then one is stored again: what is as
							// far back as two writes is not found.
							again := uint64(len(f.b)/dataChunk + 5)
							if want.Copies = zeros - 1; stats.Copies < want.Copies && stats.Copies >= want.Copies-again {
								want.Copies = stats.Copies
							}
						}
						want.Raw = c.count(func(p []byte) bool {
							return bytes.Count(p, []byte{0}) < len(p)/100 && !bytes.Contains(p, []byte("beer"))
						})
						if codec == compress.None {
							want.Raw = want.Pages - want.Zero - want.Copies
						}
						if stats != want {
							t.Errorf("stats = %+v, want %+v", stats, want)
						}
						if first == nil {
							first = f.b
						} else if !bytes.Equal(first, f.b) {
							t.Error("more threads write another file")
						}
					})
				}
			}
		}
	}
}

// TestZeroPage looks at the place where makedumpfile --reassemble expects the
// page of zeros.
func TestZeroPage(t *testing.T) {
	c := newTestCore(4096, 200)
	var f memFile
	job := c.job(c.source(t), compress.Zstd, 1, 1)
	job.Meta.Split, job.Meta.Part = true, mem.PFNRange{Start: 64, End: 128}
	if _, err := WriteDiskdump(context.Background(), &f, job); err != nil {
		t.Fatal(err)
	}
	// Two blocks of headers and one for each bitmap.
	at := 4*4096 + int(c.kept.Count())*diskdump.DescSize
	if !bytes.Equal(f.b[at:at+4096], make([]byte, 4096)) {
		t.Error("no page of zeros behind the descriptors")
	}
	for p := c.kept.NextSet(64); p < 128; p = c.kept.NextSet(p + 1) {
		desc := f.b[4*4096+24*int(c.kept.CountRange(mem.PFNRange{Start: 64, End: p})):]
		shared := binary.LittleEndian.Uint64(desc) == uint64(at)
		if want := (p-16)%5 == 0; shared != want {
			t.Errorf("page frame %d shares the page of zeros: %v, want %v", p, shared, want)
		}
	}
}

// TestTruncatedCore takes the second half of the core away while it is open.
func TestTruncatedCore(t *testing.T) {
	useCPUs(t, 4)
	c := newTestCore(4096, 700)
	c.kept = c.ram // in long runs
	for _, test := range []struct {
		threads int
		access  elfcore.Access
	}{{1, elfcore.Map}, {4, elfcore.Map}, {4, elfcore.Read}, {1, elfcore.MapRuns}} {
		path := filepath.Join(t.TempDir(), "vmcore")
		if err := os.WriteFile(path, c.elf, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := elfcore.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		s.SetAccess(test.access)
		const readable = 1000
		if err := os.Truncate(path, c.dataAt+readable*4096+17); err != nil {
			t.Fatal(err)
		}
		var want uint64
		n := 0
		for p := c.ram.NextSet(0); p < c.ram.Len(); p = c.ram.NextSet(p + 1) {
			if n++; n > readable && c.kept.Test(p) {
				want++
			}
		}
		var f memFile
		stats, err := WriteDiskdump(context.Background(), &f, c.job(s, compress.Zstd, 31, test.threads))
		if err != nil {
			t.Fatal(err)
		}
		lost, d := c.check(t, &f)
		if lost != want || stats.Unreadable != want || !stats.Incomplete() || !marked(d) {
			t.Errorf("%+v: %d pages lost, stats %+v, marked incomplete: %v; want %d lost", test, lost, stats, marked(d), want)
		}
		s.Close()
	}
}

// TestFullDevice writes to devices of all sizes.
func TestFullDevice(t *testing.T) {
	useCPUs(t, 2)
	c := newTestCore(4096, 3000)
	var whole memFile
	job := func(threads int) *Job { return c.job(c.source(t), compress.Snappy, 31, threads) }
	if _, err := WriteDiskdump(context.Background(), &whole, job(1)); err != nil {
		t.Fatal(err)
	}
	blocks := (len(whole.b) + 4095) / 4096
	opened := 0
	for room := 1; room <= blocks; room += 1 + room/8 {
		f := &memFile{room: room, blocks: map[int64]bool{}}
		stats, err := WriteDiskdump(context.Background(), f, job(1+room%2))
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("room for %d of %d blocks: %v, want ENOSPC", room, blocks, err)
		}
		if !errors.Is(err, ErrIncomplete) {
			if opened > 0 {
				t.Errorf("room for %d blocks gives nothing, less room gave a dump: %v", room, err)
			}
			continue
		}
		opened++
		lost, d := c.check(t, f)
		if lost == 0 || lost != stats.Unwritten || !marked(d) {
			t.Errorf("room for %d blocks: %d pages lost, stats %+v, marked incomplete: %v", room, lost, stats, marked(d))
		}
		// All but what was in two buffers should have been saved.
		if saved := int(stats.Pages - lost); room > 600 && saved == 0 {
			t.Errorf("room for %d blocks: nothing saved", room)
		}
	}
	if opened == 0 {
		t.Error("no device was large enough for a part of the dump")
	}
	f := &memFile{room: blocks, blocks: map[int64]bool{}}
	if _, err := WriteDiskdump(context.Background(), f, job(1)); err != nil || !bytes.Equal(f.b, whole.b) {
		t.Errorf("room for all: %v", err)
	}
}

// TestFailureAnywhere ends the device at every write of page data.
func TestFailureAnywhere(t *testing.T) {
	// 320 bytes of each page cannot be compressed.
	const n = 12000
	memory := make([]byte, n*4096)
	random := rand.NewChaCha8([32]byte{1})
	for i := range n {
		random.Read(memory[i*4096:][:320])
	}
	c := coreOf(4096, memory, []segment{{0, 0, n}})
	c.kept = c.ram
	whole := &brittle{end: 1 << 40}
	if _, err := WriteDiskdump(context.Background(), whole, c.job(c.source(t), compress.Snappy, 0, 1)); err != nil {
		t.Fatal(err)
	}
	for end := 2 * dataChunk; end < len(whole.b); end += dataChunk {
		f := &brittle{end: int64(end)}
		stats, err := WriteDiskdump(context.Background(), f, c.job(c.source(t), compress.Snappy, 0, 1))
		if !errors.Is(err, ErrIncomplete) {
			t.Fatalf("end of device at %d: %v", end, err)
		}
		lost, d := c.check(t, &f.memFile)
		if lost != stats.Unwritten || !marked(d) {
			t.Errorf("end of device at %d: %d pages lost, stats %+v", end, lost, stats)
		}
	}
}

// brittle is a file on a device with an end.
type brittle struct {
	memFile
	end int64
}

func (f *brittle) WriteAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > f.end {
		return 0, syscall.ENOSPC
	}
	return f.put(p, off)
}

func TestCancel(t *testing.T) {
	useCPUs(t, 2)
	c := newTestCore(4096, 700)
	for _, threads := range []int{1, 2} {
		for _, after := range []uint64{0, 1, 300} {
			ctx, cancel := context.WithCancel(context.Background())
			job := c.job(c.source(t), compress.Zlib, 31, threads)
			job.Progress = func(pages uint64, _ int64) {
				if pages >= after {
					cancel()
				}
			}
			if after == 0 {
				cancel()
			}
			var f memFile
			stats, err := WriteDiskdump(ctx, &f, job)
			if !errors.Is(err, ErrIncomplete) || !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want ErrIncomplete and Canceled", err)
			}
			lost, d := c.check(t, &f)
			if saved := stats.Pages - lost; lost != stats.Unwritten || saved < after || !marked(d) {
				t.Errorf("after %d pages: %d saved, stats %+v, marked incomplete: %v", after, saved, stats, marked(d))
			}
			cancel()
		}
	}
}

// panicky is a source whose views have a bug.
type panicky struct{ vmcore.Source }

func (p panicky) NewView() mem.View { return p }

func (panicky) Slice(mem.PhysAddr, int) ([]byte, error) { panic("a bug") }

func TestPanic(t *testing.T) {
	useCPUs(t, 2)
	c := newTestCore(4096, 700)
	for _, threads := range []int{1, 2} {
		var f memFile
		_, err := WriteDiskdump(context.Background(), &f, c.job(panicky{c.source(t)}, compress.Zlib, 31, threads))
		if err == nil || !strings.Contains(err.Error(), "a bug") || !errors.Is(err, ErrIncomplete) {
			t.Errorf("%d threads: error %v, want the panic", threads, err)
		}
		if lost, d := c.check(t, &f); lost != c.kept.Count() || !marked(d) {
			t.Errorf("%d threads: %d pages lost, marked incomplete: %v", threads, lost, marked(d))
		}
	}
}

func TestRefuses(t *testing.T) {
	c := newTestCore(4096, 10)
	for name, change := range map[string]func(*Job){
		"codec":     func(j *Job) { j.Codec = 0x40 },
		"page size": func(j *Job) { j.Pages.PageSize = 0 },
	} {
		job := c.job(c.source(t), compress.None, 0, 1)
		change(job)
		if _, err := WriteDiskdump(context.Background(), &memFile{}, job); err == nil || errors.Is(err, ErrIncomplete) {
			t.Errorf("wrong %s: error %v", name, err)
		}
	}
}

// TestLargeWrites looks at how the output is written: devices without a cache
// want it in large, aligned pieces.
func TestLargeWrites(t *testing.T) {
	c := newTestCore(4096, 1500)
	f := &recorder{}
	stats, err := WriteDiskdump(context.Background(), f, c.job(c.source(t), compress.None, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	small := 0
	for _, w := range f.writes {
		if w.off%4096 != 0 && w.size > 48 { // the seal
			t.Errorf("write of %d bytes at %d", w.size, w.off)
		}
		if w.size < 256<<10 {
			small++
		}
	}
	// Header twice, bitmaps, descriptors twice, the ends of the data.
	if small > 8 || len(f.writes) > 8+int(stats.Bytes>>20) {
		t.Errorf("%d writes, %d of them small, for %d bytes", len(f.writes), small, stats.Bytes)
	}
}

type recorder struct {
	writes []struct{ off, size int64 }
}

func (r *recorder) WriteAt(p []byte, off int64) (int, error) {
	r.writes = append(r.writes, struct{ off, size int64 }{off, int64(len(p))})
	return len(p), nil
}

func TestNoAllocationPerPage(t *testing.T) {
	mallocs := func(pages int) uint64 {
		c := newTestCore(4096, pages)
		job := c.job(c.source(t), compress.Zstd, 31, 1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := WriteDiskdump(context.Background(), discard{}, job); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.Mallocs - before.Mallocs
	}
	few, many := mallocs(500), mallocs(4500)
	if many > few+uint64(8000/batchPages(4096)) {
		t.Errorf("%d allocations for 1000 pages, %d for 9000: want less than one more for each batch", few, many)
	}
}

type discard struct{}

func (discard) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

func BenchmarkWriteDiskdump(b *testing.B) {
	c := newTestCore(4096, 8192)
	c.kept = c.ram
	for _, codec := range []compress.Codec{compress.None, compress.Zlib, compress.LZO, compress.Snappy, compress.Zstd} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%v/%d", codec, threads), func(b *testing.B) {
				job := c.job(c.source(b), codec, 31, threads)
				b.SetBytes(int64(c.ram.Count()) * 4096)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := WriteDiskdump(context.Background(), discard{}, job); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

var _ io.WriterAt = (*diskdump.FlatWriter)(nil)

// TestLast has user memory, say, written last, and devices of all sizes.
func TestLast(t *testing.T) {
	useCPUs(t, 4)
	c := newTestCore(4096, 3000)
	last := mem.NewBitmap(c.kept.Len())
	for p := c.kept.NextSet(0); p < c.kept.Len(); p = c.kept.NextSet(p + 1) {
		if p%100 < 40 || p < 300 {
			last.Set(p)
		}
	}
	job := func(threads int) *Job {
		j := c.job(c.source(t), compress.LZO, 31, threads)
		j.Last = last
		return j
	}
	var whole memFile
	if _, err := WriteDiskdump(context.Background(), &whole, job(1)); err != nil {
		t.Fatal(err)
	}
	if lost, d := c.check(t, &whole); lost != 0 || marked(d) {
		t.Errorf("%d pages lost", lost)
	}
	if got := findings(whole.b); got != nil {
		t.Errorf("%q", got)
	}
	both := 0
	blocks := (len(whole.b) + 4095) / 4096
	for room := 100; room < blocks; room += 1 + room/10 {
		f := &memFile{room: room, blocks: map[int64]bool{}}
		if _, err := WriteDiskdump(context.Background(), f, job(1+room%2)); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("room for %d blocks: %v", room, err)
		}
		_, d := c.check(t, f)
		var lostFirst, savedLast int
		for p := c.kept.NextSet(0); p < c.kept.Len(); p = c.kept.NextSet(p + 1) {
			switch err := d.ReadPhys(make([]byte, 1), p.Phys(12)); {
			case err != nil && !last.Test(p):
				lostFirst++
			case err == nil && last.Test(p):
				savedLast++
			}
		}
		if lostFirst > 0 && savedLast > 0 {
			t.Errorf("room for %d blocks: %d pages lost that matter, %d saved that do not", room, lostFirst, savedLast)
		}
		if savedLast > 0 {
			both++
		}
		if got := findings(f.b); len(got) != 1 || !strings.HasPrefix(got[0], "incomplete: ") {
			t.Errorf("room for %d blocks: %q", room, got)
		}
	}
	if both == 0 {
		t.Error("no device had room for some of the pages that matter least")
	}
}

// TestLastSplit writes parts in that order.
func TestLastSplit(t *testing.T) {
	c := newTestCore(4096, 700)
	last := mem.NewBitmap(c.kept.Len())
	for p := c.kept.NextSet(0); p < c.kept.Len(); p = c.kept.NextSet(p + 3) {
		last.Set(p)
	}
	files := []*memFile{{}, {}, {}}
	job := c.job(c.source(t), compress.LZO, 31, 1)
	job.Last = last
	if _, err := WriteSplit(context.Background(), []io.WriterAt{files[0], files[1], files[2]}, job); err != nil {
		t.Fatal(err)
	}
	var whole memFile
	if _, err := Reassemble(context.Background(), &whole, joined(t, files)); err != nil {
		t.Fatal(err)
	}
	if lost, d := c.check(t, &whole); lost != 0 || marked(d) {
		t.Errorf("%d pages lost", lost)
	}
}
