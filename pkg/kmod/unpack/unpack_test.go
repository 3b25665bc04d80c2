// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package unpack

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestReadModule(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "m.ko")
	want := append([]byte(elfMagic), bytes.Repeat([]byte("some code "), 100000)...)
	if err := os.WriteFile(plain, want, 0o600); err != nil {
		t.Fatal(err)
	}
	for suffix, compressor := range map[string][]string{
		"":     nil,
		".gz":  {"gzip", "-k", plain},
		".xz":  {"xz", "-k", "--check=crc32", plain}, // as the kernel's Makefile does it
		".zst": {"zstd", "-q", "-19", plain},
	} {
		if compressor != nil {
			if out, err := exec.Command(compressor[0], compressor[1:]...).CombinedOutput(); err != nil {
				t.Logf("skipping %q: %v\n%s", compressor, err, out)
				continue
			}
		}
		got, err := ReadModule(plain + suffix)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("ReadModule(m.ko%s) = %d bytes, %v, want %d", suffix, len(got), err, len(want))
		}
	}
}

func TestReadModuleErrors(t *testing.T) {
	for name, contents := range map[string]string{
		"empty":     "",
		"text":      "no module",
		"short":     elfMagic[:3],
		"bad.xz":    "\xfd7zXZ\x00 and then something else",
		"bad.zst":   "\x28\xb5\x2f\xfd and then something else",
		"bad.gz":    "\x1f\x8b and then something else",
		"magic.zst": "\x28\xb5\x2f\xfd",
	} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(contents), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadModule(path); err == nil {
			t.Errorf("ReadModule(%s) = %q, want an error", name, got)
		}
	}
}

// FuzzRead feeds the decompressors, whose output is bounded.
func FuzzRead(f *testing.F) {
	f.Add([]byte(elfMagic + "..."))
	f.Add([]byte("\xfd7zXZ\x00\x00\x01\x69\x22\xde\x36"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x04\x00\x21\x00\x00\x7fELF"))
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"))
	f.Fuzz(func(t *testing.T, file []byte) {
		module, err := read(bytes.NewReader(file))
		if (err == nil) != bytes.HasPrefix(module, []byte(elfMagic)) {
			t.Errorf("read = %.20q, %v", module, err)
		}
	})
}
