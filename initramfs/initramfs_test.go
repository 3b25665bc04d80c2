// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package initramfs

import (
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

// TestRescueCommands checks that tools.go, which makes the go command know the
// commands of the rescue shell, names those that it is built from.
func TestRescueCommands(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "rescue/tools.go", nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"github.com/u-root/gobusybox/src/cmd/makebb"}
	want = append(want, RescueCommands()...)
	var got []string
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, path)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("rescue/tools.go imports %q, want %q", got, want)
	}
	if len(want) < 10 {
		t.Errorf("rescue/commands lists %q, want a usable shell", want)
	}
}

func TestGenericModules(t *testing.T) {
	got := GenericModules()
	for _, want := range []string{"virtio_blk", "nvme", "sd_mod", "mmc_block"} {
		if !slices.Contains(got, want) {
			t.Errorf("GenericModules() = %q lacks %s", got, want)
		}
	}
	if slices.Contains(got, "virtio") || slices.Contains(got, "hyper-v") {
		t.Errorf("GenericModules() = %q has a kind of machine in it", got)
	}
}

func TestGenericNetworkModules(t *testing.T) {
	got := GenericNetworkModules()
	for _, want := range []string{"virtio_net", "e1000e", "mlx5_core", "vmxnet3", "ena"} {
		if !slices.Contains(got, want) {
			t.Errorf("GenericNetworkModules() = %q lacks %s", got, want)
		}
	}
	if slices.Contains(got, "intel") {
		t.Errorf("GenericNetworkModules() = %q has a maker in it", got)
	}
}
