// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/blockdev"
	"github.com/ukdump/ukdump/pkg/config"
)

// findTimeout bounds the search for the target on the running machine. It is
// there or it is not; the time is for slow disks.
const findTimeout = 10 * time.Second

// hostTarget finds the configured target on the running machine and returns its
// device node. It changes the configuration to what the capture kernel can use:
// a target if the file names none, and the UUID in place of a node, as the
// capture kernel may number disks in another order and knows no links of udev.
func hostTarget(cfg *config.Config, mounts []mount) (device string, err error) {
	if cfg.Target.Device == "" {
		if err := targetOfDir(cfg, mounts); err != nil {
			return "", fmt.Errorf("%s names no target, and %s: %w", config.Path, cfg.Dir, err)
		}
	}
	spec := cfg.Target.Device
	if filepath.IsAbs(spec) {
		if spec, err = filepath.EvalSymlinks(spec); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
	defer cancel()
	found, err := blockdev.Find(ctx, "/sys", "/dev", spec, nil)
	if err != nil {
		return "", err
	}
	if err := checkTarget(cfg.Target.Filesystem, found); err != nil {
		return "", err
	}
	if filepath.IsAbs(spec) && found.UUID != "" {
		cfg.Target.Device = "UUID=" + found.UUID
	}
	return found.Path, nil
}

// checkTarget says why a device that is here cannot be the target in the
// capture kernel.
func checkTarget(fsType string, found blockdev.Found) error {
	if kind := strings.TrimRight(found.Name, "0123456789"); kind == "dm-" || kind == "md" || kind == "loop" {
		return fmt.Errorf("%s is assembled by user space (LVM, LUKS, RAID, loop), which the capture kernel does not do: choose a file system on a plain disk or partition", found.Path)
	}
	switch {
	case found.Type == "":
		return fmt.Errorf("%s: no file system of a known type is on it", found.Path)
	case found.Type != fsType && !(isExt(found.Type) && isExt(fsType)):
		return fmt.Errorf("%s: holds %s, not %s as the configuration says", found.Path, found.Type, fsType)
	}
	return nil
}

// isExt reports whether a file system is one of the three that one driver
// mounts, and that a superblock does not always tell apart.
func isExt(fsType string) bool { return fsType == "ext2" || fsType == "ext3" || fsType == "ext4" }

// targetOfDir sets the target to the file system that holds the directory for
// dumps now, and the directory to where it is there.
func targetOfDir(cfg *config.Config, mounts []mount) error {
	dir, err := resolveDir(cfg.Dir)
	if err != nil {
		return err
	}
	m, ok := mountOf(mounts, dir)
	if !ok {
		return errors.New("no file system holds it")
	}
	if m.fsType == "btrfs" && m.root != "/" {
		// Which subvolume a mount shows depends on which is the default then.
		return fmt.Errorf("it is in the btrfs subvolume %s: name the target, and give path from the top of the default subvolume", m.root)
	}
	device, err := m.device()
	if err != nil {
		return err
	}
	below, err := filepath.Rel(m.point, dir)
	if err != nil {
		return err
	}
	cfg.Target = config.Target{Filesystem: m.fsType, Device: device}
	cfg.Dir = filepath.Join(m.root, below)
	return nil
}

// resolveDir resolves links in a path of which the last part may not exist yet.
func resolveDir(dir string) (string, error) {
	resolved, err := filepath.EvalSymlinks(dir)
	if !errors.Is(err, fs.ErrNotExist) || dir == "/" {
		return resolved, err
	}
	parent, err := resolveDir(filepath.Dir(dir))
	return filepath.Join(parent, filepath.Base(dir)), err
}
