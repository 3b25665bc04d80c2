// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kexec

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

var (
	// ErrNotSupported says that the running kernel has no crash kexec at all.
	ErrNotSupported = errors.New("the running kernel cannot boot a capture kernel: /sys/kernel/kexec_crash_size is missing; use a kernel with CONFIG_CRASH_DUMP and CONFIG_KEXEC_FILE")
	// ErrNoReservation says that no memory was set aside at boot.
	ErrNoReservation = errors.New("no memory is reserved for a capture kernel: add crashkernel=192M to the kernel command line and reboot")
)

// loadCall is what an error of kexec_file_load is explained with. Its zero
// value is an unload.
type loadCall struct {
	kernel     string
	kernelSize int64
	initrd     string
	initrdSize int64
	cmdlineLen int
	status     Status
}

// longCommandLine is where a command line becomes the likely cause of EINVAL:
// x86_64 and arm64 take 2048 bytes, of which the kernel needs 30 for elfcorehdr=
// (MAX_ELFCOREHDR_STR_LEN in arch/x86/kernel/kexec-bzimage64.c).
const longCommandLine = 2048 - 30

// explain turns an errno of kexec_file_load(2) into what it means here and what
// to do about it. The reasons are those of kernel/kexec_file.c, kernel/kexec_core.c
// and security/lockdown in Linux 6.18.
func explain(err error, c loadCall) error {
	why := ""
	switch {
	case errors.Is(err, unix.ENOSYS):
		why = "the running kernel has no kexec_file_load; use one with CONFIG_KEXEC_FILE"
	case errors.Is(err, unix.EPERM):
		why = "not permitted: run as root; if that is not it, kernel.kexec_load_disabled or kernel.kexec_load_limit_panic forbids it until the next boot, or the kernel is locked down and " + unsigned(c.kernel)
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.EKEYREJECTED), errors.Is(err, unix.ENOKEY),
		errors.Is(err, unix.EBADMSG), errors.Is(err, unix.ENOPKG), errors.Is(err, unix.ELIBBAD):
		why = "the running kernel takes signed kernels only and " + unsigned(c.kernel)
	case errors.Is(err, unix.EBUSY):
		why = "another kexec call is under way; try again"
	case errors.Is(err, unix.ETXTBSY):
		why = "the kernel image or the capture image is open for writing; try again"
	case errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENOMEM):
		why = fmt.Sprintf("%s (%s), with room to unpack itself, and %s (%s) do not fit in the %s that crashkernel= reserved: reserve more, or build a smaller image",
			c.kernel, mib(uint64(c.kernelSize)), c.initrd, mib(uint64(c.initrdSize)), mib(c.status.Reserved))
	case errors.Is(err, unix.ENOEXEC):
		why = c.kernel + " is no kernel image that kexec_file_load knows on this machine; name the one that the boot loader starts with --kernel-image"
	case errors.Is(err, unix.EINVAL) && c.cmdlineLen > longCommandLine:
		why = fmt.Sprintf("the command line of the capture kernel has %d bytes, which is probably too long; shorten it with --remove", c.cmdlineLen)
	case errors.Is(err, unix.EINVAL):
		why = "refused as invalid; the kernel log (dmesg) may say more"
	default:
		why = "the kernel log (dmesg) may say more"
	}
	if c.status.Armed {
		why += "; the image that was armed before is gone"
	}
	return fmt.Errorf("kexec_file_load: %s: %w", why, err)
}

func unsigned(kernel string) string {
	return kernel + " has no signature that it trusts; use the distribution's signed kernel"
}

func mib(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
