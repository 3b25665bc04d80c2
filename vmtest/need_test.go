// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// begin skips a test unless it was asked for: these tests take minutes, and
// gigabytes under build/.
func begin(t testing.TB) {
	t.Helper()
	if os.Getenv("UKDUMP_VMTEST") == "" {
		t.Skip("make test-vm and make test-readers run this (they set UKDUMP_VMTEST=1)")
	}
}

// suites returns the Debian suites whose kernels are tested, in the
// environment variable UKDUMP_TEST_SUITES or bookworm (6.1) and trixie (6.12).
func suites() []string {
	return strings.Fields(or(os.Getenv("UKDUMP_TEST_SUITES"), "bookworm trixie"))
}

func needKernel(t testing.TB, suite string) Kernel {
	t.Helper()
	k, err := FindKernel(suite)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return k
}

// needCore returns the kernel of the suite and the untouched core of its crash.
func needCore(t testing.TB, suite string) (Kernel, string) {
	t.Helper()
	k := needKernel(t, suite)
	if _, err := os.Stat(k.Core()); err != nil {
		t.Fatalf("no core of a crash of %s: run make cores", k.Release)
	}
	return k, k.Core()
}

// needTool returns the path of a reader of a release that knows the suite's
// kernel: that of the same release for 6.1 and older, of forky for newer ones
// (trixie's makedumpfile does not find the free pages of trixie's kernel).
func needTool(t testing.TB, name, suite string) string {
	t.Helper()
	from := "forky"
	if suite == "bookworm" || suite == "bullseye" {
		from = "bookworm"
	}
	path := filepath.Join(Build, "tools", name+"-"+from)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no %s: run vmtest/fetch tools %s", name, from)
	}
	return path
}

// crashKnows reports whether the crash utility can open cores of the kernel:
// its release 9.0.2 cannot walk the slabs of 7.1 and newer, and exits.
func crashKnows(k Kernel) bool { return !since71.MatchString(k.Release) }

func needVmlinux(t testing.TB, k Kernel) string {
	t.Helper()
	if _, err := os.Stat(k.Vmlinux()); err != nil {
		t.Fatalf("no debug information of %s: run vmtest/fetch debug %s", k.Release, k.Suite)
	}
	return k.Vmlinux()
}

// ukdump returns the path of the program under test, as make build leaves it.
func ukdump(t testing.TB) string {
	t.Helper()
	path := filepath.Join(Build, "ukdump")
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no %s: run make build", path)
	}
	return path
}

// output runs a program and returns its standard output; it fails the test with
// all output if the program fails.
func output(t testing.TB, name string, args ...string) string {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, stderr.String(), out)
	}
	return string(out)
}
