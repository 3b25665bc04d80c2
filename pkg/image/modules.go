// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package image

import (
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/initramfs"
	"github.com/ukdump/ukdump/pkg/kmod"
)

// HostModules returns what the running machine needs to mount the block device,
// for example "/dev/vda1", with a file system of that type: the drivers of the
// device and of all that it hangs on, and the file system. The tree may be that
// of another kernel release than the running one.
func HostModules(tree *kmod.Tree, device, fsType string) ([]kmod.Module, error) {
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
	return NamedModules(tree, drivers, fsType)
}

// GenericModules returns what machines of many kinds need to mount a file
// system of that type, as far as the kernel has it.
func GenericModules(tree *kmod.Tree, fsType string) ([]kmod.Module, error) {
	return NamedModules(tree, available(tree, initramfs.StorageModules()), fsType)
}

// NamedModules returns the modules of those names or aliases and the file
// system, with all that they need, in an order in which they load. A name that
// leads to no module and is not built into the kernel is an error.
func NamedModules(tree *kmod.Tree, names []string, fsType string) ([]kmod.Module, error) {
	required, wanted := kmod.ForFilesystem(fsType)
	return tree.Closure(slices.Concat(names, available(tree, wanted), required)...)
}

// available returns those of the names that the kernel has.
func available(tree *kmod.Tree, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return len(tree.Resolve(name)) == 0 })
}
