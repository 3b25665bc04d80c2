// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kmod

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// realTrees returns the modules directories of the kernels that the VM tests
// unpacked, or skips.
func realTrees(t *testing.T) []string {
	t.Helper()
	indexes, _ := filepath.Glob("../../build/kernel/*.*/lib/modules/*/modules.dep")
	if len(indexes) == 0 {
		t.Skip("no unpacked kernel in build/kernel")
	}
	for i := range indexes {
		indexes[i] = filepath.Dir(indexes[i])
	}
	return indexes
}

func openTree(t *testing.T, dir string) *Tree {
	t.Helper()
	tree, err := OpenTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func names(modules []Module) []string {
	var names []string
	for _, m := range modules {
		names = append(names, m.Name)
	}
	return names
}

// showDepends returns the normalized names of what modprobe would load, in its
// order.
func showDepends(t *testing.T, dir, module string) []string {
	t.Helper()
	modprobe := "/usr/sbin/modprobe"
	if _, err := os.Stat(modprobe); err != nil {
		t.Skip(err)
	}
	root, release := strings.TrimSuffix(dir, "/lib/modules/"+filepath.Base(dir)), filepath.Base(dir)
	out, err := exec.Command(modprobe, "-C", "/dev/null", "-d", root, "-S", release, "--show-depends", module).Output()
	if err != nil {
		t.Fatalf("modprobe %s: %v", module, err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); fields[0] == "insmod" {
			names = append(names, Normalize(fields[1]))
		}
	}
	return names
}

// TestClosureAgreesWithModprobe compares what modprobe(8) would load for a
// module, for a good part of all modules of real kernels.
func TestClosureAgreesWithModprobe(t *testing.T) {
	for _, dir := range realTrees(t) {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			tree := openTree(t, withFirstSoftdeps(t, dir))
			var all []string
			for name := range tree.files {
				all = append(all, name)
			}
			slices.Sort(all)
			wanted := []string{"btrfs", "xfs", "vfat", "virtio_blk", "virtio_pci", "virtio_scsi", "cifs", "nfsd", "vfio"}
			for i := 0; i < len(all); i += 15 {
				wanted = append(wanted, all[i])
			}
			for _, name := range wanted {
				if _, isModule := tree.files[name]; !isModule {
					continue
				}
				modules, err := tree.Closure(name)
				if err != nil {
					t.Errorf("Closure(%s): %v", name, err)
					continue
				}
				checkOrder(t, modules)
				got, want := names(modules), showDepends(t, dir, name)
				slices.Sort(got)
				slices.Sort(want)
				if want = slices.Compact(want); !slices.Equal(got, want) {
					t.Errorf("Closure(%s) = %v, want %v", name, got, want)
				}
			}
		})
	}
}

// withFirstSoftdeps returns a copy of the tree that has only the softdeps that
// modprobe heeds: one line for each module.
func withFirstSoftdeps(t *testing.T, dir string) string {
	t.Helper()
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	for _, e := range entries {
		if e.Name() == "modules.softdep" {
			continue
		}
		if err := os.Symlink(filepath.Join(dir, e.Name()), filepath.Join(copied, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "modules.softdep"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	var first strings.Builder
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && !seen[fields[1]] {
			seen[fields[1]] = true
			first.WriteString(line)
		}
	}
	if err := os.WriteFile(filepath.Join(copied, "modules.softdep"), []byte(first.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

// checkOrder checks that everything a module needs comes before it, once.
func checkOrder(t *testing.T, modules []Module) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range modules {
		if seen[m.Name] {
			t.Errorf("%s is there twice", m.Name)
		}
		for _, need := range m.Needs {
			if !seen[need] {
				t.Errorf("%s needs %s, which is not before it", m.Name, need)
			}
		}
		seen[m.Name] = true
		if _, err := os.Stat(m.File); err != nil {
			t.Error(err)
		}
	}
}

// TestResolveAgreesWithModprobe compares which modules an alias leads to.
func TestResolveAgreesWithModprobe(t *testing.T) {
	for _, dir := range realTrees(t) {
		tree := openTree(t, dir)
		for _, alias := range []string{
			"virtio:d00000002v00001AF4",                             // a disk
			"pci:v00001AF4d00001042sv00001AF4sd00001100bc01sc00i00", // its PCI device
			"fs-xfs", "fs-btrfs", "fs-vfat", "nls_iso8859-1", "virtio-blk",
			"net-pf-16-proto-16-family-nlctrl", "dmi:nobody",
		} {
			got := tree.Resolve(alias)
			out, _ := exec.Command("/usr/sbin/modprobe", "-C", "/dev/null", "-d",
				strings.TrimSuffix(dir, "/lib/modules/"+filepath.Base(dir)), "-S", filepath.Base(dir),
				"--resolve-alias", alias).Output() // fails if there is none
			var want []string
			for name := range strings.FieldsSeq(string(out)) {
				want = append(want, Normalize(name))
			}
			got = slices.DeleteFunc(got, tree.Builtin) // modprobe knows aliases of built-in ones from an index of their own
			slices.Sort(got)
			slices.Sort(want)
			want = slices.DeleteFunc(want, tree.Builtin)
			if !slices.Equal(got, slices.Compact(want)) {
				t.Errorf("%s: Resolve(%s) = %v, want %v", filepath.Base(dir), alias, got, want)
			}
		}
	}
}

// writeTree writes the indexes of a made-up kernel.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestClosure(t *testing.T) {
	tree := openTree(t, writeTree(t, map[string]string{
		"modules.dep": "kernel/a.ko.xz: kernel/b-b.ko kernel/c.ko.zst\n" +
			"kernel/b-b.ko: kernel/c.ko.zst\nkernel/c.ko.zst:\n" +
			"kernel/soft.ko:\nkernel/late.ko: kernel/soft.ko\nkernel/wish.ko: kernel/gone.ko\n" +
			"kernel/x.ko: kernel/y.ko\nkernel/y.ko: kernel/x.ko\n" +
			"kernel/p.ko:\nkernel/q.ko: kernel/p.ko\n",
		"modules.builtin":         "kernel/in-side.ko\n",
		"modules.builtin.modinfo": "in_side.license=GPL\x00in_side.alias=fs-built-*\x00in_side.alias=by-alias\x00",
		"modules.softdep":         "# comment\nsoftdep soft ignored pre: by-alias inside nothing\nsoftdep soft pre: wish post: late\nsoftdep p pre: q\n",
		"modules.alias":           "alias by-alias b_b\nalias pci:v*d[0-4]* c\nalias fs-in in_side\nalias dmi:*a/b* a\n",
	}))
	for _, test := range []struct {
		names []string
		want  []string
	}{
		{[]string{"a"}, []string{"c", "b_b", "a"}},
		{[]string{"b-b", "b_b", "a"}, []string{"c", "b_b", "a"}},
		{[]string{"soft"}, []string{"c", "b_b", "soft", "late"}},
		{[]string{"p"}, []string{"p"}}, // a wish that needs the one who wishes
		{[]string{"p", "q"}, []string{"p", "q"}},
		{[]string{"q"}, []string{"p", "q"}},
		{[]string{"pci:v1d3"}, []string{"c"}},
		{[]string{"in_side", "in-side", "fs-in", "fs-built-x"}, nil},
		{[]string{"dmi:x/a/b/c"}, []string{"c", "b_b", "a"}},
		{nil, nil},
	} {
		got, err := tree.Closure(test.names...)
		if err != nil || !slices.Equal(names(got), test.want) {
			t.Errorf("Closure(%q) = %v, %v, want %v", test.names, names(got), err, test.want)
		}
	}
	for _, name := range []string{"none", "pci:v1d5", "wish"} {
		if got, err := tree.Closure(name); !errors.Is(err, ErrNotFound) {
			t.Errorf("Closure(%q) = %v, %v, want ErrNotFound", name, names(got), err)
		}
	}
	if got, err := tree.Closure("x"); err == nil {
		t.Errorf("Closure of a circle = %v", names(got))
	}
}

func TestOpenTreeWithoutIndex(t *testing.T) {
	_, err := OpenTree(t.TempDir())
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "run depmod") {
		t.Errorf("OpenTree of an empty directory: %v, want an error that says to run depmod", err)
	}
}

func TestInDir(t *testing.T) {
	tree := openTree(t, writeTree(t, map[string]string{
		"modules.dep": "kernel/a/b/one.ko.xz:\nkernel/a/two-2.ko:\nkernel/a/bb/three.ko:\n",
	}))
	got := tree.InDir("kernel/a/b", []string{"one", "two_2", "three", "none"})
	if !slices.Equal(got, []string{"one"}) {
		t.Errorf("InDir(kernel/a/b) = %v, want one", got)
	}
	got = tree.InDir("kernel/a", []string{"two-2", "none", "three"})
	if !slices.Equal(got, []string{"two_2", "three"}) {
		t.Errorf("InDir(kernel/a) = %v, want two_2 and three", got)
	}
}

func TestNormalize(t *testing.T) {
	for _, test := range []struct{ file, want string }{
		{"virtio-blk", "virtio_blk"},
		{"/lib/modules/6.1.0-1-amd64/kernel/fs/nls/nls_iso8859-1.ko.xz", "nls_iso8859_1"},
		{"a.ko.zst", "a"}, {"a.ko.gz", "a"}, {"a.ko", "a"}, {"ko", "ko"},
	} {
		if got := Normalize(test.file); got != test.want {
			t.Errorf("Normalize(%q) = %q, want %q", test.file, got, test.want)
		}
	}
}

// TestForDevice walks a sysfs with a partition of a disk on a bus, an md device
// made of two disks, and an NVMe multipath head.
func TestForDevice(t *testing.T) {
	tree := openTree(t, writeTree(t, map[string]string{
		"modules.dep":   "kernel/virtio_blk.ko:\nkernel/virtio_pci.ko:\nkernel/raid1.ko:\nkernel/nvme.ko:\nkernel/sd_mod.ko:\n",
		"modules.alias": "alias scsi:t-0x00* sd_mod\nalias pci:v00001AF4d* virtio_pci\n",
	}))
	sys := t.TempDir()
	mkdir := func(dir string) string {
		path := filepath.Join(sys, dir)
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := func(to, at string) {
		if err := os.Symlink(filepath.Join(sys, to), filepath.Join(mkdir(filepath.Dir(at)), filepath.Base(at))); err != nil {
			t.Fatal(err)
		}
	}
	write := func(file, text string) {
		if err := os.WriteFile(filepath.Join(mkdir(filepath.Dir(file)), filepath.Base(file)), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mkdir("devices/pci0/0000:00:01.0/virtio0/block/vda/vda1")
	link("devices/pci0/0000:00:01.0/virtio0/block/vda/vda1", "class/block/vda1")
	link("module/virtio-blk", "devices/pci0/0000:00:01.0/virtio0/driver/module")
	write("devices/pci0/0000:00:01.0/modalias", "pci:v00001AF4d00001042\n")
	mkdir("devices/pci0/host0/0:0:0:0/block/sda")
	write("devices/pci0/host0/0:0:0:0/modalias", "scsi:t-0x00\n")
	link("devices/virtual/block/md0", "class/block/md0")
	link("devices/pci0/host0/0:0:0:0/block/sda", "devices/virtual/block/md0/slaves/sda")
	link("devices/pci0/0000:00:01.0/virtio0/block/vda/vda1", "devices/virtual/block/md0/slaves/vda1")
	link("devices/gone", "devices/virtual/block/md0/slaves/sdb")
	mkdir("devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1")
	link("devices/pci1/0000:01:00.0/nvme/nvme0", "devices/virtual/nvme-subsystem/nvme-subsys0/nvme0")
	mkdir("devices/pci1/0000:01:00.0/nvme/nvme0")
	link("module/nvme", "devices/pci1/0000:01:00.0/driver/module")
	// A driver that no kernel has as a module, and one that this kernel lacks.
	mkdir("module/pcieportdrv")
	link("module/pcieportdrv", "devices/pci1/driver/module")
	write("module/gone/initstate", "live\n")
	link("module/gone", "devices/pci2/driver/module")
	mkdir("devices/pci2/block/vdb")

	for device, want := range map[string][]string{
		"class/block/vda1": {"virtio_blk", "virtio_pci"},
		"class/block/md0":  {"sd_mod", "virtio_blk", "virtio_pci"},
		"devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1": {"nvme"},
		"devices/pci2/block/vdb":                              {"gone"}, // for Closure to complain about
	} {
		got, err := tree.ForDevice(sys, filepath.Join(sys, device))
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("ForDevice(%s) = %v, %v, want %v", device, got, err, want)
		}
	}
	for _, device := range []string{"class/block/vdz", "../.."} {
		if got, err := tree.ForDevice(sys, filepath.Join(sys, device)); err == nil {
			t.Errorf("ForDevice(%s) = %v, want an error", device, got)
		}
	}
}
