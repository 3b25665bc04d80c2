// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// MakeCore crashes a machine with the kernel and leaves the core, as the
// capture kernel saw it, at k.Core(). It does nothing if that is there.
func MakeCore(k Kernel, print func(line string)) error {
	if _, err := os.Stat(k.Core()); err == nil {
		return nil
	}
	dir, err := os.MkdirTemp(Build, "core-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	root, err := MakeRoot(k)
	if err != nil {
		return err
	}
	disk := filepath.Join(dir, "disk")
	if err := MakeDisk(disk, "", "4G"); err != nil {
		return err
	}
	m := Machine{Kernel: k, Root: root, Raw: disk, Print: print, BalloonMiB: 64,
		Steps: []string{"modprobe virtio_pci virtio_balloon", "arm-raw", "fill 768", "balloon", "crash"}}
	console, err := m.Run()
	if err != nil {
		return err
	}
	size, err := coreSize(console)
	if err != nil {
		return fmt.Errorf("%s: %w", k.Release, err)
	}
	if err := os.Truncate(disk, size); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(k.Core()), 0o755); err != nil {
		return err
	}
	return os.Rename(disk, k.Core())
}

func coreSize(console *Console) (int64, error) {
	const said = "guest: core of "
	line, found := console.Find(said)
	if !found {
		return 0, errors.New("the machine ended without having saved a core")
	}
	_, size, _ := strings.Cut(line.Text, said)
	return strconv.ParseInt(strings.TrimSuffix(size, " bytes"), 10, 64)
}
