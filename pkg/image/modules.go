// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package image

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/initramfs"
	"github.com/ukdump/ukdump/pkg/kmod"
)

// Needs is what the modules of an image are for.
type Needs struct {
	// Devices are block devices of the running machine, for example "/dev/vda1".
	Devices []string
	// Filesystems are the types of file system that get mounted.
	Filesystems []string
	// Names are of further modules, such as those that the network takes.
	Names []string
}

// HostModules returns what the running machine needs: the drivers of the devices
// and of all that they hang on, the file systems, the drivers of the machine's
// watchdogs, and the variables of its firmware. The tree may be that of another kernel release than the
// running one.
func HostModules(tree *kmod.Tree, needs Needs) ([]kmod.Module, error) {
	var drivers []string
	for _, device := range needs.Devices {
		ofDevice, err := deviceDrivers(tree, device)
		if err != nil {
			return nil, err
		}
		drivers = append(drivers, ofDevice...)
	}
	watchdogs, err := hostWatchdogs(tree)
	if err != nil {
		return nil, fmt.Errorf("finding the drivers of watchdogs: %w", err)
	}
	return NamedModules(tree, slices.Concat(drivers, watchdogs, firmwareModules(tree)), needs)
}

// firmwareModules returns what it takes to reach the variables of the running
// machine's firmware.
func firmwareModules(tree *kmod.Tree) []string {
	if _, err := os.Stat("/sys/firmware/efi/efivars"); err != nil {
		return nil
	}
	return available(tree, []string{"efivarfs"})
}

// deviceDrivers returns the drivers of a block device and of all that it hangs on.
func deviceDrivers(tree *kmod.Tree, device string) ([]string, error) {
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", device, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil, fmt.Errorf("%s is not a block device", device)
	}
	sysfs := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	drivers, err := tree.ForDevice("/sys", sysfs)
	if err != nil {
		return nil, fmt.Errorf("finding the drivers of %s: %w", device, err)
	}
	return drivers, nil
}

// watchdogDir is where kernels have the drivers of watchdogs.
const watchdogDir = "kernel/drivers/watchdog"

// hostWatchdogs returns the drivers of the running machine's watchdogs. One that
// runs now still does in the capture kernel, which has to feed it. Some drivers
// do not tell which device their watchdog is part of, so those that are loaded
// count, too.
func hostWatchdogs(tree *kmod.Tree) ([]string, error) {
	var loaded []string
	modules, _ := filepath.Glob("/sys/module/*")
	for _, module := range modules {
		loaded = append(loaded, filepath.Base(module))
	}
	drivers := tree.InDir(watchdogDir, loaded)
	devices, _ := filepath.Glob("/sys/class/watchdog/watchdog*")
	for _, device := range devices {
		more, err := tree.ForDevice("/sys", device)
		if err != nil {
			return nil, err
		}
		drivers = append(drivers, more...)
	}
	return available(tree, drivers), nil
}

// GenericModules returns what machines of many kinds need for the file systems,
// and their watchdogs, as far as the kernel has it.
func GenericModules(tree *kmod.Tree, needs Needs) ([]kmod.Module, error) {
	return NamedModules(tree, available(tree, initramfs.GenericModules()), needs)
}

// NamedModules returns the modules of those names or aliases and the file
// systems, with all that they need, in an order in which they load. A name that
// leads to no module and is not built into the kernel is an error. The software
// watchdog, for machines without another, is among them where the kernel has it.
func NamedModules(tree *kmod.Tree, names []string, needs Needs) ([]kmod.Module, error) {
	var required []string
	wanted := []string{softWatchdog}
	for _, fsType := range needs.Filesystems {
		must, may := kmod.ForFilesystem(fsType)
		required, wanted = append(required, must...), append(wanted, may...)
	}
	return tree.Closure(slices.Concat(names, needs.Names, available(tree, wanted), required)...)
}

// softWatchdog is the module of a watchdog that is a timer of the kernel.
const softWatchdog = "softdog"

// early splits modules into those that are loaded before everything else, the
// drivers of watchdogs with what they need, and the rest.
func early(modules []kmod.Module) (first, rest []kmod.Module) {
	wanted := map[string]bool{}
	for _, m := range slices.Backward(modules) { // what is needed comes before
		if wanted[m.Name] || strings.Contains(m.File, "/"+watchdogDir+"/") {
			wanted[m.Name] = true
			for _, need := range m.Needs {
				wanted[need] = true
			}
		}
	}
	for _, m := range modules {
		if wanted[m.Name] {
			first = append(first, m)
			continue
		}
		m.Needs = slices.DeleteFunc(slices.Clone(m.Needs), func(need string) bool { return wanted[need] })
		rest = append(rest, m)
	}
	return first, rest
}

// available returns those of the names that the kernel has.
func available(tree *kmod.Tree, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return len(tree.Resolve(name)) == 0 })
}
