// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
)

func TestCopies(t *testing.T) {
	useCPUs(t, 4)
	const distinct = 100
	random := rand.NewChaCha8([32]byte{3})
	var memory []byte
	for i := range distinct {
		page := make([]byte, 4096)
		random.Read(page[:1+i*40])
		memory = append(memory, page...)
	}
	// The last two differ where the hash does not look.
	last := memory[(distinct-1)*4096:]
	copy(last, memory[(distinct-2)*4096:])
	last[100] ^= 1
	if hash(last) != hash(memory[(distinct-2)*4096:][:4096]) {
		t.Fatal("the pages do not have the same hash")
	}
	segments := []segment{
		{0, 0, distinct},    // each once
		{200, 0, distinct},  // again
		{300, 5, 1},         // copies side by side
		{301, 5, 1},         //
		{302, 5, 1},         //
		{1000, 7, 3},        // in between others
		{1003, 20, 1},       //
		{1004, 7, 3},        //
		{5000, 0, distinct}, //
	}
	c := coreOf(4096, memory, segments)
	c.kept = c.ram
	for _, codec := range []compress.Codec{compress.None, compress.LZO, compress.Zstd} {
		var first []byte
		for _, threads := range []int{1, 4} {
			t.Run(fmt.Sprint(codec, "/", threads), func(t *testing.T) {
				var f memFile
				stats, err := WriteDiskdump(context.Background(), &f, c.job(c.source(t), codec, 31, threads))
				if err != nil {
					t.Fatal(err)
				}
				if lost, d := c.check(t, &f); lost != 0 || marked(d) {
					t.Errorf("%d pages lost", lost)
				}
				// Pages whose hashes fall together displace each other.
				if all := c.ram.Count() - distinct; stats.Copies > all || stats.Copies < all-all/10 {
					t.Errorf("%d copies found, want %d or a few less", stats.Copies, all)
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

// TestHolds compares what a stream knows with the file.
func TestHolds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var f memFile
	s := newStream(&f, 4096)
	held := 0
	for range 500 {
		p := bytes.Repeat([]byte{byte(random.IntN(2))}, 1+random.IntN(20000))
		if err := s.append(p); err != nil {
			t.Fatal(err)
		}
		switch random.IntN(200) {
		case 0:
			s.flush()
		case 1:
			s.skip(100)
		}
		p = p[:1+random.IntN(min(len(p), 3000))]
		off := max(s.end()-random.Int64N(3*dataChunk), 0)
		whole := append(append(bytes.Clone(f.b), make([]byte, s.off-int64(len(f.b)))...), s.buf...)
		want := off <= int64(len(whole)) && bytes.HasPrefix(whole[off:], p)
		got := s.holds(off, p)
		if got && !want {
			t.Fatalf("%d bytes of %d at %d are held, but not there", len(p), p[0], off)
		}
		if want && !got && off >= s.off-int64(len(s.old)) {
			t.Fatalf("%d bytes of %d at %d are in memory, but not found", len(p), p[0], off)
		}
		if got {
			held++
		}
	}
	if held < 20 {
		t.Errorf("%d of 500 pieces are held", held)
	}
}
