// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kmod

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ForDevice returns the normalized names of the modules that drive a device and
// everything that it hangs on: buses, controllers, and the disks below an md or
// device-mapper device or an NVMe multipath head. Built-in ones are among them.
// The device is a path below sys, the mount point of sysfs, and may be a link,
// for example "/sys/class/block/vda1".
//
// Two sources are joined, as neither suffices: the driver that is bound now, and
// the modalias of the device, which leads to modules that bind no driver of
// their own name (or whose name another kernel release changed).
func (t *Tree) ForDevice(sys, device string) ([]string, error) {
	w := deviceWalk{tree: t, seen: map[string]bool{}}
	var err error
	if w.sys, err = filepath.EvalSymlinks(sys); err != nil {
		return nil, err
	}
	if err := w.visit(device); err != nil {
		return nil, err
	}
	return w.modules, nil
}

// maxDevices bounds how many directories of sysfs a walk looks at.
const maxDevices = 10000

type deviceWalk struct {
	tree    *Tree
	sys     string
	seen    map[string]bool
	modules []string
}

// visit looks at the device and, going up, at every directory above it.
func (w *deviceWalk) visit(device string) error {
	dir, err := filepath.EvalSymlinks(device)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(dir, w.sys+"/") {
		return fmt.Errorf("%s leads to %s, which is not in %s", device, dir, w.sys)
	}
	for ; dir != w.sys && !w.seen[dir]; dir = filepath.Dir(dir) {
		if len(w.seen) == maxDevices {
			return fmt.Errorf("%s: hangs on more than %d devices", device, maxDevices)
		}
		w.seen[dir] = true
		w.look(dir)
		for _, below := range lowerDevices(dir) {
			// A disk that is missing from an array is no reason to fail.
			if err := w.visit(below); err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return nil
}

// look collects the modules of one device.
func (w *deviceWalk) look(dir string) {
	link := filepath.Join(dir, "driver", "module")
	if module, err := os.Readlink(link); err == nil {
		name := Normalize(module)
		// What cannot be a module is in no list of those that are built in.
		if len(w.tree.Resolve(name)) > 0 || !builtIn(link) {
			w.add(name)
		}
	}
	if modalias, err := os.ReadFile(filepath.Join(dir, "modalias")); err == nil {
		for _, name := range w.tree.Resolve(strings.TrimSpace(string(modalias))) {
			w.add(name)
		}
	}
}

// builtIn reports whether a directory of /sys/module is of code that is part of
// the running kernel: only modules that were loaded have a state.
func builtIn(module string) bool {
	_, err := os.Stat(filepath.Join(module, "initstate"))
	return errors.Is(err, fs.ErrNotExist)
}

func (w *deviceWalk) add(name string) {
	if !slices.Contains(w.modules, name) {
		w.modules = append(w.modules, name)
	}
}

// lowerDevices returns the devices that dir is made of, which are not above it
// in the tree of devices: the slaves of a stacked block device, and the
// controllers of an NVMe subsystem.
func lowerDevices(dir string) []string {
	lower := listDir(filepath.Join(dir, "slaves"))
	if filepath.Base(filepath.Dir(dir)) == "nvme-subsystem" {
		for _, entry := range listDir(dir) {
			if info, err := os.Lstat(entry); err == nil && info.Mode()&fs.ModeSymlink != 0 &&
				strings.HasPrefix(filepath.Base(entry), "nvme") {
				lower = append(lower, entry)
			}
		}
	}
	return lower
}

// listDir returns the paths of what is in dir; nothing if it cannot be read.
func listDir(dir string) []string {
	entries, _ := os.ReadDir(dir)
	paths := make([]string, len(entries))
	for i, e := range entries {
		paths[i] = filepath.Join(dir, e.Name())
	}
	return paths
}

// ForFilesystem returns which modules mounting a file system of that type takes:
// the names in required must lead somewhere, those in wanted are loaded where
// the kernel has them. The kernel would ask user space for the wanted ones at
// mount time, but in the image nobody answers.
func ForFilesystem(fsType string) (required, wanted []string) {
	// For metadata, of which a dump writes little. "crc32c" would bring the faster
	// ones, too.
	const checksums = "crc32c-generic"
	switch fsType {
	case "ext2", "ext3", "ext4":
		// Kernels without an ext2 or ext3 of their own use ext4 for all three.
		return []string{"ext4"}, []string{checksums, fsType}
	case "vfat":
		// Code page 437 and the character sets that kernels are configured to
		// default to (FAT_DEFAULT_CODEPAGE, FAT_DEFAULT_IOCHARSET).
		return []string{"vfat"}, []string{"nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8"}
	case "xfs":
		return []string{"xfs"}, []string{checksums}
	case "nfs":
		// A kernel may lack a version, and the server be of another.
		return []string{"nfs"}, []string{"nfsv4", "nfsv3"}
	case "9p":
		return []string{"9p", "9pnet_virtio", "virtio_pci"}, nil
	case "virtiofs":
		return []string{"virtiofs", "virtio_pci"}, nil
	}
	return []string{fsType}, nil
}
