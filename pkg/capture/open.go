// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/blockdev"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target/file"
	"github.com/ukdump/ukdump/pkg/target/raw"
)

// openPhases returns what it takes until the target's store is open. The last of
// them opens it.
func openPhases(t config.Target) []phase {
	device := phase{name: "device", limit: deviceTimeout, do: findDevice}
	mount := phase{name: "mount", limit: within(2 * time.Minute), do: mountTarget}
	switch {
	case t.OverNetwork():
		return networkPhases(t)
	case t.Shared():
		return []phase{mount}
	}
	if t.Kind == "raw" {
		return []phase{device, {name: "open", limit: within(time.Minute), needs: []string{device.name}, do: openRaw}}
	}
	mount.needs = []string{device.name}
	return []phase{device, mount}
}

// openRaw opens a slot on a device without a file system.
func openRaw(ctx context.Context, r *run, s state) (state, error) {
	store, err := raw.Open(ctx, raw.Options{Device: s.device.Path, Owner: s.config.Machine})
	if err != nil {
		return s, err
	}
	r.log.printf("open: %v", store)
	s.store = store
	return s, nil
}

// findDevice waits for the target's block device.
func findDevice(ctx context.Context, r *run, s state) (state, error) {
	warn := func(line string) { r.log.printf("device: %s", line) }
	found, err := blockdev.Find(ctx, r.machine.sys, r.machine.dev, s.Address, warn)
	if err != nil {
		return s, err
	}
	r.log.printf("device: %s is %s, %d MiB", s.Address, found.Path, found.Size>>20)
	s.device = found
	return s, nil
}

// mountTarget mounts the target's file system and opens the directory on it.
func mountTarget(_ context.Context, r *run, s state) (state, error) {
	dir := r.mountPoint(s)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, err
	}
	if err := mountSite(s.site, dir); err != nil {
		return s, err
	}
	unmount := func() error { return unix.Unmount(dir, 0) }
	store, err := file.OpenStore(dir, s.Dir, unmount)
	if err != nil {
		return s, errors.Join(err, unmount())
	}
	s.store = store
	return s, nil
}

// mountPoint returns where the target gets mounted: each at a place of its own, as
// one that was left behind may still be mounted.
func (r *run) mountPoint(s state) string {
	if s.number == 0 {
		return r.machine.mount
	}
	return r.machine.mount + strconv.Itoa(s.number+1)
}

// mountSite mounts the target's file system.
func mountSite(t site, dir string) error {
	if t.Shared() {
		return mountShare(t.Kind, t.Address, dir)
	}
	return mountDevice(t.device, t.Kind, dir)
}

// mountShare mounts a directory of the hypervisor's.
func mountShare(kind, tag, dir string) error {
	err := tryMounts(tag, kind, dir)
	if errors.Is(err, unix.ENODEV) {
		err = fmt.Errorf("%w: the kernel has no %s, and no module for it was loaded", err, kind)
	}
	if err != nil {
		return fmt.Errorf("mounting the share %s as %s: %w", tag, kind, err)
	}
	return nil
}

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
	case "9p":
		return "trans=virtio,version=9p2000.L,msize=524288"
	}
	return ""
}
