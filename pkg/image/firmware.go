// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package image

import (
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/kmod/unpack"
)

// firmwareDir is where the kernel looks for firmware, last.
const firmwareDir = "/lib/firmware"

// Firmware returns the files of firmware that drivers among the modules ask for, as
// far as this machine has them: modules ask for more than any machine takes, and
// many can do without. Root is the machine's root directory.
func Firmware(root string, modules []kmod.Module, release string) ([]File, error) {
	var files []File
	for _, m := range modules {
		names, err := unpack.FirmwareOf(m.File)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			at := path.Join(firmwareDir, name)
			known := slices.ContainsFunc(files, func(f File) bool { return f.Path == at })
			if known || !filepath.IsLocal(name) {
				continue
			}
			data, err := readFirmware(filepath.Join(root, firmwareDir), name, release)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			files = append(files, File{Path: at, Data: data})
		}
	}
	return files, nil
}

// readFirmware looks in the folders that the kernel looks in, in its order (fw_path
// in drivers/base/firmware_loader/main.c of Linux).
func readFirmware(dir, name, release string) ([]byte, error) {
	for _, sub := range []string{"updates/" + release, "updates", release, ""} {
		for _, suffix := range []string{"", ".zst", ".xz"} {
			data, err := unpack.ReadFirmware(filepath.Join(dir, sub, name+suffix))
			if !errors.Is(err, fs.ErrNotExist) {
				return data, err
			}
		}
	}
	return nil, fs.ErrNotExist
}
