// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package makedumpfile

import (
	"errors"
	"fmt"
	"io"
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

// create makes the file that becomes path.
func (a *applet) create(path string) (*output, error) {
	if a.DryRun {
		return &output{}, nil
	}
	o := &output{path: path, force: a.Force}
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

// outputs are the files of one dump: several, if it is split.
type outputs []*output

// createAll creates an output for each path, one in a dry run without any. After
// an error those that it did create are returned with it.
func (a *applet) createAll(paths []string) (outputs, error) {
	if a.DryRun && len(paths) == 0 {
		paths = []string{""}
	}
	var outs outputs
	for _, path := range paths {
		o, err := a.create(path)
		if err != nil {
			return outs, err
		}
		outs = append(outs, o)
	}
	return outs, nil
}

func (outs outputs) writers(limit int64) []io.WriterAt {
	var ws []io.WriterAt
	for _, o := range outs {
		ws = append(ws, limited(o, limit))
	}
	return ws
}

func (outs outputs) names() []string {
	var names []string
	for _, o := range outs {
		names = append(names, o.name())
	}
	return names
}

func (outs outputs) keep() {
	for _, o := range outs {
		o.keep = true
	}
}

func (outs outputs) commit() error {
	for _, o := range outs {
		if err := o.commit(); err != nil {
			return err
		}
	}
	return nil
}

func (outs outputs) abort() {
	for _, o := range outs {
		o.abort()
	}
}

// limited returns out, or if limit is not 0 a writer that is full at limit bytes.
func limited(out io.WriterAt, limit int64) io.WriterAt {
	if limit == 0 {
		return out
	}
	if t, ok := out.(truncatable); ok {
		return struct {
			limitedWriter
			truncatable
		}{limitedWriter{out, limit}, t}
	}
	if o, ok := out.(writeOnce); ok {
		return struct {
			limitedWriter
			writeOnce
		}{limitedWriter{out, limit}, o}
	}
	return limitedWriter{out, limit}
}

type truncatable interface{ Truncate(size int64) error }

// writeOnce marks outputs in which nothing may be written twice.
type writeOnce interface{ WriteOnce() }

type limitedWriter struct {
	out   io.WriterAt
	limit int64
}

// WriteAt writes what lies below the limit.
func (l limitedWriter) WriteAt(p []byte, off int64) (int, error) {
	room := max(l.limit-off, 0)
	if int64(len(p)) <= room {
		return l.out.WriteAt(p, off)
	}
	n, err := l.out.WriteAt(p[:room], off)
	if err == nil {
		err = fmt.Errorf("the limit of %d bytes is reached: %w", l.limit, unix.ENOSPC)
	}
	return n, err
}
