// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"os"
	"path/filepath"

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
	records := []cpio.Record{cpio.CharDev("dev/console", 0o600, 5, 1)}
	for _, dir := range []string{"usr/sbin", "usr", "boot", "dev"} {
		records = append([]cpio.Record{cpio.Directory(dir, 0o755)}, records...)
	}
	for name, file := range map[string]string{
		"init": guest, "usr/sbin/ukdump": filepath.Join(Build, "ukdump"), "boot/vmlinuz": k.Image(), "boot/capture.img": image,
	} {
		data, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		records = append(records, cpio.StaticFile(name, string(data), 0o755))
	}
	cpio.MakeAllReproducible(records)
	path := filepath.Join(dir, "initramfs")
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	w := cpio.Newc.Writer(file)
	if err := cpio.WriteRecords(w, records); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return path, file.Close()
}
