// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/blockdev"
)

// mountDevice mounts a device with a file system of that type, writable.
func mountDevice(device blockdev.Found, fsType, dir string) error {
	err := tryMounts(device.Path, fsType, dir)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		err = fmt.Errorf("%w: the kernel has no %s, and no module for it was loaded", err, fsType)
	case device.Type != "" && device.Type != fsType:
		err = fmt.Errorf("%w: there is %s on it", err, device.Type)
	}
	return fmt.Errorf("mounting %s as %s: %w", device.Path, fsType, err)
}

// tryMounts mounts with the best type and options that the kernel takes.
func tryMounts(device, fsType, dir string) error {
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME
	options := mountOptions(fsType)
	err := unix.Mount(device, dir, fsType, flags, options)
	if errors.Is(err, unix.ENODEV) && (fsType == "ext2" || fsType == "ext3") {
		// A kernel without CONFIG_EXT4_USE_FOR_EXT2 has ext4 do it all the same.
		err = unix.Mount(device, dir, "ext4", flags, options)
	}
	if errors.Is(err, unix.EINVAL) && options != "" {
		// It may know the file system, but not the options.
		err = unix.Mount(device, dir, fsType, flags, "")
	}
	return err
}

// mountOptions returns the options for a file system of that type.
func mountOptions(fsType string) string {
	switch fsType {
	case "ext2", "ext3", "ext4":
		// The superblock may ask for a panic on errors; an error of writing is
		// enough.
		return "errors=remount-ro"
	case "vfat":
		return "umask=0077"
	}
	return ""
}
