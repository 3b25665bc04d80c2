// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package unpack

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestFirmwareOf has modinfo say what modules of real kernels ask for.
func TestFirmwareOf(t *testing.T) {
	modules, _ := filepath.Glob("../../../build/kernel/*/lib/modules/*/kernel/drivers/comedi/drivers/*.ko*")
	if len(modules) == 0 {
		t.Skip("no kernels have been fetched (make kernels)")
	}
	modinfo, err := exec.LookPath("modinfo")
	if err != nil {
		modinfo = "/sbin/modinfo"
	}
	asking := 0
	for _, module := range modules {
		out, err := exec.Command(modinfo, "-F", "firmware", module).Output()
		if err != nil {
			t.Skipf("%s: %v", modinfo, err)
		}
		want := strings.Fields(string(out))
		got, err := FirmwareOf(module)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("FirmwareOf(%s) = %q, %v, want %q", module, got, err, want)
		}
		asking += len(want)
	}
	if asking == 0 {
		t.Error("no module asks for firmware")
	}
}

func TestReadFirmware(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "chip.bin")
	want := strings.Repeat("microcode ", 1000)
	if err := os.WriteFile(plain, []byte(want), 0o600); err != nil {
		t.Fatal(err)
	}
	for suffix, compressor := range map[string][]string{
		"":     nil,
		".xz":  {"xz", "-k", "--check=crc32", plain},
		".zst": {"zstd", "-q", plain},
	} {
		if compressor != nil {
			if out, err := exec.Command(compressor[0], compressor[1:]...).CombinedOutput(); err != nil {
				t.Logf("skipping %q: %v\n%s", compressor, err, out)
				continue
			}
		}
		if got, err := ReadFirmware(plain + suffix); err != nil || string(got) != want {
			t.Errorf("ReadFirmware(chip.bin%s) = %d bytes, %v, want %d", suffix, len(got), err, len(want))
		}
	}
	if err := os.Truncate(plain, MaxFirmware+1); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadFirmware(plain); err == nil {
		t.Errorf("ReadFirmware of a huge file = %d bytes", len(got))
	}
}
