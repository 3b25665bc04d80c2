// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package direct

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestBuffer(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 1 << 20} {
		b := Buffer(n)
		if at := uintptr(unsafe.Pointer(unsafe.SliceData(b))); len(b) != n || cap(b) != n || at%Alignment != 0 {
			t.Errorf("Buffer(%d) has length %d, capacity %d, at %#x", n, len(b), cap(b), at)
		}
	}
}

// TestWriteAt writes pieces of all sizes, aligned or not, through both views of a
// file, and reads it by other means.
func TestWriteAt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := Writer{File: file}
	if second, err := os.OpenFile(path, os.O_WRONLY|unix.O_DIRECT, 0); err != nil {
		t.Logf("without O_DIRECT: %v", err)
	} else {
		defer second.Close()
		w.Direct = second
	}
	random := rand.New(rand.NewPCG(5, 6))
	want := make([]byte, 3*MaxDirty)
	buf := Buffer(1 << 20)
	for i := range buf {
		buf[i] = byte(random.Uint32())
	}
	for range 300 {
		off, n, skip := random.IntN(len(want)-len(buf)), random.IntN(len(buf)), random.IntN(100)
		if random.IntN(2) == 0 {
			off, skip = off&^(Alignment-1), 0
		}
		piece := buf[min(skip, n):n]
		copy(want[off:], piece)
		if n, err := w.WriteAt(piece, int64(off)); n != len(piece) || err != nil {
			t.Fatalf("WriteAt(%d bytes, %d) = %d, %v", len(piece), off, n, err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want[:len(got)]) || len(got) < len(want)/2 {
		t.Errorf("the file has %d bytes, %v, that are not what was written", len(got), err)
	}
}
