// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ukdump/ukdump/pkg/kmod"
)

// moduleTime is how long a module may take; udev warns after 60 seconds, and
// this is not the only one.
const moduleTime = 20 * time.Second

// loadModules loads the modules in the image. One that fails costs what needs
// it: the target may do without.
func loadModules(ctx context.Context, r *run, s state) (state, error) {
	list, err := r.readList(s, r.machine.modules)
	if err == nil && s.damaged[r.machine.earlyModules] {
		err = fmt.Errorf("%s is damaged", r.machine.earlyModules)
	}
	if err != nil {
		r.log.printf("modules: %v; trying all that there are", err)
		err = r.loadAnyhow(ctx)
	} else {
		err = r.load(ctx, list)
	}
	r.takeWatchdogs() // some are parts of other devices
	return s, err
}

// readList reads a list of modules; an image without it has none to load.
func (r *run) readList(s state, name string) ([]kmod.Entry, error) {
	if s.damaged[name] {
		return nil, fmt.Errorf("%s is damaged", name)
	}
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := kmod.ParseList(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return list, nil
}

// load loads the modules.
func (r *run) load(ctx context.Context, list []kmod.Entry) error {
	failed := tryModules(ctx, list)
	for _, l := range failed {
		r.log.giveUp("modules: %s: %v", l.Name(), l.Err)
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d modules did not load", len(failed), len(list))
	}
	return nil
}

// loadAnyhow loads the modules that lie in the image without knowing what each
// needs: over and over, until no other one loads.
func (r *run) loadAnyhow(ctx context.Context) error {
	files, err := filepath.Glob(r.machine.root + "/lib/modules/*/*.ko")
	for err == nil && len(files) > 0 {
		var list []kmod.Entry
		for _, file := range files {
			list = append(list, kmod.Entry{Path: file})
		}
		var again []string
		for _, l := range tryModules(ctx, list) {
			again = append(again, l.Path)
		}
		if len(again) == len(files) {
			return r.load(ctx, list) // once more, for the log
		}
		files = again
	}
	return err
}

// tryModules loads the modules and returns those that did not load.
func tryModules(ctx context.Context, list []kmod.Entry) (failed []kmod.Loaded) {
	kmod.Load(ctx, list, moduleTime, func(l kmod.Loaded) {
		if l.Err != nil {
			failed = append(failed, l)
			return
		}
		// The root file system is memory, and the kernel has its own copy.
		os.Remove(l.Path)
	})
	return failed
}
