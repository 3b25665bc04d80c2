// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package image

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/kmod"
)

// realTrees returns the modules directories of the kernels that are installed
// here and that the VM tests have fetched.
func realTrees(t *testing.T) []string {
	t.Helper()
	installed, _ := filepath.Glob("/lib/modules/*/modules.dep")
	fetched, _ := filepath.Glob("../../build/kernel/*/lib/modules/*/modules.dep")
	var dirs []string
	for _, file := range append(installed, fetched...) {
		dirs = append(dirs, filepath.Dir(file))
	}
	if len(dirs) == 0 {
		t.Skip("no kernel modules here")
	}
	return dirs
}

// TestNamedModules has modprobe say what loading takes, and compares.
func TestNamedModules(t *testing.T) {
	modprobe, err := exec.LookPath("modprobe")
	if err != nil {
		modprobe = "/sbin/modprobe"
	}
	for _, dir := range realTrees(t) {
		tree, err := kmod.OpenTree(dir)
		if err != nil {
			t.Errorf("OpenTree(%s) = %v", dir, err)
			continue
		}
		want := map[string]bool{}
		names := []string{"virtio_blk", "vfat"}
		if len(tree.Resolve(softWatchdog)) > 0 {
			names = append(names, softWatchdog)
		}
		for _, name := range names {
			cmd := exec.Command(modprobe, "--show-depends", "-d", filepath.Join(dir, "../../.."), "-S", filepath.Base(dir), name)
			out, err := cmd.Output()
			if err != nil {
				t.Skipf("%s: %v", cmd, err)
			}
			for line := range strings.Lines(string(out)) {
				if f := strings.Fields(line); f[0] == "insmod" {
					want[kmod.Normalize(f[1])] = true
				}
			}
		}
		modules, err := NamedModules(tree, []string{"virtio-blk"}, Needs{Filesystems: []string{"vfat"}})
		if err != nil {
			t.Errorf("NamedModules in %s = %v", dir, err)
			continue
		}
		for name := range want {
			if !slices.ContainsFunc(modules, func(m kmod.Module) bool { return m.Name == name }) {
				t.Errorf("%s: NamedModules = %+v, lacks %s, which modprobe loads", dir, modules, name)
			}
		}
		for _, m := range modules {
			// Character sets are no dependency that modprobe knows.
			if !want[m.Name] && !strings.HasPrefix(m.Name, "nls_") {
				t.Errorf("%s: NamedModules has %s, which modprobe does not load", dir, m.Name)
			}
		}
	}
}

// TestGenericModules builds generic images of real kernels.
func TestGenericModules(t *testing.T) {
	for _, dir := range realTrees(t) {
		tree, err := kmod.OpenTree(dir)
		if err != nil {
			t.Errorf("OpenTree(%s) = %v", dir, err)
			continue
		}
		modules, err := GenericModules(tree, Needs{Filesystems: []string{"ext4"}})
		if err != nil {
			t.Errorf("GenericModules in %s = %v", dir, err)
			continue
		}
		release := filepath.Base(dir)
		var b bytes.Buffer
		if err := Build(&b, Spec{Init: []byte("init"), Release: release, Modules: modules}, None); err != nil {
			t.Errorf("Build for %s = %v", release, err)
			continue
		}
		img, err := read(&b)
		if err != nil {
			t.Errorf("read of the image for %s = %v", release, err)
			continue
		}
		for _, name := range []string{"virtio_pci", "virtio_blk"} {
			if !tree.Builtin(name) && !slices.ContainsFunc(img.Modules, func(e kmod.Entry) bool { return e.Name() == name }) {
				t.Errorf("the generic image for %s has %+v, want %s among them", release, img.Modules, name)
			}
		}
		if len(img.Modules) != len(modules) || img.Release != release {
			t.Errorf("image for %s has %d modules of %q, want %d", release, len(img.Modules), img.Release, len(modules))
		}
	}
}

func TestHostModulesErrors(t *testing.T) {
	for _, device := range []string{"/nowhere", "/", "/dev/null"} {
		if m, err := HostModules(&kmod.Tree{}, Needs{Devices: []string{device}, Filesystems: []string{"ext4"}}); err == nil || !strings.Contains(err.Error(), device) {
			t.Errorf("HostModules(%s) = %v, %v, want an error with the name", device, m, err)
		}
	}
}

// TestEarly has drivers of watchdogs in the middle of a list.
func TestEarly(t *testing.T) {
	const drivers = "/lib/modules/6.1.0/kernel/drivers/"
	modules := []kmod.Module{
		{Name: "crc", File: drivers + "crc.ko"},
		{Name: "watchdog", File: drivers + "watchdog/watchdog.ko.xz"},
		{Name: "bus", File: drivers + "bus.ko", Needs: []string{"crc"}},
		{Name: "disk", File: drivers + "disk.ko", Needs: []string{"bus", "crc"}},
		{Name: "dog", File: drivers + "watchdog/dog.ko", Needs: []string{"bus", "watchdog"}},
	}
	first, rest := early(modules)
	if got, want := names(first), "crc watchdog bus(crc) dog(bus,watchdog)"; got != want {
		t.Errorf("first are %q, want %q", got, want)
	}
	if got, want := names(rest), "disk"; got != want {
		t.Errorf("the rest is %q, want %q", got, want)
	}
	if got := len(modules[3].Needs); got != 2 {
		t.Errorf("the modules given have lost needs: %v", modules[3])
	}
}

func names(modules []kmod.Module) string {
	var words []string
	for _, m := range modules {
		word := m.Name
		if len(m.Needs) > 0 {
			word += "(" + strings.Join(m.Needs, ",") + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}
