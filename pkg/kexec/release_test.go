// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kexec

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReleaseOfKernels compares with the names that distributions give their
// kernels: those installed here and those that the VM tests have fetched.
func TestReleaseOfKernels(t *testing.T) {
	installed, _ := filepath.Glob("/boot/vmlinuz-*")
	fetched, _ := filepath.Glob("../../build/kernel/*/boot/vmlinuz-*")
	kernels := append(installed, fetched...)
	if len(kernels) == 0 {
		t.Skip("no kernels here")
	}
	for _, k := range kernels {
		_, want, _ := strings.Cut(filepath.Base(k), "-")
		got, err := Release(k)
		if os.IsPermission(err) {
			continue
		}
		if err != nil || got != want && got != "" {
			t.Errorf("Release(%s) = %q, %v, want %q", k, got, err, want)
		}
	}
}

func TestBzImageRelease(t *testing.T) {
	header := func(magic string, pointer uint16, text string) string {
		b := make([]byte, 0x400)
		copy(b[0x202:], magic)
		binary.LittleEndian.PutUint16(b[0x20e:], pointer)
		return string(b) + text
	}
	for _, tt := range []struct{ name, file, want string }{
		{"empty", "", ""},
		{"short", strings.Repeat("x", 0x20f), ""},
		{"not a bzImage", header("MZMZ", 0x200, "6.1.0 (x) #1"), ""},
		{"no version", header("HdrS", 0, "6.1.0 (x) #1"), ""},
		{"version", header("HdrS", 0x200, "6.1.0-18-amd64 (x@y) #1 SMP\x00rest"), "6.1.0-18-amd64"},
		{"version alone", header("HdrS", 0x200, "6.1.0"), "6.1.0"},
		{"beyond the end", header("HdrS", 0xffff, ""), ""},
	} {
		got, err := bzImageRelease(strings.NewReader(tt.file))
		if err != nil || got != tt.want {
			t.Errorf("%s: bzImageRelease = %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func FuzzBzImageRelease(f *testing.F) {
	b := make([]byte, 0x300)
	copy(b[0x202:], "HdrS")
	f.Add(b)
	f.Fuzz(func(t *testing.T, kernel []byte) {
		if release, err := bzImageRelease(bytes.NewReader(kernel)); err != nil || len(release) > 256 {
			t.Errorf("bzImageRelease = %q, %v", release, err)
		}
	})
}
