// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package image

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/kmod"
)

// testSpec returns an image with every kind of file, bigger than one block of
// lz4's legacy frame (8 MiB).
func testSpec(t *testing.T) Spec {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	init := make([]byte, 9<<20)
	copy(init, "\x7fELF init")
	random.Read(init[1000:200000])
	random.Read(init[len(init)-200000:])

	dir := t.TempDir()
	module := func(name, contents string, needs ...string) kmod.Module {
		file := filepath.Join(dir, name+".ko")
		if err := os.WriteFile(file, []byte(contents), 0o644); err != nil {
			t.Fatal(err)
		}
		return kmod.Module{Name: name, File: file, Needs: needs}
	}
	return Spec{
		Init:    init,
		Config:  []byte("path /var/crash\n"),
		Release: "6.1.0-test",
		Modules: []kmod.Module{
			module("virtio", "\x7fELF virtio"),
			module("virtio_blk", "\x7fELF virtio_blk", "virtio"),
		},
		Rescue:         []byte("\x7fELF bb"),
		RescueCommands: []string{"gosh", "ls"},
	}
}

func build(t *testing.T, spec Spec, c Compression) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Build(&b, spec, c); err != nil {
		t.Fatalf("Build with %s = %v", c, err)
	}
	return b.Bytes()
}

// TestDecompressors has the command that a compression is named after undo it.
func TestDecompressors(t *testing.T) {
	spec := testSpec(t)
	archive := build(t, spec, None)
	for c, args := range map[Compression][]string{Zstd: {"-dc"}, LZ4: {"-dc"}, Gzip: {"-dc"}} {
		t.Run(string(c), func(t *testing.T) {
			if _, err := exec.LookPath(string(c)); err != nil {
				t.Skipf("no %s here", c)
			}
			cmd := exec.Command(string(c), args...)
			cmd.Stdin = bytes.NewReader(build(t, spec, c))
			got, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", cmd, err)
			}
			if !bytes.Equal(got, archive) {
				t.Errorf("%s gives %d bytes that are not the archive of %d bytes", cmd, len(got), len(archive))
			}
		})
	}
}

// TestListing has two cpio programs list and unpack an archive.
func TestListing(t *testing.T) {
	want := `dev
etc
mnt
proc
run
sys
tmp
dev/console
dev/null
dev/kmsg
etc/manifest
etc/kdump.conf
init
etc/modules
lib
lib/modules
lib/modules/6.1.0-test
lib/modules/6.1.0-test/virtio.ko
lib/modules/6.1.0-test/virtio_blk.ko
bbin
bbin/bb
bbin/gosh
bbin/ls
bbin/makedumpfile
bbin/vmcore-dmesg
`
	spec := testSpec(t)
	archive := build(t, spec, None)
	for _, cpio := range [][]string{{"cpio"}, {"busybox", "cpio"}} {
		t.Run(strings.Join(cpio, " "), func(t *testing.T) {
			if _, err := exec.LookPath(cpio[0]); err != nil {
				t.Skipf("no %s here", cpio[0])
			}
			list := exec.Command(cpio[0], append(cpio[1:], "-t")...)
			list.Stdin = bytes.NewReader(archive)
			if got, err := list.Output(); err != nil || string(got) != want {
				t.Errorf("%s = %v,\n%s, want\n%s", list, err, got, want)
			}

			// Device nodes need root.
			names := "init\netc/kdump.conf\netc/modules\nlib/modules/*\nbbin/*\n"
			dir := t.TempDir()
			unpack := exec.Command(cpio[0], append(cpio[1:], append([]string{"-i", "-d"}, strings.Fields(names)...)...)...)
			unpack.Dir, unpack.Stdin = dir, bytes.NewReader(archive)
			if out, err := unpack.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", unpack, err, out)
			}
			checkUnpacked(t, dir, spec)
		})
	}
}

// checkUnpacked checks the files of an unpacked image.
func checkUnpacked(t *testing.T, dir string, spec Spec) {
	t.Helper()
	for name, want := range map[string]struct {
		data string
		mode os.FileMode
	}{
		"init":           {string(spec.Init), 0o755},
		"etc/kdump.conf": {string(spec.Config), 0o600},
		"etc/modules": {"/lib/modules/6.1.0-test/virtio.ko -\n" +
			"/lib/modules/6.1.0-test/virtio_blk.ko virtio\n", 0o644},
		"lib/modules/6.1.0-test/virtio.ko": {"\x7fELF virtio", 0o644},
		"bbin/bb":                          {string(spec.Rescue), 0o755},
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want.data {
			t.Errorf("%s = %.100q, %v, want %.100q", name, got, err, want.data)
		}
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || fi.Mode() != want.mode {
			t.Errorf("mode of %s = %v, %v, want %v", name, fi.Mode(), err, want.mode)
		}
	}
	for name, want := range map[string]string{"bbin/ls": "bb", "bbin/makedumpfile": "/init"} {
		if got, err := os.Readlink(filepath.Join(dir, name)); err != nil || got != want {
			t.Errorf("link %s = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestReproducible(t *testing.T) {
	for _, c := range Compressions() {
		// A second directory of modules, written later.
		if a, b := build(t, testSpec(t), c), build(t, testSpec(t), c); !bytes.Equal(a, b) {
			t.Errorf("%s: two builds of the same differ (%d and %d bytes)", c, len(a), len(b))
		}
	}
}

func TestReadFile(t *testing.T) {
	spec := testSpec(t)
	for _, c := range Compressions() {
		name := filepath.Join(t.TempDir(), "image")
		if err := WriteFile(name, spec, c); err != nil {
			t.Fatalf("WriteFile with %s = %v", c, err)
		}
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode() != 0o600 {
			t.Errorf("mode of the image = %v, want 0600", fi.Mode())
		}
		got, err := ReadFile(name)
		if err != nil {
			t.Fatalf("ReadFile with %s = %v", c, err)
		}
		if got.Compression != c || got.Packed != fi.Size() || got.Release != spec.Release || !bytes.Equal(got.Config, spec.Config) {
			t.Errorf("ReadFile = %+v, want %s, %d bytes, release %s, config %q", got, c, fi.Size(), spec.Release, spec.Config)
		}
		want := []Part{
			{"init", 1, int64(len(spec.Init))}, {"config", 1, int64(len(spec.Config))},
			{"modules", 2, int64(len("\x7fELF virtio" + "\x7fELF virtio_blk"))}, {"rescue", 1, int64(len(spec.Rescue))},
		}
		if !reflect.DeepEqual(got.Parts[:4], want) || got.Parts[4].Files != 2 {
			t.Errorf("parts = %+v, want %+v and 2 lists", got.Parts, want)
		}
	}
}

// TestWriteFileKeepsOld checks that a failed build leaves the old image and
// nothing else.
func TestWriteFileKeepsOld(t *testing.T) {
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := testSpec(t)
	spec.Modules[1].File += ".missing"
	if err := WriteFile(name, spec, Zstd); err == nil {
		t.Error("WriteFile with a missing module = nil, want an error")
	}
	entries, _ := os.ReadDir(filepath.Dir(name))
	if old, _ := os.ReadFile(name); string(old) != "old" || len(entries) != 1 {
		t.Errorf("after a failed build the directory has %v and the image %q, want the old image alone", entries, old)
	}
}

// TestReadDamaged cuts an image off and changes bytes of it. Either is an
// error, whatever the compression checks by itself.
func TestReadDamaged(t *testing.T) {
	spec := testSpec(t)
	spec.Init = spec.Init[:100000]
	for _, c := range Compressions() {
		image := build(t, spec, c)
		for _, n := range []int{0, 1, 5, 6, 100, len(image) / 2, len(image) - 2000} {
			if _, err := read(bytes.NewReader(image[:n])); err == nil {
				t.Errorf("%s: read of the first %d of %d bytes = nil, want an error", c, n, len(image))
			}
		}
		for _, i := range []int{len(image) / 3, len(image) / 2, 2 * len(image) / 3} {
			damaged := bytes.Clone(image)
			damaged[i] ^= 0x10
			if _, err := read(bytes.NewReader(damaged)); err == nil {
				t.Errorf("%s: read with byte %d of %d changed = nil, want an error", c, i, len(image))
			}
		}
	}
}

func FuzzRead(f *testing.F) {
	spec := Spec{Init: []byte("i"), Config: []byte(config.Path)}
	for _, c := range Compressions() {
		var b bytes.Buffer
		if err := Build(&b, spec, c); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, image []byte) {
		img, err := read(bytes.NewReader(image))
		if (img == nil) == (err == nil) {
			t.Errorf("read = %+v, %v, want an image or an error", img, err)
		}
	})
}

func TestSupportedBy(t *testing.T) {
	const kernelConfig = "# CONFIG_RD_LZ4 is not set\nCONFIG_RD_GZIP=y\nCONFIG_RD_ZSTD=y\n"
	for c, want := range map[Compression]bool{Zstd: true, LZ4: false, Gzip: true, None: true} {
		if got := c.SupportedBy([]byte("#\n" + kernelConfig)); got != want {
			t.Errorf("%s.SupportedBy(%q) = %v, want %v", c, kernelConfig, got, want)
		}
	}
}

func TestParseCompression(t *testing.T) {
	if c, err := ParseCompression("lz4"); c != LZ4 || err != nil {
		t.Errorf(`ParseCompression("lz4") = %v, %v, want lz4`, c, err)
	}
	for _, name := range []string{"", "xz", "ZSTD"} {
		if c, err := ParseCompression(name); err == nil {
			t.Errorf("ParseCompression(%q) = %v, want an error", name, c)
		}
	}
}
