// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package file is the target that keeps dumps in a directory of a mounted file
// system. Files are 0600, directories 0700: a dump has everybody's secrets.
package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
)

// Dir is a directory that takes files. It implements target.Target.
type Dir struct {
	root *os.Root
	name string // for messages
}

// Open returns the target for an existing directory.
func Open(dir string) (*Dir, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Dir{root: root, name: dir}, nil
}

// MakeParents opens a directory, an absolute path as seen from the top of the
// file system that is mounted at mount, and makes what of it is missing. That is
// durable when it returns.
//
// Symbolic links on the way are followed as long as they stay below mount; an
// absolute one does not, because it is meant for another root.
func MakeParents(mount, dir string) (*Dir, error) {
	top, err := os.OpenRoot(mount)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	if err := makeParents(top, relative(dir)); err != nil {
		return nil, noSpace(fmt.Errorf("making %s on the target: %w", dir, err))
	}
	root, err := top.OpenRoot(relative(dir))
	if err != nil {
		return nil, err
	}
	return &Dir{root: root, name: filepath.Clean("/" + dir)}, nil
}

// maxNames bounds how many names Make tries.
const maxNames = 1000

// Make makes a new directory of that name in d. If the name is taken, "-2" is
// appended, then "-3" and so on. It is durable when Make returns.
func (d *Dir) Make(name string) (*Dir, error) {
	for n := 1; n <= maxNames; n++ {
		free := name
		if n > 1 {
			free += "-" + strconv.Itoa(n)
		}
		err := makeDir(d.root, free)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, noSpace(fmt.Errorf("making %s in %s: %w", free, d, err))
		}
		root, err := d.root.OpenRoot(free)
		if err != nil {
			return nil, err
		}
		return &Dir{root: root, name: filepath.Join(d.name, free)}, nil
	}
	return nil, fmt.Errorf("%s has %d directories with the name %s", d, maxNames, name)
}

// relative returns an absolute path as os.Root wants it.
func relative(path string) string {
	if rel := filepath.Clean("/" + path)[1:]; rel != "" {
		return rel
	}
	return "."
}

// makeParents makes the directory and those above it.
func makeParents(top *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := top.Stat(dir); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s: %w", dir, unix.ENOTDIR)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := makeParents(top, filepath.Dir(dir)); err != nil {
		return err
	}
	return makeDir(top, dir)
}

// makeDir makes one directory and the entry for it durable.
func makeDir(top *os.Root, dir string) error {
	if err := top.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return syncDir(top, filepath.Dir(dir))
}

// syncDir makes the entries of a directory durable.
func syncDir(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Create implements target.Target. The file implements io.WriterAt.
func (d *Dir) Create(ctx context.Context, name string, reserve int64) (target.File, error) {
	if _, err := d.root.Lstat(name); err == nil {
		return nil, fmt.Errorf("%s/%s: %w", d.name, name, fs.ErrExist)
	}
	flags := os.O_RDWR | os.O_CREATE | os.O_TRUNC
	f, err := d.root.OpenFile(name+target.Incomplete, flags, 0o600)
	if err != nil {
		return nil, noSpace(err)
	}
	file := &File{ctx: ctx, dir: d, name: name, f: f}
	// If the machine goes down half way, there is to be something that says so.
	if err := errors.Join(file.reserve(reserve), d.sync()); err != nil {
		file.Abort()
		return nil, err
	}
	file.openDirect()
	return file, nil
}

// Free implements target.Target.
func (d *Dir) Free(context.Context) (int64, error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	var stat unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &stat); err != nil {
		return 0, fmt.Errorf("%s: %w", d.name, err)
	}
	return int64(stat.Bavail) * stat.Frsize, nil
}

// sync makes the names of the files durable.
func (d *Dir) sync() error {
	if err := syncDir(d.root, "."); err != nil {
		return noSpace(fmt.Errorf("syncing %s: %w", d.name, err))
	}
	return nil
}

// String implements target.Target: the path of the directory on its file system.
func (d *Dir) String() string { return d.name }

// Close lets go of the directory. Files that were created in it live on.
func (d *Dir) Close() error { return d.root.Close() }

// noSpace adds target.ErrNoSpace to errors that mean it.
func noSpace(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w: %w", target.ErrNoSpace, err)
	}
	return err
}
