// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package image

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/netconf"
)

const stacked = `
link eth0
link eth1
bond bond0 mode active-backup slaves eth0,eth1
vlan lan id 7 on bond0
dhcp4 lan
`

// TestGenericNetworkModules looks for what the kernels that are here have as
// modules, by their names on the disk.
func TestGenericNetworkModules(t *testing.T) {
	plan, err := netconf.Parse("network", stacked)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range realTrees(t) {
		tree, err := kmod.OpenTree(dir)
		if err != nil {
			t.Errorf("OpenTree(%s) = %v", dir, err)
			continue
		}
		modules, err := NamedModules(tree, GenericNetworkModules(tree, plan), Needs{Filesystems: []string{"nfs"}})
		if err != nil {
			t.Errorf("NamedModules in %s = %v", dir, err)
			continue
		}
		for _, pattern := range []string{"net/virtio_net", "net/vmxnet3/vmxnet3", "net/bonding/bonding", "net/ethernet/amazon/ena/ena",
			"8021q/8021q", "packet/af_packet", "ipv6/ipv6", "nfs/nfs", "nfs/nfsv3", "nfs/nfsv4"} {
			onDisk := []string{}
			for _, top := range []string{"kernel/drivers", "kernel/net", "kernel/fs"} {
				found, _ := filepath.Glob(filepath.Join(dir, top, pattern+".ko*"))
				onDisk = append(onDisk, found...)
			}
			packed := slices.ContainsFunc(modules, func(m kmod.Module) bool { return m.Name == filepath.Base(pattern) })
			if packed != (len(onDisk) > 0) {
				t.Errorf("%s: %s is packed: %v; its files are %q", dir, pattern, packed, onDisk)
			}
		}
	}
}

// TestNetworkModules has the cards of this machine, whatever they are.
func TestNetworkModules(t *testing.T) {
	plan, err := netconf.Parse("network", "link any\ndhcp4 any\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range realTrees(t) {
		tree, err := kmod.OpenTree(dir)
		if err != nil {
			t.Errorf("OpenTree(%s) = %v", dir, err)
			continue
		}
		names, err := NetworkModules(tree, plan)
		if err != nil {
			t.Errorf("NetworkModules in %s = %v", dir, err)
		}
		if _, err := tree.Closure(names...); err != nil {
			t.Errorf("Closure(%q) in %s = %v", names, dir, err)
		}
	}
	plan, err = netconf.Parse("network", "link gone mac 52:54:00:12:34:56\n")
	if err != nil {
		t.Fatal(err)
	}
	if names, err := NetworkModules(&kmod.Tree{}, plan); err == nil || !strings.Contains(err.Error(), "gone (52:54:00:12:34:56)") {
		t.Errorf("NetworkModules of a card that is not here = %q, %v", names, err)
	}
}
