// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/mem"
)

// flatOf makes a flattened file by hand.
func flatOf(end bool, records ...any) []byte {
	b := make([]byte, 4096)
	copy(b, "makedumpfile\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01")
	for i := 0; i < len(records); i += 2 {
		data := records[i+1].(string)
		b = binary.BigEndian.AppendUint64(b, uint64(records[i].(int)))
		b = binary.BigEndian.AppendUint64(b, uint64(len(data)))
		b = append(b, data...)
	}
	if end {
		b = append(b, bytes.Repeat([]byte{0xff}, 16)...)
	}
	return b
}

func TestFlatRead(t *testing.T) {
	for _, c := range []struct {
		name string
		flat []byte
		want string
	}{
		{"in order", flatOf(true, 0, "abc", 3, "def"), "abcdef"},
		{"reverse", flatOf(true, 3, "def", 0, "abc"), "abcdef"},
		{"hole", flatOf(true, 6, "ghi", 0, "abc"), "abc\x00\x00\x00ghi"},
		{"hole in front", flatOf(true, 2, "cd"), "\x00\x00cd"},
		{"empty record", flatOf(true, 0, "abc", 100, ""), "abc"},
		{"the last wins", flatOf(true, 0, "abcdef", 2, "XY"), "abXYef"},
		{"the last wins over two", flatOf(true, 0, "abc", 3, "def", 1, "WXYZ"), "aWXYZf"},
		{"the last wins over all", flatOf(true, 2, "cd", 0, "ab", 1, "X", 0, "ABCDEF"), "ABCDEF"},
		{"same place", flatOf(true, 0, "abc", 0, "ABC", 0, "xy"), "xyC"},
		{"behind the end", append(flatOf(true, 0, "abc"), "trailing"...), "abc"},
		{"nothing", flatOf(true), ""},
	} {
		f, err := NewFlat(bytes.NewReader(c.flat), int64(len(c.flat)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
		if string(got) != c.want || err != nil || f.Size() != int64(len(c.want)) || !f.Whole() {
			t.Errorf("%s: read %q (%v), size %d, whole %v, want %q", c.name, got, err, f.Size(), f.Whole(), c.want)
		}
		for off := range c.want {
			one := make([]byte, 1)
			if n, err := f.ReadAt(one, int64(off)); n != 1 || one[0] != c.want[off] {
				t.Errorf("%s: ReadAt(%d) = %q, %v", c.name, off, one[:n], err)
			}
		}
		var out memFile
		if err := Unflatten(&out, bytes.NewReader(c.flat)); err != nil || string(out.b) != c.want {
			t.Errorf("%s: Unflatten gives %q (%v), want %q", c.name, out.b, err, c.want)
		}
	}
}

func TestFlatCut(t *testing.T) {
	b := flatOf(true, 0, "abcdef", 6, "ghijkl")
	for n := range b {
		if err := Unflatten(&memFile{}, bytes.NewReader(b[:n])); !errors.Is(err, ErrFormat) {
			t.Errorf("cut to %d bytes: Unflatten = %v, want ErrFormat", n, err)
		}
		f, err := NewFlat(bytes.NewReader(b[:n]), int64(n))
		if n < 32 {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("cut to %d bytes: NewFlat = %v, want ErrFormat", n, err)
			}
			continue
		}
		if err != nil || f.Whole() {
			t.Fatalf("cut to %d bytes: %v, whole %v", n, err, f.Whole())
		}
		got, err := io.ReadAll(io.NewSectionReader(f, 0, 1<<40))
		if err != nil || !strings.HasPrefix("abcdefghijkl", string(got)) {
			t.Errorf("cut to %d bytes: read %q, %v", n, got, err)
		}
	}
}

func TestFlatRefuses(t *testing.T) {
	bad := func(at int, v byte) []byte {
		b := flatOf(true, 0, "abcdef")
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"signature":       bad(0, 'x'),
		"type":            bad(23, 2),
		"version":         bad(31, 2),
		"negative offset": bad(4096, 0x80),
		"negative size":   bad(4104, 0x80),
		"text":            bytes.Repeat([]byte("text\n"), 1000),
	} {
		if f, err := NewFlat(bytes.NewReader(b), int64(len(b))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: NewFlat = %v, %v, want ErrFormat", name, f, err)
		}
		if err := Unflatten(&memFile{}, bytes.NewReader(b)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: Unflatten = %v, want ErrFormat", name, err)
		}
	}
}

// flatten writes a dump through a FlatWriter.
func flatten(t *testing.T, n mem.PFN) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewFlatWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	writeDump(t, w, testMeta(amd64, 4096), n)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt([]byte("x"), 0); err == nil {
		t.Error("WriteAt after Close succeeds")
	}
	return b.Bytes()
}

func TestFlatWriter(t *testing.T) {
	const n = 1000
	var plain memFile
	writeDump(t, &plain, testMeta(amd64, 4096), n)
	flat := flatten(t, n)
	f, err := NewFlat(bytes.NewReader(flat), int64(len(flat)))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil || !bytes.Equal(got, plain.b) || !f.Whole() {
		t.Errorf("reads back as %d bytes, want %d (%v)", len(got), len(plain.b), err)
	}
	d, err := New(f, f.Size())
	if err != nil {
		t.Fatal(err)
	}
	checkPages(t, d, mem.PFNRange{End: n}, n)

	// What readers demand: no record is empty and none overlaps another.
	covered := make([]bool, len(plain.b))
	for at := 4096; ; {
		off, size := int64(binary.BigEndian.Uint64(flat[at:])), int64(binary.BigEndian.Uint64(flat[at+8:]))
		if off == -1 {
			if size != -1 || at+16 != len(flat) {
				t.Errorf("end mark %d, %d at %d of %d", off, size, at, len(flat))
			}
			break
		}
		if size <= 0 {
			t.Errorf("record of %d bytes", size)
		}
		for i := off; i < off+size; i++ {
			if covered[i] {
				t.Fatalf("byte %d is there twice", i)
			}
			covered[i] = true
		}
		at += 16 + int(size)
	}
}

// TestFlatOfOthers lets makedumpfile put the file together again.
func TestFlatOfOthers(t *testing.T) {
	tool, err := exec.LookPath("makedumpfile")
	if err != nil {
		t.Skip("no makedumpfile: ", err)
	}
	const n = 1000
	var plain memFile
	writeDump(t, &plain, testMeta(amd64, 4096), n)
	out := filepath.Join(t.TempDir(), "vmcore")
	cmd := exec.Command(tool, "-R", out)
	cmd.Stdin = bytes.NewReader(flatten(t, n))
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("makedumpfile -R: %v\n%s", err, msg)
	}
	got, err := os.ReadFile(out)
	if err != nil || !bytes.Equal(got, plain.b) {
		t.Errorf("makedumpfile -R gives %d bytes, want %d (%v)", len(got), len(plain.b), err)
	}
}

// TestFlatAnyOrder writes a file in pieces in random order, some twice.
func TestFlatAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var want memFile
		var flat []any
		for range 60 {
			off, data := random.IntN(2000), strings.Repeat(string(rune('a'+random.IntN(26))), 1+random.IntN(200))
			want.WriteAt([]byte(data), int64(off))
			flat = append(flat, off, data)
		}
		b := flatOf(true, flat...)
		f, err := NewFlat(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size())); err != nil || !bytes.Equal(got, want.b) {
			t.Fatalf("reads %q (%v), want %q", got, err, want.b)
		}
	}
}

func FuzzFlat(f *testing.F) {
	f.Add(flatOf(true, 0, "abcdef", 2, "XY", 10, "kl"))
	f.Add(flatOf(false, 5, "abc", 0, "abc"))
	f.Fuzz(func(t *testing.T, b []byte) {
		flat, err := NewFlat(bytes.NewReader(b), int64(len(b)))
		var out memFile
		small := limited{&out}
		streamErr := Unflatten(small, bytes.NewReader(b))
		if err != nil || streamErr != nil || flat.Size() > 1<<20 {
			return
		}
		got, err := io.ReadAll(io.NewSectionReader(flat, 0, flat.Size()))
		if err != nil || !bytes.Equal(got, out.b) {
			t.Errorf("NewFlat reads %d bytes (%v), Unflatten writes %d", len(got), err, len(out.b))
		}
	})
}

// limited is a file that cannot become large.
type limited struct{ f *memFile }

func (l limited) WriteAt(p []byte, off int64) (int, error) {
	if off > 1<<20 {
		return 0, errors.New("too large")
	}
	return l.f.WriteAt(p, off)
}
