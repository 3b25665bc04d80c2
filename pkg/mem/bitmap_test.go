// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package mem

import (
	"math/rand"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// model is a Bitmap in the simplest way that there is.
type model []bool

func (m model) set(r PFNRange, to bool) (changed uint64) {
	for p := r.Start; p < min(r.End, PFN(len(m))); p++ {
		if m[p] != to {
			changed++
		}
		m[p] = to
	}
	return changed
}

func (m model) count(r PFNRange) (n uint64) {
	for p := r.Start; p < min(r.End, PFN(len(m))); p++ {
		if m[p] {
			n++
		}
	}
	return n
}

func (m model) next(p PFN, want bool) PFN {
	for p < PFN(len(m)) && m[p] != want {
		p++
	}
	return min(p, PFN(len(m)))
}

// bytes returns n bytes from byte off on.
func (m model) bytes(off uint64, n int) []byte {
	b := make([]byte, n)
	for i := range PFN(n * 8) {
		if p := PFN(off)*8 + i; p < PFN(len(m)) && m[p] {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return b
}

// randomRange returns a range that is likely to begin and end near the edges of
// words and chunks.
func randomRange(rnd *rand.Rand, n PFN) PFNRange {
	edge := func() PFN {
		p := PFN(rnd.Int63n(int64(n) + 200))
		switch rnd.Intn(4) {
		case 0:
			p = p &^ 63
		case 1:
			p = p &^ (chunkBits - 1)
		}
		return p + PFN(rnd.Intn(3))
	}
	a, b := edge(), edge()
	if rnd.Intn(3) == 0 {
		b = a + PFN(rnd.Intn(130))
	}
	if b < a && rnd.Intn(20) != 0 { // seldom a range that ends before it begins
		a, b = b, a
	}
	return PFNRange{a, b}
}

func TestBitmapAgainstModel(t *testing.T) {
	for _, n := range []PFN{1, 63, 64, 65, 1000, chunkBits - 1, chunkBits, chunkBits + 1, 3*chunkBits + 77} {
		rnd := rand.New(rand.NewSource(int64(n)))
		b, m := NewBitmap(n), make(model, n)
		if b.Len() != n {
			t.Fatalf("Len() = %d, want %d", b.Len(), n)
		}
		for range 400 {
			r := randomRange(rnd, n)
			switch rnd.Intn(9) {
			case 0:
				b.SetRange(r)
				m.set(r, true)
			case 1:
				if got, want := b.ClearRange(r), m.set(r, false); got != want {
					t.Fatalf("%d: ClearRange(%v) = %d, want %d", n, r, got, want)
				}
			case 2:
				b.Set(r.Start)
				m.set(PFNRange{r.Start, r.Start + 1}, true)
			case 3:
				b.Clear(r.Start)
				m.set(PFNRange{r.Start, r.Start + 1}, false)
			case 4:
				off, src := uint64(r.Start/8), make([]byte, 40)
				for i := range src {
					src[i] = byte(rnd.Int() * rnd.Intn(2)) // half of them 0
				}
				b.WriteBytes(src, off)
				for i := range PFN(len(src) * 8) {
					if src[i/8]&(1<<(i%8)) != 0 {
						p := PFN(off)*8 + i
						m.set(PFNRange{p, p + 1}, true)
					}
				}
			case 5:
				if got, want := b.CountRange(r), m.count(r); got != want {
					t.Fatalf("%d: CountRange(%v) = %d, want %d", n, r, got, want)
				}
			case 6:
				if got, want := b.NextSet(r.Start), m.next(r.Start, true); got != want {
					t.Fatalf("%d: NextSet(%d) = %d, want %d", n, r.Start, got, want)
				}
				if got, want := b.NextClear(r.Start), m.next(r.Start, false); got != want {
					t.Fatalf("%d: NextClear(%d) = %d, want %d", n, r.Start, got, want)
				}
			case 7:
				start := m.next(r.Start, true)
				if got, want := b.NextRun(r.Start), (PFNRange{start, m.next(start, false)}); got != want {
					t.Fatalf("%d: NextRun(%d) = %v, want %v", n, r.Start, got, want)
				}
			case 8:
				off, dst := uint64(r.Start/8), make([]byte, rnd.Intn(100))
				rnd.Read(dst)
				b.ReadBytes(dst, off)
				if want := m.bytes(off, len(dst)); !slices.Equal(dst, want) {
					t.Fatalf("%d: ReadBytes at %d = %x, want %x", n, off, dst, want)
				}
			}
			p := PFN(rnd.Int63n(int64(n) + 10))
			if got, want := b.Test(p), p < n && m[p]; got != want {
				t.Fatalf("%d: Test(%d) = %v, want %v", n, p, got, want)
			}
		}
		all := make([]byte, n/8+10)
		b.ReadBytes(all, 0)
		if !slices.Equal(all, m.bytes(0, len(all))) || b.Count() != m.count(PFNRange{0, n}) {
			t.Fatalf("%d: the bitmap is not the model's at the end", n)
		}
	}
}

// TestBitmapShared changes neighbouring ranges of one chunk from several
// goroutines, as the page filter does. The race detector watches.
func TestBitmapShared(t *testing.T) {
	const n, part = 2 * chunkBits, PFN(640)
	for _, full := range []bool{false, true} {
		b := NewBitmap(n)
		if full {
			b.SetRange(PFNRange{0, n})
		}
		var wg sync.WaitGroup
		for g := range PFN(4) {
			wg.Go(func() {
				for start := g * part; start < n; start += 4 * part {
					r := PFNRange{start + 1, min(start+part, n)}
					if full {
						b.ClearRange(r)
					} else {
						b.SetRange(r)
					}
				}
			})
		}
		wg.Wait()
		want := uint64(n - (n+part-1)/part)
		if full {
			want = uint64(n) - want
		}
		if got := b.Count(); got != want {
			t.Errorf("full %v: Count() = %d, want %d", full, got, want)
		}
	}
}

// TestBitmapSparse fills the largest bitmap with what a machine with memory far
// up would have. If it took memory for the gaps, this test could not run.
func TestBitmapSparse(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b := NewBitmap(MaxBitmapBits)
	b.SetRange(PFNRange{0, 100})
	b.SetRange(PFNRange{1 << 39, 1<<39 + 1<<30}) // 4 TiB
	b.ClearRange(PFNRange{1<<39 + 5, 1<<39 + 6})
	b.Set(MaxBitmapBits - 1)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("%d bytes allocated for a few ranges, want less than 64 MiB", got)
	}
	if got, want := b.Count(), uint64(100+1<<30-1+1); got != want {
		t.Errorf("Count() = %d, want %d", got, want)
	}
	if got, want := b.NextRun(1<<39+6), (PFNRange{1<<39 + 6, 1<<39 + 1<<30}); got != want {
		t.Errorf("NextRun() = %v, want %v", got, want)
	}
	if got, want := b.NextSet(1<<39+1<<30), MaxBitmapBits-1; got != want {
		t.Errorf("NextSet() = %d, want %d", got, want)
	}
}

func TestNewBitmapTooLarge(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("NewBitmap of more than MaxBitmapBits did not panic")
		}
	}()
	NewBitmap(MaxBitmapBits + 1)
}

const benchBits = PFN(1) << 24 // 64 GiB of 4 KiB pages

func benchBitmap() *Bitmap {
	b := NewBitmap(benchBits)
	b.SetRange(PFNRange{0, benchBits})
	return b
}

// The filter clears single pages, and blocks of some dozens, in ascending order.
func BenchmarkBitmapClearRange(b *testing.B) {
	for _, bench := range []struct {
		name string
		size PFN
	}{{"1", 1}, {"32", 32}, {"512", 512}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			set, at := benchBitmap(), PFN(0)
			for b.Loop() {
				set.ClearRange(PFNRange{at, at + bench.size})
				at = (at + 2*bench.size) % benchBits
			}
		})
	}
}

func BenchmarkBitmapTest(b *testing.B) {
	b.ReportAllocs()
	set, at, n := benchBitmap(), PFN(0), 0
	for b.Loop() {
		if set.Test(at) {
			n++
		}
		at = (at + 1) % benchBits
	}
}

// The writer goes from run to run.
func BenchmarkBitmapNextRun(b *testing.B) {
	set := benchBitmap()
	rnd := rand.New(rand.NewSource(1))
	for range benchBits / 100 {
		p := PFN(rnd.Int63n(int64(benchBits)))
		set.ClearRange(PFNRange{p, p + 30})
	}
	b.ReportAllocs()
	b.ResetTimer()
	at := PFN(0)
	for b.Loop() {
		if at = set.NextRun(at).End; at == benchBits {
			at = 0
		}
	}
}

func BenchmarkBitmapReadBytes(b *testing.B) {
	set, buf := benchBitmap(), make([]byte, 256<<10)
	set.Clear(5)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		set.ReadBytes(buf, 0)
	}
}
