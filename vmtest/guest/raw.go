// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const rawImage = "/boot/raw.cpio"

// armRaw loads this kernel with the image that copies the core.
func armRaw() error {
	release, err := kernelRelease()
	if err != nil {
		return err
	}
	kernel, err := os.Open("/boot/vmlinuz-" + release)
	if err != nil {
		return err
	}
	defer kernel.Close()
	image, err := os.Open(rawImage)
	if err != nil {
		return err
	}
	defer image.Close()
	const cmdline = "console=ttyS0 nr_cpus=1 reset_devices panic=-1 oops=panic loglevel=6 printk.devkmsg=on"
	err = unix.KexecFileLoad(int(kernel.Fd()), int(image.Fd()), cmdline, unix.KEXEC_FILE_ON_CRASH)
	if err != nil {
		return fmt.Errorf("kexec_file_load: %w", err)
	}
	return nil
}

// copyCore copies /proc/vmcore to the target disk, leaving out blocks of zeros
// (the disk is a new, sparse file), and says how long the core is. It restarts
// the machine itself, because a return would mean failure.
func copyCore() error {
	core, err := os.Open("/proc/vmcore")
	if err != nil {
		return err
	}
	disk, err := openTarget(unix.O_DIRECT)
	if err != nil {
		return err
	}
	// Anonymous memory of its own, because O_DIRECT wants aligned buffers.
	buf, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	zeros := make([]byte, len(buf))
	size := int64(0)
	for {
		n, err := io.ReadFull(core, buf)
		clear(buf[n:])
		if !bytes.Equal(buf, zeros) {
			if _, err := disk.WriteAt(buf, size); err != nil {
				return err
			}
		}
		size += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := disk.Sync(); err != nil {
		return err
	}
	say("core of %d bytes", size)
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}
