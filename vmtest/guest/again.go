// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// saveAgain has the program that has just saved the dump to a server save the same
// memory to the disk, as it is configured to.
func saveAgain() error {
	collector, err := configured("core_collector")
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
	cmd := exec.Command("/init", append(collector, "/proc/vmcore", dir+"/vmcore")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return errors.Join(cmd.Run(), unix.Unmount(dir, 0))
}

// configured returns the value of a key of kdump.conf, in words.
func configured(key string) ([]string, error) {
	file, err := os.Open("/etc/kdump.conf")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == key {
			return words[1:], nil
		}
	}
	return nil, fmt.Errorf("no %s in %s", key, file.Name())
}
