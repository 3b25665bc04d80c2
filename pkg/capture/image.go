// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/image/manifest"
	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// checkImage compares the files of the image with its manifest. The kernel goes
// on with what it could unpack where memory does not suffice for all of it, and
// a panic may come from memory that does not keep what is written to it. The run
// goes on without what is damaged, and its log names the cause.
func checkImage(ctx context.Context, r *run, s state) (state, error) {
	entries, err := readManifest(r.machine.manifest)
	if err != nil {
		return s, fmt.Errorf("going on unchecked: %w", err)
	}
	damaged := map[string]bool{}
	for _, e := range entries {
		if ctx.Err() != nil {
			return s, context.Cause(ctx)
		}
		err := checkFile(r.machine.root, e)
		if errors.Is(err, os.ErrNotExist) {
			if kmod.Live(r.machine.sys, e.Path) {
				continue // the process before this one has loaded and removed it
			}
			err = fmt.Errorf("%s is missing", e.Path)
		}
		if err != nil {
			r.log.printf("image: %v", err)
			damaged[r.machine.root+e.Path] = true
		}
	}
	s.damaged = damaged
	for file := range damaged {
		if filepath.Ext(file) == ".ko" {
			os.Remove(file) // so that nothing loads it
		}
	}
	if len(damaged) > 0 {
		return s, fmt.Errorf("%d of %d files are damaged; is crashkernel= too small?", len(damaged), len(entries))
	}
	return s, nil
}

func readManifest(name string) ([]manifest.Entry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := manifest.Parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return entries, nil
}

// checkFile compares a file with the manifest. It is mapped, as copying all of an
// image takes longer than its sums do where a CPU is emulated.
func checkFile(root string, e manifest.Entry) error {
	f, err := os.Open(root + e.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() == 0 {
		return e.Check(nil) // nothing can be mapped
	}
	contents, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("mapping %s: %w", e.Path, err)
	}
	defer unix.Munmap(contents)
	return vmcore.CatchFault(func() error { return e.Check(contents) })
}
