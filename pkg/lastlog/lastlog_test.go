// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package lastlog

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

var crashed = time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)

// kernelLog returns a text that compresses as kernel logs do.
func kernelLog(lines int) []byte {
	var b bytes.Buffer
	random := rand.New(rand.NewPCG(1, 2))
	for i := range lines {
		fmt.Fprintf(&b, "[%5d.%06d] pci 0000:%02x:%02x.0: reg 0x%02x: [mem %#x-%#x]\n",
			i/10, random.IntN(1e6), random.IntN(256), random.IntN(32), random.IntN(64), random.Uint32(), random.Uint32())
	}
	return b.Bytes()
}

// noise does not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func parseAll(t *testing.T, packed [][]byte) []Piece {
	t.Helper()
	var pieces []Piece
	for i, b := range packed {
		p, err := Parse(b)
		if err != nil {
			t.Fatalf("piece %d: %v", i, err)
		}
		if p.Number != i || p.Count != len(packed) || !p.Crashed.Equal(crashed) {
			t.Fatalf("piece %d is %d of %d, crashed %v", i, p.Number, p.Count, p.Crashed)
		}
		pieces = append(pieces, p)
	}
	return pieces
}

func TestPack(t *testing.T) {
	for name, text := range map[string][]byte{
		"log": kernelLog(300), "short": []byte("x"), "noise": noise(3000), "zeros": make([]byte, 20000), "nothing": nil,
		"odd": append(kernelLog(30), "no line feed"...),
	} {
		for _, size := range []int{256, 1024} {
			packed, err := Pack(Report, crashed, text, size)
			if err != nil {
				t.Fatalf("%s: Pack: %v", name, err)
			}
			for i, b := range packed {
				if len(b) > size {
					t.Errorf("%s: piece %d has %d bytes, want %d at the most", name, i, len(b), size)
				}
			}
			pieces := parseAll(t, packed)
			slices.Reverse(pieces)
			if got, missing := Join(pieces); !bytes.Equal(got, text) || missing != 0 {
				t.Errorf("%s in pieces of %d bytes: %d bytes joined, %d missing, want %d", name, size, len(got), missing, len(text))
			}
		}
	}
	if _, err := Pack(Dmesg, crashed, []byte("x"), headerSize); err == nil {
		t.Error("pieces without room for text are possible")
	}
}

// TestPackSmall holds the size against what the package promises.
func TestPackSmall(t *testing.T) {
	text := kernelLog(300)
	packed, err := Pack(Dmesg, crashed, text, 1024)
	if err != nil {
		t.Fatal(err)
	}
	if perPiece := len(text) / len(packed); perPiece < 2000 {
		t.Errorf("%d bytes of text in a piece of 1024", perPiece)
	}
}

func TestJoinMissing(t *testing.T) {
	text := kernelLog(500)
	packed, err := Pack(Dmesg, crashed, text, 1024)
	if err != nil {
		t.Fatal(err)
	}
	pieces := parseAll(t, packed)
	last := len(pieces) - 1
	for name, gone := range map[string][]int{"first": {last}, "middle": {3, 4}, "end": {0}, "one of two": {2, 5}} {
		left := slices.DeleteFunc(slices.Clone(pieces), func(p Piece) bool { return slices.Contains(gone, p.Number) })
		left = append(left, left[0]) // twice the same is no harm
		got, missing := Join(left)
		if missing != len(gone) {
			t.Errorf("%s: %d pieces are missing, want %d", name, missing, len(gone))
		}
		want := text
		for _, n := range gone {
			if bytes.Contains(got, pieces[n].Text) {
				t.Errorf("%s: piece %d is there", name, n)
			}
			want = bytes.Replace(want, pieces[n].Text, nil, 1)
		}
		notes := 0
		var kept []byte
		for line := range strings.Lines(string(got)) {
			if strings.HasSuffix(line, "are missing here]\n") {
				notes++
				kept = kept[:len(kept)-1] // the line feed before
				continue
			}
			kept = append(kept, line...)
		}
		if wantNotes := map[string]int{"one of two": 2}[name]; notes != max(wantNotes, 1) {
			t.Errorf("%s: %d notes about what is missing", name, notes)
		}
		if !bytes.Equal(kept, want) {
			t.Errorf("%s: %d bytes kept, want %d", name, len(kept), len(want))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range [][]byte{kernelLog(10), noise(100)} {
		packed, err := Pack(Dmesg, crashed, text, 1024)
		if err != nil {
			f.Fatal(err)
		}
		for _, b := range packed {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err == nil && (len(p.Text) > maxText || p.Number >= p.Count) {
			t.Errorf("piece %d of %d with %d bytes", p.Number, p.Count, len(p.Text))
		}
		if err == nil {
			Join([]Piece{p, p})
		}
	})
}
