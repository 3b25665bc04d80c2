// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"archive/tar"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// openTarget opens the second NVMe namespace, once it has appeared. NVMe is
// built into the kernels that the tests use, so that no module is needed.
func openTarget(flags int) (*os.File, error) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		ids, err := filepath.Glob("/sys/block/nvme*/nsid")
		if err != nil {
			return nil, err
		}
		for _, path := range ids {
			if id, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(id)) == "2" {
				return os.OpenFile("/dev/"+filepath.Base(filepath.Dir(path)), os.O_WRONLY|flags, 0)
			}
		}
	}
	return nil, errors.New("no second NVMe namespace")
}

// tarDir writes an archive of what is in dir to the target disk.
func tarDir(dir string) error {
	disk, err := openTarget(0)
	if err != nil {
		return err
	}
	defer disk.Close()
	archive := tar.NewWriter(disk)
	if err := archive.AddFS(os.DirFS(dir)); err != nil {
		return err
	}
	if err := archive.Close(); err != nil {
		return err
	}
	if err := disk.Sync(); err != nil {
		return err
	}
	say("archive of %s written", dir)
	return nil
}
