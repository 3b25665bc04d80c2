// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// pageBetweenHoles returns memory of the size of a page that has nothing in front
// of it and nothing behind it. It is not Go's, whose race detector so does not look
// at it.
func pageBetweenHoles(t *testing.T) []byte {
	size := unix.Getpagesize()
	memory, err := unix.Mmap(-1, 0, 3*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Skip("no memory with holes: ", err)
	}
	t.Cleanup(func() { unix.Munmap(memory) })
	for _, hole := range [][]byte{memory[:size], memory[2*size:]} {
		if err := unix.Mprotect(hole, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	return memory[size : 2*size]
}

// TestReadsThePage has pages with nothing around them: no check of bounds would tell
// that an encoder looks there.
func TestReadsThePage(t *testing.T) {
	memory := pageBetweenHoles(t)
	var dec Decoder
	for _, c := range codecs {
		enc := newEncoder(t, c, len(memory))
		for _, sample := range samples(4096) {
			// What is copied or literal, and is longer or shorter, ends at the end of
			// the page.
			for shift := range 80 {
				first, last, short := memory[:4096], memory[len(memory)-4096:], memory[len(memory)-shift:]
				clear(first)
				copy(first[shift:], sample)
				checkPage(t, &dec, enc, c, first)
				clear(last)
				copy(last[shift:], sample)
				checkPage(t, &dec, enc, c, last)
				copy(short, sample[len(sample)-shift:])
				checkPage(t, &dec, enc, c, short)
			}
		}
	}
}

// TestLiterals has literals of every number that is written in a way of its own,
// between copies.
func TestLiterals(t *testing.T) {
	random := rand.NewChaCha8([32]byte{3})
	noise := make([]byte, 4096)
	random.Read(noise)
	page := make([]byte, 4096)
	var dec Decoder
	for _, c := range codecs {
		enc := newEncoder(t, c, len(page))
		for n := range 600 {
			clear(page)
			copy(page, noise[:n])
			copy(page[2000:], noise[1000:][:n])
			checkPage(t, &dec, enc, c, page)
			if _, smaller := enc.Append(nil, page); !smaller && c != None {
				t.Errorf("%v: a page of zeros but for twice %d bytes is not compressed", c, n)
			}
		}
	}
}

// TestPageChanges compresses a page that is written to meanwhile, as those of
// /proc/vmcore may be: what comes of it has to be a page.
func TestPageChanges(t *testing.T) {
	memory := pageBetweenHoles(t)[:4096]
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			for range 1000 {
				i = (i*5 + 1) % len(memory)
				memory[i] ^= 1
			}
		}
	}()
	page := make([]byte, len(memory))
	var dec Decoder
	for _, c := range codecs {
		enc := newEncoder(t, c, len(memory))
		for range 20000 {
			copy(memory, bytes.Repeat([]byte("0123456789abcdef"), 256))
			packed, smaller := enc.Append(nil, memory)
			if !smaller {
				continue
			}
			if err := dec.Decode(page, packed, c); err != nil {
				t.Errorf("%v: %v", c, err)
				break
			}
		}
	}
	close(stop)
	<-stopped
}
