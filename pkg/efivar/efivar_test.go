// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package efivar

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// vars returns variables in a directory, which reads as efivarfs does. The VM
// tests have firmware.
func vars(t *testing.T) *Vars {
	t.Helper()
	return &Vars{t.TempDir()}
}

func (v *Vars) put(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(v.dir, file), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestOpen(t *testing.T) {
	if _, err := Open(t.TempDir()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Open of a directory: %v, want %v", err, errors.ErrUnsupported)
	}
	if _, err := Open("/nowhere"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open of nothing: %v, want %v", err, os.ErrNotExist)
	}
}

func TestRead(t *testing.T) {
	v := vars(t)
	v.put(t, "Ours-"+GUID, []byte("\x07\x00\x00\x00value"))
	v.put(t, "Large-"+GUID, make([]byte, attributesSize+MaxData))
	v.put(t, "TooLarge-"+GUID, make([]byte, attributesSize+MaxData+1))
	v.put(t, "Short-"+GUID, []byte("\x07"))
	v.put(t, "Empty-"+GUID, nil)
	v.put(t, "BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c", []byte("\x07\x00\x00\x00\x00\x00"))
	names, err := v.Names()
	if want := []string{"Empty", "Large", "Ours", "Short", "TooLarge"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("Names() = %q, %v, want %q", names, err, want)
	}
	for name, want := range map[string][]byte{"Ours": []byte("value"), "Large": make([]byte, MaxData), "Absent": nil} {
		if got, err := v.Read(name); err != nil || !bytes.Equal(got, want) {
			t.Errorf("Read(%s) = %q, %v, want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"TooLarge", "Short", "Empty"} {
		if got, err := v.Read(name); err == nil {
			t.Errorf("Read(%s) = %q, want an error", name, got)
		}
	}
}

// TestWriteUnknown writes where nobody tells how much is free.
func TestWriteUnknown(t *testing.T) {
	v := vars(t)
	if err := v.Write("New", []byte("x")); !errors.Is(err, ErrNoRoom) {
		t.Errorf("Write = %v, want %v", err, ErrNoRoom)
	}
	for _, size := range []int{0, MaxData + 1} {
		if err := v.Write("New", make([]byte, size)); err == nil || !strings.Contains(err.Error(), "it can have") {
			t.Errorf("Write of %d bytes = %v, want an error about the size", size, err)
		}
	}
	if names, err := v.Names(); err != nil || len(names) > 0 {
		t.Errorf("Names() = %q, %v, want none", names, err)
	}
}

func TestRoom(t *testing.T) {
	for _, tt := range []struct{ free, used, want int64 }{
		{free: 0, want: 0},
		{free: leastFree - 1, want: 0},
		{free: 20 << 10, want: 10 << 10},
		{free: 15 << 10, used: 5 << 10, want: 0}, // too little is left by now
		{free: 100 << 10, used: 20 << 10, want: 40 << 10},
		{free: 1 << 30, want: MaxTotal},
		{free: 1 << 30, used: MaxTotal - 1, want: 1},
		{free: 1 << 30, used: MaxTotal + 1, want: 0},
		{free: -1, want: 0},
	} {
		if got := room(tt.free, tt.used); got != tt.want {
			t.Errorf("room(%d, %d) = %d, want %d", tt.free, tt.used, got, tt.want)
		}
	}
}
