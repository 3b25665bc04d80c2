// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package blockdev finds block devices the way administrators name them: by the
// UUID or the label of the file system on them, or by path. It reads the
// superblocks itself, as there is no udev in a capture kernel, and learns of new
// devices from the kernel's uevents.
package blockdev

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// sectorSize is the unit of sizes in sysfs, whatever the device's own is.
const sectorSize = 512

// Device is a disk or a partition.
type Device struct {
	Name string // in /sys/class/block, for example "vda1"
	Path string // of its node, for example "/dev/vda1"
	Size int64  // in bytes
}

// List returns the disks and partitions that can hold a file system, sorted by
// name: no empty drives, RAM disks, optical or floppy drives, and no member of
// an array that is assembled. The arguments are the mount points of sysfs and
// devtmpfs.
func List(sys, dev string) ([]Device, error) {
	class := filepath.Join(sys, "class/block")
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, fmt.Errorf("listing block devices: %w", err)
	}
	var devices []Device
	for _, e := range entries {
		dir := filepath.Join(class, e.Name())
		size := readSize(filepath.Join(dir, "size"))
		if size == 0 || unsuited(e.Name()) || hasEntries(filepath.Join(dir, "holders")) {
			continue
		}
		// The kernel writes "!" for a slash in names such as cciss/c0d0.
		node := filepath.Join(dev, strings.ReplaceAll(e.Name(), "!", "/"))
		devices = append(devices, Device{Name: e.Name(), Path: node, Size: size})
	}
	return devices, nil
}

// unsuited reports whether a device is of a kind that is no place for dumps and
// may take long to answer.
func unsuited(name string) bool {
	kind := strings.TrimRight(name, "0123456789")
	return kind == "ram" || kind == "zram" || kind == "sr" || kind == "fd"
}

// readSize returns the size of a device in bytes; 0 if it has none, has just
// vanished or says nonsense.
func readSize(file string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	sectors, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || sectors < 0 || sectors > (1<<63-1)/sectorSize {
		return 0
	}
	return sectors * sectorSize
}

func hasEntries(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) > 0
}
