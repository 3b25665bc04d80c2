// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package kexec arms the running machine with a capture kernel: it loads a
// kernel, an image and a command line into the memory that crashkernel= set
// aside, takes them out again, and says what is reserved and armed.
//
// It speaks kexec_file_load(2) alone. There the kernel itself checks the
// signature, builds the ELF header of the crash memory and keeps it up to date
// under hotplug, so that one call works with Secure Boot as without.
package kexec

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Load arms the machine: on a panic it will boot the kernel in the file
// kernelPath with the image in initrdPath and the command line. It needs
// CAP_SYS_BOOT.
//
// The kernel throws away what was armed before it looks at the new image
// (kernel/kexec_file.c), so after an error of the system call nothing is armed;
// the error says so. Errors of the system call wrap its errno.
func Load(kernelPath, initrdPath, cmdline string) error {
	status, err := ReadStatus()
	if err != nil {
		return err
	}
	if status.Reserved == 0 {
		return ErrNoReservation
	}
	kernel, err := os.Open(kernelPath)
	if err != nil {
		return fmt.Errorf("kernel image: %w", err)
	}
	defer kernel.Close()
	initrd, err := os.Open(initrdPath)
	if err != nil {
		return fmt.Errorf("capture image: %w", err)
	}
	defer initrd.Close()

	err = unix.KexecFileLoad(int(kernel.Fd()), int(initrd.Fd()), cmdline, unix.KEXEC_FILE_ON_CRASH)
	if err != nil {
		return explain(err, loadCall{kernelPath, fileSize(kernel), initrdPath, fileSize(initrd), len(cmdline), status})
	}
	if status, err = ReadStatus(); err == nil && !status.Armed {
		err = errors.New("the kernel took the image, but does not report it as armed (/sys/kernel/kexec_crash_loaded)")
	}
	return err
}

// Unload disarms the machine: a panic no longer boots a capture kernel. It is
// no error if nothing was armed.
func Unload() error {
	if _, err := ReadStatus(); err != nil {
		return err
	}
	err := unix.KexecFileLoad(-1, -1, "", unix.KEXEC_FILE_UNLOAD|unix.KEXEC_FILE_ON_CRASH)
	if err != nil {
		return explain(err, loadCall{})
	}
	return nil
}

func fileSize(f *os.File) int64 {
	fi, err := f.Stat()
	if err != nil {
		return 0
	}
	return fi.Size()
}
