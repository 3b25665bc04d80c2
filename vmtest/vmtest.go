// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package vmtest crashes real machines, in QEMU, and looks at what is left of
// them. Its tests hold ukdump against Debian's kernels and against the readers
// that people use: makedumpfile, crash and drgn.
//
// A machine is Debian's cloud kernel (fetched by the script fetch, unpacked
// under build/kernel) with a root file system made for the test, whose init is
// the program in guest. It arms a capture kernel, fills memory and panics. What
// the capture kernel runs is either ukdump itself, for the test of the whole, or
// a plain copy of /proc/vmcore to a disk: the cores under build/cores that the
// other tests read.
//
// The Makefile fetches and builds what the tests need, and runs them.
package vmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Build is the folder of everything that is made: build/ of the repository.
var Build = func() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "build")
}()

// Kernel is an unpacked Debian kernel package.
type Kernel struct {
	// Suite is the Debian suite that it comes from, for example "bookworm".
	Suite string
	// Release is its name as in uname -r.
	Release string
	// Root holds boot/ and lib/modules/ as the package has them.
	Root string
}

// FindKernel returns the kernel that `vmtest/fetch kernel SUITE` left. The
// error says what to run if it is not there.
func FindKernel(suite string) (Kernel, error) {
	release, err := os.Readlink(filepath.Join(Build, "kernel", suite))
	if err != nil {
		return Kernel{}, fmt.Errorf("no kernel of Debian %s: run vmtest/fetch kernel %s", suite, suite)
	}
	return Kernel{suite, release, filepath.Join(Build, "kernel", release)}, nil
}

// Image returns the path of the kernel image.
func (k Kernel) Image() string { return filepath.Join(k.Root, "boot", "vmlinuz-"+k.Release) }

// Core returns the path of the untouched core that MakeCore makes of a crash of
// this kernel.
func (k Kernel) Core() string { return filepath.Join(Build, "cores", k.Release+".elf") }

// Vmlinux returns the path of the kernel's debug information, which
// `vmtest/fetch debug SUITE` leaves.
func (k Kernel) Vmlinux() string { return filepath.Join(Build, "debug", k.Release, "vmlinux") }

// run runs a tool of the host and returns an error with its output.
func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
