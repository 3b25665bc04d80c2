// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package image

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/ukdump/ukdump/initramfs"
	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/netconf"
)

// NetworkModules returns the names of the modules that it takes to bring up the
// plan on this machine: the drivers of its network cards and of what they hang on,
// and of what is made of them.
func NetworkModules(tree *kmod.Tree, plan *netconf.Plan) ([]string, error) {
	cards, err := plan.Cards()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, card := range cards {
		drivers, err := tree.ForDevice("/sys", filepath.Join("/sys/class/net", card))
		if err != nil {
			return nil, fmt.Errorf("finding the drivers of %s: %w", card, err)
		}
		names = append(names, drivers...)
	}
	return slices.Concat(names, available(tree, plan.Modules())), nil
}

// GenericNetworkModules returns the same for machines of many kinds, as far as the
// kernel has it.
func GenericNetworkModules(tree *kmod.Tree, plan *netconf.Plan) []string {
	return available(tree, slices.Concat(initramfs.GenericNetworkModules(), plan.Modules()))
}
