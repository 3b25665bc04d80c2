// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestSnappyReadsThePage has pages with nothing in front of them or behind them:
// no check of bounds would tell that the encoder looks there.
func TestSnappyReadsThePage(t *testing.T) {
	hole := unix.Getpagesize()
	size := max(hole, snappyPage)
	memory, err := unix.Mmap(-1, 0, hole+size+hole, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Skip("no memory with holes: ", err)
	}
	defer unix.Munmap(memory)
	for _, hole := range [][]byte{memory[:hole], memory[hole+size:]} {
		if err := unix.Mprotect(hole, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	first := memory[hole : hole+snappyPage]
	last := memory[hole+size-snappyPage : hole+size]
	var dec Decoder
	enc := newEncoder(t, Snappy, snappyPage)
	for _, sample := range samples(snappyPage) {
		// What is copied or literal, and is longer or shorter, ends at the end of the page.
		for shift := range 80 {
			for _, page := range [][]byte{first, last} {
				clear(page)
				copy(page[shift:], sample)
				checkPage(t, &dec, enc, Snappy, page)
			}
		}
	}
}
