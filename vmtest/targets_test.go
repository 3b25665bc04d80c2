// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestTargets has three targets: one is absent, one breaks in the middle of the
// dump, and one gets it as a whole.
func TestTargets(t *testing.T) {
	begin(t)
	ukdump(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	const label, mib = "second", 1 << 20
	dir := t.TempDir()
	bad, good, socket := filepath.Join(dir, "bad"), filepath.Join(dir, "good"), filepath.Join(dir, "socket")
	if err := MakeDisk(bad, "ext4", "512M", mkfs["ext4"]...); err != nil {
		t.Fatal(err)
	}
	if err := MakeDisk(good, "ext4", "512M", "-q", "-L", label); err != nil {
		t.Fatal(err)
	}
	server, err := ServeBadDisk(socket, bad, FailWrites, 12*mib)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	m := Machine{Kernel: k, Root: root, Virtio: []string{good}, Args: []string{
		"-drive", "if=none,format=raw,werror=report,rerror=report,id=bad,cache=none,file=nbd:unix:" + socket,
		"-device", "virtio-blk-pci,drive=bad",
	}}
	m.Steps = slices.Concat(AttachVirtio("ext4"), []string{
		"write /etc/kdump.conf path /dumps|device_timeout 3|ext4 UUID=00000000-0000-0000-0000-000000000001|ext4 UUID=" + uuid +
			"|target_timeout 5m|ext4 LABEL=" + label,
		kdumpctl + "build --generic", kdumpctl + "load", "fill 256", "crash"})
	console, err := m.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the machine did not end by itself: %v", err)
	}
	wantSaid(t, console, "target: 1 of 3", "device: failed", "target: 2 of 3", "dump: failed", "target: 3 of 3")
	saved, half := t.TempDir(), t.TempDir()
	if err := Extract(k, root, good, "ext4", saved); err != nil {
		t.Fatal(err)
	}
	checkSaved(t, k, console, filepath.Join(saved, "dumps"))
	if err := readExt4(bad, half); err != nil {
		t.Fatal(err)
	}
	if logs := glob(t, filepath.Join(half, "dumps/*/vmcore-dmesg.txt")); len(logs) != 1 {
		t.Errorf("the broken disk has the kernel logs %q, want one", logs)
	}
	if names := glob(t, filepath.Join(half, "dumps/*/vmcore")); names != nil {
		t.Errorf("the broken disk has %q, as if that were complete", names)
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return names
}
