// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ukdump/ukdump/pkg/config"
)

// libDir is where packages install what kdumpctl packs.
const libDir = "/usr/lib/ukdump"

// rescueBinary is the name of the prebuilt rescue busybox, in libDir or beside
// kdumpctl's own executable.
const rescueBinary = "rescue/bb"

// imageBinary returns the name of the smallest prebuilt busybox for images that
// serves the configuration. They differ in the build tags that come after "image".
func imageBinary(cfg *config.Config) string {
	name := "ukdump-image"
	if len(cfg.Encrypt) > 0 || len(cfg.FenceNodes) > 0 {
		name = "ukdump-image-network"
	}
	for _, t := range cfg.Targets {
		switch {
		case t.Kind == "s3":
			return "ukdump-image-s3"
		case t.OverNetwork():
			name = "ukdump-image-network"
		}
	}
	return name
}

// prebuilt finds a prebuilt executable: beside the running one, where make
// leaves them, or in libDir. The error wraps fs.ErrNotExist if there is none.
func prebuilt(name string) (string, error) {
	self, err := ownExecutable()
	if err != nil {
		return "", err
	}
	for _, dir := range []string{filepath.Dir(self), libDir} {
		file := filepath.Join(dir, name)
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("no %s in %s or %s: %w", name, filepath.Dir(self), libDir, fs.ErrNotExist)
}

// ownExecutable returns the path of the running executable, links resolved.
func ownExecutable() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(self)
}

// readStatic reads an executable and refuses it if it cannot run in an image, in
// which there are no libraries.
func readStatic(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s is no executable: %w", file, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s needs a dynamic linker, and there is none in the image: build it with CGO_ENABLED=0", file)
		}
	}
	return b, nil
}
