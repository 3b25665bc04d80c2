// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// MakeCore crashes a machine with the kernel and leaves the core, as the
// capture kernel saw it, at k.Core(). It does nothing if that is there.
func MakeCore(k Kernel, print func(line string)) error {
	if _, err := os.Stat(k.Core()); err == nil {
		return nil
	}
	dir, err := os.MkdirTemp(Build, "core-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image, root, disk := filepath.Join(dir, "raw.cpio"), filepath.Join(dir, "root"), filepath.Join(dir, "disk")
	if err := writeRawImage(image); err != nil {
		return err
	}
	if err := MakeRoot(root, k, File{Path: "boot/raw.cpio", Mode: 0o644, From: image}); err != nil {
		return err
	}
	if err := MakeDisk(disk, "", "4G"); err != nil {
		return err
	}
	m := Machine{Kernel: k, Root: root, Raw: disk, Cmdline: "GUEST_ARM=raw", Print: print}
	console, err := m.Run()
	if err != nil {
		return err
	}
	match := coreSize.FindStringSubmatch(console)
	if match == nil {
		return fmt.Errorf("%s: the machine ended without having saved a core", k.Release)
	}
	size, err := strconv.ParseInt(match[1], 10, 64)
	if err != nil {
		return err
	}
	if err := os.Truncate(disk, size); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(k.Core()), 0o755); err != nil {
		return err
	}
	return os.Rename(disk, k.Core())
}
