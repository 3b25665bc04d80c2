// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image/manifest"
	"github.com/ukdump/ukdump/pkg/kmod"
)

// machine is where a run finds what it works with.
type machine struct {
	proc, sys, dev string // mount points
	root           string // where the image is unpacked; empty for /
	manifest       string // of the image
	core           string // the crashed machine's memory
	config         string // kdump.conf
	modules        string // the list of package kmod
	earlyModules   string // another, of those to be loaded first
	network        string // the plan of package netconf
	mount          string // where the target gets mounted
	shell          string // of the rescue busybox
	// ours says that the running kernel's settings may be changed. In tests they
	// are those of a machine that others work on.
	ours bool
}

// captureKernel returns the machine that a capture run sees.
func captureKernel() machine {
	return machine{
		proc: "/proc", sys: "/sys", dev: "/dev",
		manifest: manifest.Path,
		core:     "/proc/vmcore",
		config:   config.Path,
		modules:  kmod.ListPath,
		network:  "/etc/ukdump/network",
		mount:    "/mnt",
		shell:    "/bbin/gosh",
		ours:     true,

		earlyModules: kmod.EarlyListPath,
	}
}

// memInfo returns a line of /proc/meminfo, for example "MemAvailable", in bytes;
// 0 if it is not there.
func (m machine) memInfo(key string) int64 { return readKiB(m.proc+"/meminfo", key) }

// readKiB reads a line such as "MemTotal:  123 kB" from the file and returns its
// value in bytes.
func readKiB(file, key string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		if len(fields) < 2 || fields[0] != key+":" {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 53)
		if err != nil {
			return 0
		}
		return kib << 10
	}
	return 0
}

// cmdline returns the kernel's command line.
func (m machine) cmdline() string {
	text, _ := os.ReadFile(filepath.Join(m.proc, "cmdline"))
	return strings.TrimSpace(string(text))
}

// release returns the running kernel's release.
func (m machine) release() string {
	text, _ := os.ReadFile(filepath.Join(m.proc, "sys/kernel/osrelease"))
	return strings.TrimSpace(string(text))
}

// Check returns why the machine that this process runs on must not be taken for
// a capture kernel whose PID 1, or the process that PID 1 has started, we are; nil if
// it is one. A capture run ends in a reboot, so nothing may start it by mistake.
func Check() error {
	if pid := os.Getpid(); pid != 1 && os.Getppid() != 1 {
		return fmt.Errorf("this is process %d of a running system; only PID 1 of a capture kernel may run it, as it ends in a reboot", pid)
	}
	// As PID 1 we have to mount /proc before we can know.
	m := captureKernel()
	mountErr := mountPseudo("proc", m.proc)
	if m.isCaptureKernel() {
		return nil
	}
	if mountErr != nil {
		return fmt.Errorf("cannot tell whether this is a capture kernel: %w", mountErr)
	}
	return fmt.Errorf("this is no capture kernel: it has no %s, and no elfcorehdr= on its command line", m.core)
}

// isCaptureKernel reports whether the kernel was started by a crash. One whose
// description of the crashed memory is damaged has no /proc/vmcore; it must
// reboot all the same.
func (m machine) isCaptureKernel() bool {
	if _, err := os.Stat(m.core); err == nil {
		return true
	}
	return strings.Contains(" "+m.cmdline(), " elfcorehdr=")
}
