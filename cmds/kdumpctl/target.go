// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/blockdev"
	"github.com/ukdump/ukdump/pkg/config"
)

// findTimeout bounds the search for the target on the running machine. It is
// there or it is not; the time is for slow disks.
const findTimeout = 10 * time.Second

// hostTargets finds the configured targets on the running machine and returns the
// device nodes of those that have one. It changes the configuration to what the
// capture kernel can use: a target if the file names none, and the UUID in place
// of a node, as the capture kernel may number disks in another order and knows no
// links of udev.
func hostTargets(cfg *config.Config, mounts []mount) (devices []string, err error) {
	if len(cfg.Targets) == 0 {
		t, err := targetOfDir(cfg.Common, mounts)
		if err != nil {
			return nil, fmt.Errorf("%s names no target, and %s: %w", config.Path, cfg.Common.Dir, err)
		}
		cfg.Targets = []config.Target{t}
	}
	for i := range cfg.Targets {
		if t := &cfg.Targets[i]; t.OnDevice() {
			device, err := hostTarget(t)
			if err != nil {
				return nil, err
			}
			devices = append(devices, device)
		}
	}
	if cfg.FailureAction == config.DumpToRootfs {
		device, err := addRootfs(cfg, mounts)
		if err != nil {
			return nil, fmt.Errorf("failure_action: dump_to_rootfs: %w", err)
		}
		devices = append(devices, device)
	}
	return devices, nil
}

// addRootfs makes the root file system the last target, which is what
// dump_to_rootfs means, and returns its device.
func addRootfs(cfg *config.Config, mounts []mount) (device string, err error) {
	t, err := targetOfDir(config.Target{Dir: "/"}, mounts)
	if err != nil {
		return "", err
	}
	t.Dir = filepath.Join(t.Dir, cmp.Or(cfg.Targets[0].Dir, config.Default().Common.Dir))
	if device, err = hostTarget(&t); err != nil {
		return "", err
	}
	cfg.FailureAction = cfg.FinalAction
	same := func(other config.Target) bool { return other.Address == t.Address && other.Dir == t.Dir }
	if !slices.ContainsFunc(cfg.Targets, same) {
		cfg.Targets = append(cfg.Targets, t)
	}
	return device, nil
}

// hostTarget finds one target on a device, and returns the device's node.
func hostTarget(t *config.Target) (device string, err error) {
	spec := t.Address
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
	if err := checkTarget(t.Kind, found); err != nil {
		return "", err
	}
	switch {
	case !filepath.IsAbs(spec):
	case found.UUID != "":
		t.Address = "UUID=" + found.UUID
	default:
		t.Address = found.Path // there are no links in the capture kernel
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
	case fsType == "raw" && found.Type == "":
		return fmt.Errorf("%s: it is not prepared for dumps (kdumpctl format-raw %s)", found.Path, found.Path)
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

// targetOfDir returns as a target the file system that holds the directory for
// dumps now. All that is known of the target is common, the directory among it.
func targetOfDir(common config.Target, mounts []mount) (t config.Target, err error) {
	dir, err := resolveDir(common.Dir)
	if err != nil {
		return t, err
	}
	m, ok := mountOf(mounts, dir)
	if !ok {
		return t, errors.New("no file system holds it")
	}
	if m.fsType == "btrfs" && m.root != "/" {
		// Which subvolume a mount shows depends on which is the default then.
		return t, fmt.Errorf("it is in the btrfs subvolume %s: name the target, and give path from the top of the default subvolume", m.root)
	}
	device, err := m.device()
	if err != nil {
		return t, err
	}
	below, err := filepath.Rel(m.point, dir)
	if err != nil {
		return t, err
	}
	t = common
	t.Kind, t.Address, t.Dir = m.fsType, device, filepath.Join(m.root, below)
	return t, nil
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
