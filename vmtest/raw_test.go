// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"path/filepath"
	"slices"
	"testing"
)

// TestRaw saves a dump to a disk without a file system. The machine copies it from
// there when it has booted again, and again there is nothing left to copy.
func TestRaw(t *testing.T) {
	begin(t)
	ukdump(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	raw, saved := filepath.Join(dir, "raw"), filepath.Join(dir, "saved")
	if err := MakeDisk(raw, "", "512M"); err != nil {
		t.Fatal(err)
	}
	if err := MakeDisk(saved, "ext4", "512M", mkfs["ext4"]...); err != nil {
		t.Fatal(err)
	}
	disks := []string{raw, saved} // vda and vdb
	attach := AttachVirtio("ext4")
	crash := Machine{Kernel: k, Root: root, Virtio: disks}
	crash.Steps = slices.Concat(attach, []string{kdumpctl + "format-raw /dev/vda", "write /etc/kdump.conf raw /dev/vda",
		kdumpctl + "build", kdumpctl + "load", "fill 256", "crash"})
	console, err := crash.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the machine did not end by itself: %v", err)
	}
	wantSaid(t, console, "open: slot 0 of /dev/vda")

	boot := Machine{Kernel: k, Root: root, Virtio: disks, MemoryMiB: 512}
	boot.Steps = slices.Concat(attach, []string{"mount ext4 /dev/vdb /var/crash", "write /etc/kdump.conf raw /dev/vda",
		kdumpctl + "save-raw --list", kdumpctl + "save-raw", kdumpctl + "save-raw --list", kdumpctl + "save-raw"})
	booted, err := boot.Run()
	logConsole(t, booted)
	if err != nil {
		t.Fatal(err)
	}
	wantSaid(t, booted, "slot 0: closed", "copied to /var/crash/127.0.0.1-", "slot 0: free")

	files := t.TempDir()
	if err := Extract(k, root, saved, "ext4", files); err != nil {
		t.Fatal(err)
	}
	checkSaved(t, k, console, files)
	output(t, ukdump(t), "dumpinfo", "--verify", filepath.Join(onlyDump(t, files), "vmcore"))
}
