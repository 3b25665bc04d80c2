// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/u-root/u-root/pkg/cpio"
)

// File is a file of a root file system that is made for a test.
type File struct {
	Path     string // in the guest, without the leading slash
	Mode     os.FileMode
	Contents string
	From     string // copied from here if not empty
}

// MakeRoot makes an ext4 image of a root file system: the kernel with its
// modules, the guest program as init, and files.
func MakeRoot(image string, k Kernel, files ...File) error {
	guest, err := buildGuest()
	if err != nil {
		return err
	}
	tree, err := os.MkdirTemp(Build, "root-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tree)
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "var", "root", "etc", "boot", "usr/lib/modules"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("usr/lib", filepath.Join(tree, "lib")); err != nil {
		return err
	}
	modules := filepath.Join(k.Root, "lib", "modules", k.Release)
	if err := run("cp", "-a", modules, filepath.Join(tree, "usr/lib/modules/")); err != nil {
		return err
	}
	files = append(files,
		File{Path: "sbin/init", Mode: 0o755, From: guest},
		File{Path: "boot/vmlinuz-" + k.Release, Mode: 0o644, From: k.Image()},
	)
	for _, f := range files {
		if err := f.write(tree); err != nil {
			return err
		}
	}
	// The kernel finds its root by the number in the partition table: the names
	// of NVMe disks change from boot to boot.
	if err := MakeDisk(image, "ext4", "1G", "-d", tree, "-E", fmt.Sprintf("offset=%d", rootOffset)); err != nil {
		return err
	}
	return writePartitionTable(image, 1<<30)
}

const (
	rootOffset = 1 << 20
	rootDisk   = 0x6b64756d // the disk's signature; its partition 1 is PARTUUID=6b64756d-01
)

// writePartitionTable writes an MBR with one partition, from rootOffset to the
// end of the disk.
func writePartitionTable(image string, size uint32) error {
	var mbr [512]byte
	binary.LittleEndian.PutUint32(mbr[440:], rootDisk)
	entry := mbr[446:]
	entry[4] = 0x83 // Linux
	binary.LittleEndian.PutUint32(entry[8:], rootOffset/512)
	binary.LittleEndian.PutUint32(entry[12:], (size-rootOffset)/512)
	mbr[510], mbr[511] = 0x55, 0xaa
	file, err := os.OpenFile(image, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteAt(mbr[:], 0)
	return err
}

func (f File) write(tree string) error {
	path := filepath.Join(tree, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	contents := []byte(f.Contents)
	if f.From != "" {
		var err error
		if contents, err = os.ReadFile(f.From); err != nil {
			return err
		}
	}
	return os.WriteFile(path, contents, f.Mode)
}

// MakeDisk makes a sparse disk image of the size (as truncate takes it), with a
// file system made by mkfs.KIND with args; an empty kind leaves it blank.
func MakeDisk(image, kind, size string, args ...string) error {
	if err := os.MkdirAll(filepath.Dir(image), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(image); err != nil {
		return err
	}
	if err := run("truncate", "-s", size, image); err != nil {
		return err
	}
	if kind == "" {
		return nil
	}
	return run("mkfs."+kind, append(args, image)...)
}

// buildGuest builds the guest program and returns its path.
func buildGuest() (string, error) {
	guest := filepath.Join(Build, "guest")
	return guest, run("env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-ldflags", "-s -w",
		"-o", guest, filepath.Join(Build, "..", "vmtest", "guest"))
}

// writeRawImage writes the image whose init is the guest program, for the
// capture kernel that copies the core as it is.
func writeRawImage(path string) error {
	guest, err := buildGuest()
	if err != nil {
		return err
	}
	program, err := os.ReadFile(guest)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	w := cpio.Newc.Writer(file)
	records := []cpio.Record{
		cpio.Directory("dev", 0o755),
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.StaticFile("init", string(program), 0o755),
	}
	cpio.MakeAllReproducible(records)
	if err := cpio.WriteRecords(w, records); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return file.Close()
}
