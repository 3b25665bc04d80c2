// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/config"
)

// saveAgain has the program that has just saved the dump to a server save the same
// memory to the disk, as it is configured to.
func saveAgain() error {
	text, err := os.ReadFile(config.Path)
	if err != nil {
		return err
	}
	cfg, err := config.Parse(config.Path, string(text), config.Checks{})
	if err != nil {
		return err
	}
	const dir = "/again"
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := unix.Mount("/dev/vda", dir, "ext4", 0, ""); err != nil {
		return fmt.Errorf("/dev/vda: %w", err)
	}
	cmd := exec.Command("/init", append(cfg.CoreCollector, "/proc/vmcore", dir+"/vmcore")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return errors.Join(cmd.Run(), unix.Unmount(dir, 0))
}
