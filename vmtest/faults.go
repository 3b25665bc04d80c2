// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// TargetUUID is the identity of the target's file system in all tests.
const TargetUUID = "0d6ba0c1-6b64-4d75-a3f1-5c2d6e7f8a90"

// Fault is a row of the table of faults: what goes wrong, in a crash of a real
// machine, and what must come of it all the same.
type Fault struct {
	Group string // what it is a fault of
	Name  string
	What  string // what happens, for the table in docs/reliability.md
	Quick bool   // make test has it; all are in make test-faults

	// Suite is the Debian suite of the kernel, bookworm if "". Only that one has
	// the module of faults.
	Suite       string
	MemoryMiB   int      // 1024 if 0
	Crashkernel string   // "256M" if ""
	Qemu        []string // further arguments

	// Size is that of the target's disk, 512M if "". It has ext4, unless it is Raw.
	// Prepare changes the disk
	// before the machine sees it. Once BreaksAt bytes have been written, or when the
	// machine says BreaksWhen, it Breaks.
	Size       string
	Raw        bool // no file system
	Prepare    func(disk string) error
	Breaks     Breakage
	BreaksAt   int64
	BreaksWhen string
	Drive      string // further options of QEMU's -drive

	// Network gives the machine a network card. Server is what it finds there.
	Network bool
	Server  Server

	Target string   // the line of kdump.conf; ext4 by its UUID if ""
	Conf   []string // further lines
	Steps  []string // what comes before the image is built
	Build  string   // options of kdumpctl build
	Load   string   // options of kdumpctl load
	// Arm replaces the steps that build and load the image.
	Arm []string
	// Capture has the module ukdump_fault in the image do this; see there.
	Capture string
	// Crash replaces the steps that crash the machine.
	Crash []string
	// When the machine says this, the host has QEMU Do something; if there is nothing
	// to do, the server is killed, or Freezes: it still gets connections, and says
	// nothing.
	When    string
	Do      func(*Monitor) error
	Freezes bool
	// Earlier are values of Capture for crashes of the same machine before. "reset"
	// is for a capture run that the host cuts short.
	Earlier []string

	// Within is how long it may take from the crash to the reboot; 2 minutes if 0.
	// Machines in software emulation are slow.
	Within time.Duration
	Said   []string // what the capture kernel says on the console
	// Log is what kdump.log says. It names the fault, where there is a kdump.log.
	Log []string
	// Saved are the files that are left in the directory of the dump; nil if there
	// is none, since no target worked.
	Saved []string
	// OrAll says that it may as well be All, by chance.
	OrAll bool
	// Early has the initramfs of the machine arm the image and crash.
	Early bool
	// EFI is for machines with such firmware, whose variables survive.
	EFI bool
	// NewDisk replaces the disk of the target after the crashes before.
	NewDisk bool
	// After is what the machine does when it has rebooted.
	After []string
}

// Server is a server that a machine finds in its network.
type Server string

// The servers. All but the last are targets: the first one, if Target does not say
// where they are.
const (
	SSHServer    Server = "ssh"
	NFSServer    Server = "nfs" // at 10.0.2.2, as the next one
	NFS3Server   Server = "nfs3"
	PutServer    Server = "put"
	TusServer    Server = "tus"
	BucketServer Server = "bucket" // tus, and an object store behind it
	S3Server     Server = "s3"
	SilentServer Server = "silent" // on NFS's port of 10.0.2.100; takes connections, and says nothing
)

// What is saved of a crash, mostly.
var (
	All = []string{"kdump.log", "vmcore", "vmcore-dmesg.txt"}
	// Part is a dump that ended before its time.
	Part = []string{"kdump.log", "vmcore-dmesg.txt", "vmcore-incomplete"}
	// Logs are all there is if there is no dump.
	Logs = []string{"kdump.log", "vmcore-dmesg.txt"}
	// CutShort is what is left when the capture kernel itself ends while it writes
	// the dump.
	CutShort = []string{"kdump.log-incomplete", "vmcore-dmesg.txt", "vmcore-incomplete"}
)

const (
	faultModule = "ukdump_fault"
	faultSuite  = "bookworm" // its kernel can be built for with the compilers of most hosts
	kdumpctl    = "/usr/sbin/ukdump kdumpctl "
)

// conf returns the lines of kdump.conf, with sep between.
func (f *Fault) conf(sep string) string {
	return strings.Join(append([]string{or(f.Target, "ext4 UUID="+TargetUUID)}, f.Conf...), sep)
}

// steps returns what the machine does.
func (f *Fault) steps() []string {
	if f.Early {
		return earlySteps
	}
	steps := AttachVirtio("ext4")
	if f.Network {
		steps = append(steps, AttachNetwork()...)
	}
	steps = append(steps, "write /etc/kdump.conf "+f.conf("|"))
	steps = append(steps, f.Steps...)
	build := f.Build
	if f.Capture != "" || f.Earlier != nil && !slices.Contains(f.Earlier, byReset) {
		build += " --modules virtio_pci,virtio_blk,virtio_net," + faultModule
	}
	if f.Arm == nil {
		steps = append(steps, kdumpctl+"build "+build, kdumpctl+"load "+f.Load)
	}
	steps = append(steps, f.Arm...)
	if f.Crash == nil {
		steps = append(steps, "fill 128", "crash")
	}
	return append(steps, f.Crash...)
}

// byReset is a value of Earlier.
const byReset = "reset"

// options returns what has the module of faults, once the capture kernel has
// loaded it, do as told. The capture kernel inherits the command line.
func options(capture string) string {
	var options []string
	for _, option := range strings.Fields(capture) {
		options = append(options, faultModule+"."+option)
	}
	return strings.Join(options, " ")
}

// insmod returns the step that loads the module of faults into the kernel that
// is to crash.
func insmod(params string) string { return "insmod " + faultModule + " " + params }

// crashWith returns the step that overwrites memory and crashes.
func crashWith(damage ...string) []string {
	return []string{insmod("what=crash crash=0x@crash_kexec damage=" + strings.Join(damage, "/"))}
}

// firmware returns the arguments of QEMU for EFI firmware (Debian's package ovmf),
// whose variables are in the file vars. It is made if it is not there.
func firmware(vars string) ([]string, error) {
	const dir = "/usr/share/OVMF/"
	if _, err := os.Stat(vars); err != nil {
		if err := run("cp", dir+"OVMF_VARS_4M.fd", vars); err != nil {
			return nil, err
		}
	}
	return []string{
		"-drive", "if=pflash,format=raw,unit=0,readonly=on,file=" + dir + "OVMF_CODE_4M.fd",
		"-drive", "if=pflash,format=raw,unit=1,file=" + vars,
	}, nil
}

// FaultKernel returns the kernel of the suite with the module of faults among
// its modules. `vmtest/fetch headers SUITE` must have fetched what it is built
// with.
func FaultKernel(suite string) (Kernel, error) {
	k, err := FindKernel(suite)
	if err != nil {
		return k, err
	}
	headers := filepath.Join(Build, "headers", suite)
	if _, err := os.Stat(headers); err != nil {
		return k, fmt.Errorf("no kernel headers of Debian %s: run vmtest/fetch headers %s", suite, suite)
	}
	with := k
	with.Root = filepath.Join(Build, "faults", k.Release)
	modules := filepath.Join(with.Root, "lib/modules", k.Release)
	source := filepath.Join(Build, "faults", "module")
	if err := errors.Join(os.RemoveAll(with.Root), os.RemoveAll(source), os.MkdirAll(filepath.Dir(modules), 0o755)); err != nil {
		return k, err
	}
	for _, command := range [][]string{
		{"cp", "-a", filepath.Join(Build, "../vmtest/faults"), source},
		{"make", "-s", "-C", headers, "M=" + source, "CC=gcc", "modules"},
		{"cp", "-al", filepath.Join(k.Root, "boot"), with.Root},
		{"cp", "-al", filepath.Join(k.Root, "lib/modules", k.Release), modules},
		{"cp", filepath.Join(source, faultModule+".ko"), modules},
		{"depmod", "-b", with.Root, k.Release},
	} {
		if err := run(command[0], command[1:]...); err != nil {
			return k, err
		}
	}
	return with, nil
}

// readExt4 copies the files of an ext4 image to a directory, without a kernel.
// The journal is replayed first, as the next mount would.
func readExt4(image, to string) error {
	// 1 is that there was something to correct.
	if err := run("sh", "-c", `e2fsck -fy "$0" || [ $? -le 1 ]`, image); err != nil {
		return err
	}
	return run("debugfs", "-R", "rdump / "+to, image)
}

// readRaw copies the dumps on a raw device to a directory.
func readRaw(image, to string) error {
	return run(filepath.Join(Build, "ukdump"), "kdumpctl", "save-raw", "--all", "--dir", filepath.Join(to, "var/crash"), image)
}

// groups returns the groups of faults, in their order.
func groups(faults []Fault) []string {
	var names []string
	for _, f := range faults {
		if !slices.Contains(names, f.Group) {
			names = append(names, f.Group)
		}
	}
	return names
}
