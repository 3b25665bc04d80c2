// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// MakeRoot makes the root file system of machines with the kernel, an ext4
// image, and returns its path. In it are the kernel with its modules, the guest
// program as init, the image that copies cores, and ukdump as a distribution
// would install it, as far as it has been built.
func MakeRoot(k Kernel) (string, error) { return MakeRootWith(k, k.Release) }

// MakeRootWith does the same under another name, with the files in the
// directories as well.
func MakeRootWith(k Kernel, name string, dirs ...string) (string, error) {
	tree, err := os.MkdirTemp(Build, "root-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tree)
	for _, dir := range dirs {
		if err := run("cp", "-a", dir+"/.", tree); err != nil {
			return "", err
		}
	}
	if err := fillRoot(tree, k); err != nil {
		return "", err
	}
	// The kernel finds its root by the number in the partition table: the names
	// of NVMe disks change from boot to boot.
	image := filepath.Join(Build, "root", name+".img")
	part := fmt.Sprintf("%s.%d", image, os.Getpid()) // several may make one at a time
	if err := MakeDisk(part, "ext4", "1G", "-q", "-d", tree, "-E", fmt.Sprintf("offset=%d", rootOffset)); err != nil {
		return "", err
	}
	if err := writePartitionTable(part, 1<<30); err != nil {
		return "", err
	}
	return image, os.Rename(part, image)
}

func fillRoot(tree string, k Kernel) error {
	for _, dir := range []string{"dev", "proc", "sys", "run", "tmp", "var", "root", "etc", "sbin", "usr/sbin", "usr/lib/modules"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("usr/lib", filepath.Join(tree, "lib")); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := buildGuest(filepath.Join(tree, "sbin/init")); err != nil {
		return err
	}
	copies := []struct{ from, to string }{
		{filepath.Join(k.Root, "boot"), ""},
		{filepath.Join(k.Root, "lib/modules", k.Release), "usr/lib/modules/"},
		{filepath.Join(Build, "../initramfs/kdump.conf"), "etc/"},
	}
	for from, to := range map[string]string{
		"ukdump": "usr/sbin/", "ukdump-image": "usr/lib/ukdump/", "ukdump-image-network": "usr/lib/ukdump/",
		"ukdump-image-s3": "usr/lib/ukdump/", "rescue/bb": "usr/lib/ukdump/rescue/",
	} {
		if _, err := os.Stat(filepath.Join(Build, from)); err == nil {
			copies = append(copies, struct{ from, to string }{filepath.Join(Build, from), to})
		}
	}
	for _, c := range copies {
		to := filepath.Join(tree, c.to)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if err := run("cp", "-a", c.from, to); err != nil {
			return err
		}
	}
	return writeRawImage(filepath.Join(tree, "boot/raw.cpio"), filepath.Join(tree, "sbin/init"))
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

// buildGuest builds the guest program.
func buildGuest(path string) error {
	return run("env", "CGO_ENABLED=0", "go", "build", "-C", filepath.Join(Build, ".."),
		"-trimpath", "-ldflags", "-s -w", "-o", path, "./vmtest/guest")
}

// writeRawImage writes the image whose init is the guest program, for the
// capture kernel that copies the core as it is.
func writeRawImage(path, guest string) error {
	records, err := fileRecords(map[string]string{"init": guest})
	if err != nil {
		return err
	}
	return writeInitramfs(path, records)
}
