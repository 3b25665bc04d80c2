// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/mem"
)

// collide changes page so that its CRC-32C stays what it is: it adds the
// generator polynomial, x^32 + 0x1edc6f41, somewhere in it.
func collide(page []byte) {
	const generator uint64 = 1<<32 | 0x1edc6f41
	for i := range 33 {
		bit := byte(generator>>(32-i)) & 1
		page[100+i/8] ^= bit << (i % 8)
	}
}

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
	// The last two differ, but have the same checksum.
	last := memory[(distinct-1)*4096:]
	copy(last, memory[(distinct-2)*4096:])
	collide(last)
	if a, b := last, memory[(distinct-2)*4096:][:4096]; bytes.Equal(a, b) ||
		crc32.Checksum(a, crc32.MakeTable(crc32.Castagnoli)) != crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) {
		t.Fatal("the pages do not have the same checksum")
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
				// The two with the same checksum displace each other twice.
				if want := c.ram.Count() - distinct - 4; stats.Copies != want {
					t.Errorf("%d copies found, want %d", stats.Copies, want)
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

// TestCopiesUnreadable finds a copy of a page that can no longer be read.
func TestCopiesUnreadable(t *testing.T) {
	s := &forgetful{data: make([]byte, 4096)}
	c := newCopies(s, 4096)
	hash := diskdump.Sum(0, s.data)
	desc := diskdump.Desc{Offset: 1, Size: 2, Codec: compress.Zstd}
	c.add(hash, 1, desc)
	if d, ok := c.find(hash, 2); !ok || d != desc {
		t.Errorf("find = %v, %v, want the page", d, ok)
	}
	s.gone = 1
	if d, ok := c.find(hash, 2); ok {
		t.Errorf("find = %v although the first page cannot be read", d)
	}
	s.gone = 2
	if d, ok := c.find(hash, 2); ok {
		t.Errorf("find = %v although the second page cannot be read", d)
	}
}

// forgetful is memory of which every page is the same, but for one that cannot
// be read.
type forgetful struct {
	data []byte
	gone mem.PFN
}

func (f *forgetful) ReadPhys(p []byte, addr mem.PhysAddr) error {
	if addr.PFN(12) == f.gone {
		return mem.ErrUnreadable
	}
	copy(p, f.data)
	return nil
}
