// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package makedumpfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
)

// output is the dump file. It has its final name only when it is whole.
type output struct {
	*os.File        // nil for a dry run
	path     string // final name
	force    bool
	direct   bool // a device or pipe, written as it is
	keep     bool // abort leaves the file, which is a valid dump
	done     bool
}

// create makes the file that the dump is written to.
func (a *applet) create() (*output, error) {
	if a.DryRun {
		return &output{}, nil
	}
	o := &output{path: a.Files[1], force: a.Force}
	info, err := os.Stat(o.path)
	switch {
	case err == nil && !a.Force:
		return nil, fmt.Errorf("%s exists; -f overwrites it", o.path)
	case err == nil && !info.Mode().IsRegular():
		o.direct = true
		o.File, err = os.OpenFile(o.path, os.O_RDWR, 0)
		return o, err
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	o.File, err = os.OpenFile(o.path+target.Incomplete, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	return o, err
}

// name returns where the dump is at the moment.
func (o *output) name() string {
	if o.File == nil {
		return "nothing, in a dry run"
	}
	return o.File.Name()
}

// Write implements io.Writer, also for a dry run.
func (o *output) Write(p []byte) (int, error) {
	if o.File == nil {
		return len(p), nil
	}
	return o.File.Write(p)
}

// WriteAt implements io.WriterAt, also for a dry run.
func (o *output) WriteAt(p []byte, off int64) (int, error) {
	if o.File == nil {
		return len(p), nil
	}
	return o.File.WriteAt(p, off)
}

// Truncate is for a second try with a smaller dump.
func (o *output) Truncate(size int64) error {
	if o.File == nil {
		return nil
	}
	return o.File.Truncate(size)
}

// commit gives the file its final name once its contents are on disk.
func (o *output) commit() error {
	if o.File == nil {
		return nil
	}
	if o.direct {
		o.done = true
		return o.Close()
	}
	if err := o.Sync(); err != nil {
		return err
	}
	var flags uint = unix.RENAME_NOREPLACE
	if o.force {
		flags = 0
	}
	err := unix.Renameat2(unix.AT_FDCWD, o.File.Name(), unix.AT_FDCWD, o.path, flags)
	if err != nil {
		return fmt.Errorf("%s: %w", o.path, err)
	}
	o.done = true
	if err := o.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(o.path))
}

// abort removes what cannot be opened as a dump.
func (o *output) abort() {
	if o.File == nil || o.done {
		return
	}
	o.Sync()
	o.Close()
	if !o.keep && !o.direct {
		os.Remove(o.File.Name())
	}
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
