// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package image

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/ukdump/ukdump/pkg/kmod"
)

// TestFirmware has a driver of the kernels that are here, and firmware for it in
// two of the folders that the kernel looks in.
func TestFirmware(t *testing.T) {
	for _, dir := range realTrees(t) {
		tree, err := kmod.OpenTree(dir)
		if err != nil {
			t.Errorf("OpenTree(%s) = %v", dir, err)
			continue
		}
		modules, err := tree.Closure("ni_pcidio") // asks for three files
		if err != nil {
			continue // not in every kernel
		}
		root, release := t.TempDir(), filepath.Base(dir)
		for name, text := range map[string]string{
			"niscrb01.bin": "old", "updates/" + release + "/niscrb01.bin": "new", "niscrb02.bin": "second", "other.bin": "of another driver",
		} {
			file := filepath.Join(root, firmwareDir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		files, err := Firmware(root, modules, release)
		if err != nil {
			t.Errorf("Firmware for %s = %v", release, err)
		}
		got := map[string]string{}
		for _, f := range files {
			got[f.Path] = string(f.Data)
		}
		if len(got) != 2 || got["/lib/firmware/niscrb01.bin"] != "new" || got["/lib/firmware/niscrb02.bin"] != "second" {
			t.Errorf("Firmware for %s = %q, want niscrb01.bin, the new one, and niscrb02.bin", release, got)
		}
	}
}
