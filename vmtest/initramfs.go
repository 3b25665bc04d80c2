// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
)

// earlySteps are what a machine does in its initramfs to arm the image there.
var earlySteps = []string{kdumpctl + "load --kernel-image /boot/vmlinuz --initrd /boot/capture.img", "crash"}

// makeInitramfs makes an initramfs, in dir, whose init is the guest program, and
// which has a kernel and an image with the configuration to be armed. It returns
// its path.
func makeInitramfs(k Kernel, dir, conf string) (string, error) {
	confFile, guest := filepath.Join(dir, "kdump.conf"), filepath.Join(dir, "guest")
	if err := os.WriteFile(confFile, []byte(conf+"\n"), 0o600); err != nil {
		return "", err
	}
	if err := buildGuest(guest); err != nil {
		return "", err
	}
	image := filepath.Join(dir, "capture.img")
	if err := run(filepath.Join(Build, "ukdump"), "kdumpctl", "build", "--config", confFile, "-o", image,
		"--kernel", k.Release, "--module-dir", filepath.Join(k.Root, "lib/modules", k.Release),
		"--modules", "virtio_pci,virtio_blk"); err != nil {
		return "", err
	}
	records, err := fileRecords(map[string]string{
		"init": guest, "usr/sbin/ukdump": filepath.Join(Build, "ukdump"), "boot/vmlinuz": k.Image(), "boot/capture.img": image,
	})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "initramfs")
	return path, writeInitramfs(path, append(records, directories("usr", "usr/sbin", "boot")...))
}

// fileRecords returns the records of programs and other files of the host, by
// their names in the initramfs.
func fileRecords(files map[string]string) ([]cpio.Record, error) {
	var records []cpio.Record
	for name, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		records = append(records, cpio.StaticFile(name, string(data), 0o755))
	}
	return records, nil
}

func directories(names ...string) (records []cpio.Record) {
	for _, name := range names {
		records = append(records, cpio.Directory(name, 0o755))
	}
	return records
}

// writeInitramfs writes an initramfs with the records, in any order, and with a
// console.
func writeInitramfs(path string, records []cpio.Record) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	records = append(records, cpio.Directory("dev", 0o755), cpio.CharDev("dev/console", 0o600, 5, 1))
	// Directories come before what is in them.
	slices.SortFunc(records, func(a, b cpio.Record) int { return strings.Compare(a.Name, b.Name) })
	cpio.MakeAllReproducible(records)
	w := cpio.Newc.Writer(file)
	if err := errors.Join(cpio.WriteRecords(w, records), cpio.WriteTrailer(w)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return file.Close()
}
