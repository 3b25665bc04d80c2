// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package file

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/direct"
)

// File is a file under way. It implements target.File, target.Syncer and io.WriterAt.
type File struct {
	ctx  context.Context
	dir  *Dir
	name string   // without target.Incomplete
	f    *os.File // nil after Commit or Abort
	// direct is the same file, opened with O_DIRECT. It is nil where the file
	// system has no such thing.
	direct *os.File
	writer direct.Writer // to both

	next int64 // where Write goes on
	end  int64 // the size of the file
}

// reserve sets room aside behind the end of the file. A file system that cannot
// do that is no error, one that is full is.
func (f *File) reserve(size int64) error {
	if size <= 0 {
		return nil
	}
	err := unix.Fallocate(int(f.f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, size)
	if err == nil || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	return noSpace(fmt.Errorf("reserving %d bytes for %s: %w", size, f, err))
}

// openDirect opens the file a second time, for O_DIRECT.
func (f *File) openDirect() {
	second, err := f.dir.root.OpenFile(f.name+target.Incomplete, os.O_WRONLY|unix.O_DIRECT, 0)
	if err == nil {
		f.direct = second
	}
	f.writer = direct.Writer{File: f.f, Direct: f.direct}
}

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.next)
	f.next += int64(n)
	return n, err
}

// WriteAt implements io.WriterAt. Writes of many pages at page-aligned offsets
// from page-aligned memory are the fast ones.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if f.f == nil {
		return 0, fmt.Errorf("%s: %w", f, os.ErrClosed)
	}
	if err := f.ctx.Err(); err != nil {
		return 0, fmt.Errorf("%s: %w", f, context.Cause(f.ctx))
	}
	n, err := f.writer.WriteAt(p, off)
	f.end = max(f.end, off+int64(n))
	return n, noSpace(err)
}

// Truncate sets the size of the file, so that writing it can start over with
// less. Write goes on from there.
func (f *File) Truncate(size int64) error {
	if f.f == nil {
		return fmt.Errorf("%s: %w", f, os.ErrClosed)
	}
	if err := f.f.Truncate(size); err != nil {
		return noSpace(err)
	}
	f.next, f.end = size, size
	f.writer.Reset()
	return nil
}

// Sync implements target.Syncer.
func (f *File) Sync() error {
	if f.f == nil {
		return fmt.Errorf("%s: %w", f, os.ErrClosed)
	}
	return noSpace(unix.Fdatasync(int(f.f.Fd())))
}

// Commit implements target.File.
func (f *File) Commit() error {
	if f.f == nil {
		return fmt.Errorf("%s: %w", f, os.ErrClosed)
	}
	if err := context.Cause(f.ctx); err != nil {
		f.Abort()
		return fmt.Errorf("%s: %w", f, err)
	}
	if err := f.close(); err != nil {
		return err
	}
	if err := f.dir.root.Rename(f.name+target.Incomplete, f.name); err != nil {
		return noSpace(err)
	}
	return f.dir.sync()
}

// Abort implements target.File. A file that nothing was written to is removed.
func (f *File) Abort() error {
	if f.f == nil {
		return nil
	}
	err := f.close()
	if f.end == 0 {
		err = f.dir.root.Remove(f.name + target.Incomplete)
	}
	return errors.Join(err, f.dir.sync())
}

// close makes what was written durable and closes the file, whatever happens.
func (f *File) close() error {
	// This also gives back what was reserved and not needed.
	err := f.f.Truncate(f.end)
	err = errors.Join(err, f.f.Sync())
	if f.direct != nil {
		f.direct.Close()
	}
	err = errors.Join(err, f.f.Close())
	f.f, f.direct = nil, nil
	return noSpace(err)
}

// String names the file in messages.
func (f *File) String() string { return f.dir.name + "/" + f.name }
