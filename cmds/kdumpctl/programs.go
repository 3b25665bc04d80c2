// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image"
	"github.com/ukdump/ukdump/pkg/image/manifest"
	"github.com/ukdump/ukdump/pkg/image/programs"
	"github.com/ukdump/ukdump/pkg/kmod"
)

// packPrograms returns the programs that the configuration has run and those that it
// has packed beside them, with all that they need.
func packPrograms(cfg *config.Config, stderr io.Writer) ([]image.File, error) {
	return packHooks(cfg, []config.Hook{cfg.PreHook(), cfg.PostHook(), cfg.EmergencyHook()}, stderr)
}

func packHooks(cfg *config.Config, hooks []config.Hook, stderr io.Writer) ([]image.File, error) {
	set := programs.NewSet()
	for _, name := range cfg.ExtraBins {
		if err := addExtra(set, name); err != nil {
			return nil, fmt.Errorf("extra_bins: %w", err)
		}
	}
	for _, h := range hooks {
		if err := addHook(set, h, stderr); err != nil {
			return nil, fmt.Errorf("%s: %w", h.Key, err)
		}
	}
	for _, i := range set.Interpreters() {
		fmt.Fprintf(stderr, "kdumpctl build: packing %s, too, which runs %s; what that calls has to be in extra_bins\n", i.Path, i.Script)
	}
	var files []image.File
	for _, f := range set.Files() {
		files = append(files, image.File(f))
	}
	return files, checkPlaces(files)
}

// addHook adds the program that the configuration names, and those in the hook's
// directory.
func addHook(set *programs.Set, h config.Hook, stderr io.Writer) error {
	if h.Program != "" {
		if err := set.Add(h.Program); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(h.Dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(h.Dir, e.Name())
		if info, err := os.Stat(name); err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0) {
			fmt.Fprintf(stderr, "kdumpctl build: %s is not executable and not packed\n", name)
			continue
		}
		if err := set.Add(name); err != nil {
			return err
		}
	}
	return nil
}

// addExtra adds a program by its path or its name.
func addExtra(set *programs.Set, name string) error {
	if !strings.Contains(name, "/") {
		found, err := set.LookPath(name)
		if err != nil {
			return err
		}
		return set.Add(found)
	}
	if !path.IsAbs(name) || name != path.Clean(name) {
		return fmt.Errorf("%.60q is neither the name of a program nor its absolute path", name)
	}
	return set.Add(name)
}

// checkPlaces refuses files that would take the place of the image's own, or that
// the capture kernel's file systems would hide.
func checkPlaces(files []image.File) error {
	taken := []string{image.InitPath, image.RescueDir, image.ConfigDir, config.Path, manifest.Path, kmod.ListPath, kmod.EarlyListPath,
		"/dev", "/proc", "/sys", "/mnt"}
	for _, f := range files {
		for _, place := range taken {
			if f.Path == place || strings.HasPrefix(f.Path, place+"/") {
				return fmt.Errorf("%s cannot be in the image, %s is something else there: copy it to /usr/local", f.Path, place)
			}
		}
	}
	return nil
}
