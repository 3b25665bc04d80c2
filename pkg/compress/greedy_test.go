// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadsThePage has pages with nothing in front of them or behind them: no check
// of bounds would tell that an encoder looks there.
func TestReadsThePage(t *testing.T) {
	hole := unix.Getpagesize()
	memory, err := unix.Mmap(-1, 0, 3*hole, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Skip("no memory with holes: ", err)
	}
	defer unix.Munmap(memory)
	for _, hole := range [][]byte{memory[:hole], memory[2*hole:]} {
		if err := unix.Mprotect(hole, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	// What is copied or literal, and is longer or shorter, ends at the end of the page.
	var dec Decoder
	for _, c := range codecs {
		enc := newEncoder(t, c, 4096)
		for _, sample := range samples(4096) {
			for shift := range 80 {
				for _, page := range [][]byte{memory[hole : hole+4096], memory[2*hole-4096 : 2*hole], memory[2*hole-shift : 2*hole]} {
					clear(page)
					copy(page[min(shift, len(page)):], sample)
					checkPage(t, &dec, enc, c, page)
				}
			}
		}
	}
}
