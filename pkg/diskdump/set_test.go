// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/ukdump/ukdump/pkg/mem"
)

// testParts returns the parts of a split dump of n page frames.
func testParts(t *testing.T, n mem.PFN, starts ...mem.PFN) []*Dump {
	t.Helper()
	var parts []*Dump
	for i, start := range starts {
		end := n
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		var f memFile
		meta := testMeta(amd64, 4096)
		meta.Split, meta.Part = true, mem.PFNRange{Start: start, End: end}
		writeDump(t, &f, meta, n)
		parts = append(parts, f.open(t))
	}
	return parts
}

func TestSet(t *testing.T) {
	const n = 5000
	parts := testParts(t, n, 0, 1024, 1024, 4096)
	s, err := Join([]*Dump{parts[3], parts[0], parts[2], parts[1]})
	if err != nil {
		t.Fatal(err)
	}
	if missing := s.Missing(); missing != nil {
		t.Errorf("Missing() = %v", missing)
	}
	view := s.NewView()
	defer view.Close()
	got := make([]byte, 4096)
	for p := range mem.PFN(n + 10) {
		want := map[bool]error{true: nil, false: mem.ErrExcluded}[isKept(p)]
		if isLost(p) && p < n {
			want = mem.ErrUnreadable
		}
		if !isRAM(p) || p >= n {
			want = mem.ErrNotRAM
		}
		slice, viewErr := view.Slice(p.Phys(12), 4096)
		if err := s.ReadPhys(got, p.Phys(12)); !errors.Is(err, want) || !errors.Is(viewErr, want) {
			t.Fatalf("page frame %d: %v and %v, want %v", p, err, viewErr, want)
		}
		if contents := pageContents(p, 4096); want == nil && (!bytes.Equal(got, contents) || !bytes.Equal(slice, contents)) {
			t.Fatalf("page frame %d differs", p)
		}
	}
	present := mem.NewBitmap(n)
	s.FillPresent(present, 12)
	if got, want := present.Count(), bitmapOf(n, isKept).Count(); got != want {
		t.Errorf("%d pages are present, want %d", got, want)
	}
	if m := s.Meta(); m.Split || m.Part != (mem.PFNRange{}) || m.Time != 1700000000 {
		t.Errorf("Meta() = %+v", m)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestSetMissing(t *testing.T) {
	parts := testParts(t, 5000, 0, 1024, 2048, 4096)
	s, err := Join([]*Dump{parts[2], parts[1]})
	if err != nil {
		t.Fatal(err)
	}
	want := []mem.PFNRange{{Start: 0, End: 1024}, {Start: 4096, End: 5000}}
	if got := s.Missing(); !slices.Equal(got, want) {
		t.Errorf("Missing() = %v, want %v", got, want)
	}
	for _, p := range []mem.PFN{2, 4100} {
		if err := s.ReadPhys(make([]byte, 8), p.Phys(12)); !errors.Is(err, mem.ErrExcluded) {
			t.Errorf("page frame %d of a missing part: %v, want ErrExcluded", p, err)
		}
	}
}

func TestJoinRefuses(t *testing.T) {
	parts := testParts(t, 5000, 0, 1024)
	other := testParts(t, 6000, 0, 1024)
	whole := (&memFile{smallDump(t, amd64, 5000)}).open(t)
	for name, set := range map[string][]*Dump{
		"nothing":            {},
		"a whole dump":       {whole},
		"twice the same":     {parts[0], parts[0]},
		"of different dumps": {parts[0], other[1]},
	} {
		if s, err := Join(set); err == nil {
			t.Errorf("%s: %v, want an error", name, s)
		}
	}
}
