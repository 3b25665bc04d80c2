// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestUnflattener takes a flattened file in pieces, each by another Unflattener
// that knows no more than the state of the one before, and compares with what
// makedumpfile makes of it.
func TestUnflattener(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var flat bytes.Buffer
	w, err := NewFlatWriter(&flat)
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 10000)
	for i := range piece {
		piece[i] = byte(random.Uint32())
	}
	for _, off := range []int64{300000, 100000, 90000, 500001, 0} {
		if _, err := w.WriteAt(piece, off); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "ours"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	var u Unflattener
	for rest := flat.Bytes(); len(rest) > 0; {
		if u.Whole() {
			t.Fatalf("the end was found %d bytes early", len(rest))
		}
		state, err := json.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		u = Unflattener{Out: out}
		if err := json.Unmarshal(state, &u); err != nil {
			t.Fatal(err)
		}
		n, err := u.Write(rest[:min(1+random.IntN(3000), len(rest))])
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if !u.Whole() {
		t.Error("the end was not found")
	}
	got, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	theirs := filepath.Join(dir, "theirs")
	makedumpfile := exec.Command("makedumpfile", "-R", theirs)
	makedumpfile.Stdin = &flat
	if output, err := makedumpfile.CombinedOutput(); errors.Is(err, exec.ErrNotFound) {
		t.Skip("no makedumpfile here to compare with")
	} else if err != nil {
		t.Fatalf("makedumpfile -R: %v\n%s", err, output)
	}
	want, err := os.ReadFile(theirs)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the file has %d bytes, makedumpfile's %d, %v, want the same", len(got), len(want), err)
	}
}

func FuzzUnflattener(f *testing.F) {
	var flat bytes.Buffer
	w, err := NewFlatWriter(&flat)
	if err != nil {
		f.Fatal(err)
	}
	w.WriteAt([]byte("data"), 1<<20)
	w.Close()
	f.Add(flat.Bytes(), 17)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		var whole, pieces discardAt
		one, two := Unflattener{Out: &whole}, Unflattener{Out: &pieces}
		_, err1 := one.Write(data)
		cut = max(0, min(cut, len(data)))
		_, err2 := two.Write(data[:cut])
		if err2 == nil {
			_, err2 = two.Write(data[cut:])
		}
		if (err1 == nil) != (err2 == nil) || err1 == nil && (one.Whole() != two.Whole() || whole != pieces) {
			t.Errorf("at once %v, %v, in pieces %v, %v", one.State, err1, two.State, err2)
		}
	})
}

// discardAt counts what is written to it.
type discardAt struct{ bytes, end int64 }

func (d *discardAt) WriteAt(p []byte, off int64) (int, error) {
	d.bytes += int64(len(p))
	d.end = max(d.end, off+int64(len(p)))
	return len(p), nil
}
