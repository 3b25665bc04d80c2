// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

var (
	_ vmcore.Source = (*diskdump.Dump)(nil)
	_ vmcore.Source = (*diskdump.Set)(nil)
)

// findings opens the dump in b and returns what is wrong with it.
func findings(b []byte) []string {
	d, err := diskdump.New(&memFile{b: b}, int64(len(b)))
	if err != nil {
		return []string{err.Error()}
	}
	var all []string
	d.Verify(context.Background(), func(finding string) { all = append(all, finding) })
	return all
}

func written(t *testing.T, job *Job) []byte {
	t.Helper()
	var f memFile
	if _, err := WriteDiskdump(context.Background(), &f, job); err != nil {
		t.Fatal(err)
	}
	return f.b
}

func TestVerifyGood(t *testing.T) {
	c := newTestCore(4096, 50)
	for _, codec := range []compress.Codec{compress.None, compress.Zlib, compress.LZO, compress.Snappy, compress.Zstd} {
		for _, level := range []int{0, 31} {
			if got := findings(written(t, c.job(c.source(t), codec, level, 1))); got != nil {
				t.Errorf("%v, level %d: %q", codec, level, got)
			}
			job := c.job(c.source(t), codec, level, 1)
			job.Meta.Split, job.Meta.Part = true, mem.PFNRange{Start: 64, End: 192}
			if got := findings(written(t, job)); got != nil {
				t.Errorf("%v, level %d, part: %q", codec, level, got)
			}
		}
	}
}

// TestVerifyFlips changes every byte of a dump in turn.
func TestVerifyFlips(t *testing.T) {
	c := newTestCore(4096, 12)
	b := written(t, c.job(c.source(t), compress.Snappy, 31, 1))
	for i := range b {
		flip := byte(1) << (i % 8)
		b[i] ^= flip
		if findings(b) == nil && !inGap(b, i) {
			t.Errorf("nothing found after a change of byte %d", i)
		}
		b[i] ^= flip
	}
}

// inGap reports whether byte i is between the seal and the page data.
func inGap(b []byte, i int) bool {
	seal := bytes.Index(b, []byte("ukdump\x00\x02"))
	return i >= seal+48 && i < (seal+48+4095)&^4095
}

// TestVerifyCuts cuts a dump everywhere.
func TestVerifyCuts(t *testing.T) {
	c := newTestCore(4096, 12)
	b := written(t, c.job(c.source(t), compress.Snappy, 31, 1))
	for n := range b {
		if findings(b[:n]) == nil {
			t.Errorf("nothing found in %d of %d bytes", n, len(b))
		}
	}
}

// TestVerifyUnsealed has dumps without a seal: what others write.
func TestVerifyUnsealed(t *testing.T) {
	c := newTestCore(4096, 50)
	job := c.job(c.source(t), compress.Zlib, 31, 1)
	good := written(t, job)
	seal := bytes.Index(good, []byte("ukdump\x00\x02"))
	clear(good[seal : seal+48])
	if got := findings(good); got != nil {
		t.Errorf("without a seal: %q", got)
	}
	const sub = 4096
	for _, test := range []struct {
		at   int
		to   byte
		want string
	}{
		{440, 1, "max_mapnr"},
		{460, 0, "nr_cpus"},
		{424, 0x41, "unknown status bits 0x40"},
		{12 + 2*65, '7', `release "7.1.0-test", but OSRELEASE="6.1.0-test"`},
		{sub + 8, 32, "dump level 32"},
		{sub + 32, 1, "offset_vmcoreinfo"},
		{2*4096 + 2, 0, "6 pages are in the second and not in the first"},
		{4*4096 + 9, 0, "page frame 0x10"},
		{seal + 5, 1, "neither page data nor a seal"},
		{424, 0x9, "incomplete: 0 pages"},
	} {
		b := bytes.Clone(good)
		b[test.at] = test.to
		if got := strings.Join(findings(b), "\n"); !strings.Contains(got, test.want) {
			t.Errorf("byte %d changed: %q, want %q", test.at, got, test.want)
		}
	}
}

func TestVerifyIncomplete(t *testing.T) {
	c := newTestCore(4096, 700)
	job := c.job(c.source(t), compress.Zlib, 31, 1)
	ctx, cancel := context.WithCancel(context.Background())
	job.Progress = func(uint64, int64) { cancel() }
	var f memFile
	stats, _ := WriteDiskdump(ctx, &f, job)
	want := []string{fmt.Sprintf("incomplete: %d pages were lost when the dump was written", stats.Unwritten)}
	if got := findings(f.b); len(got) != 1 || got[0] != want[0] {
		t.Errorf("%q, want %q", got, want)
	}
}
