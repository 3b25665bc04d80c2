// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
)

const (
	// maxDirty is how much may be written before it is forced to the disk and
	// dropped from the page cache, in bytes. A capture kernel has little memory:
	// when the cache of a big dump filled it, allocations in ext4's writeback
	// failed and Linux 6.1 crashed over that.
	maxDirty = 8 << 20
	// alignment is what O_DIRECT asks of addresses, offsets and lengths, in
	// bytes. Devices with larger blocks refuse, and get buffered writes.
	alignment = 4096
)

// File is a file under way. It implements target.File and io.WriterAt.
type File struct {
	ctx  context.Context
	dir  *Dir
	name string   // without target.Incomplete
	f    *os.File // nil after Commit or Abort
	// direct is the same file, opened with O_DIRECT: what is aligned goes past
	// the page cache. The kernel keeps both views coherent as long as one
	// goroutine writes. It is nil where the file system has no such thing.
	direct *os.File

	next int64 // where Write goes on
	end  int64 // the size of the file
	// What has been written since the last flush lies between dirtyFrom and
	// dirtyTo; it is dirty bytes.
	dirty, dirtyFrom, dirtyTo int64
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
	direct, err := f.dir.root.OpenFile(f.name+target.Incomplete, os.O_WRONLY|unix.O_DIRECT, 0)
	if err == nil {
		f.direct = direct
	}
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
	n, err := f.writeDirect(p, off)
	if err == nil && n < len(p) {
		var rest int
		rest, err = f.f.WriteAt(p[n:], off+int64(n))
		n += rest
	}
	if err == nil {
		err = f.account(off, int64(n))
	}
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
	f.next, f.end, f.dirty = size, size, 0
	return nil
}

// writeDirect writes the part of p that can go past the page cache and returns
// its length, which may be 0.
func (f *File) writeDirect(p []byte, off int64) (int, error) {
	size := len(p) &^ (alignment - 1)
	if f.direct == nil || size == 0 || off%alignment != 0 ||
		uintptr(unsafe.Pointer(unsafe.SliceData(p)))%alignment != 0 {
		return 0, nil
	}
	n, err := f.direct.WriteAt(p[:size], off)
	if n == 0 && errors.Is(err, unix.EINVAL) {
		// The file system took the flag, but does not do it after all.
		f.direct.Close()
		f.direct = nil
		return 0, nil
	}
	return n, err
}

// account notes that a range was written and flushes when that is due. Direct
// writes are counted, too: some file systems carry them out through the cache.
func (f *File) account(off, n int64) error {
	if f.dirty == 0 {
		f.dirtyFrom, f.dirtyTo = off, off
	}
	f.dirty += n
	f.dirtyFrom = min(f.dirtyFrom, off)
	f.dirtyTo = max(f.dirtyTo, off+n)
	f.end = max(f.end, off+n)
	if f.dirty < maxDirty {
		return nil
	}
	return f.flush()
}

// flush forces what was written to the disk and drops it from the page cache.
// It does not make the file durable, as metadata and the disk's own cache are
// left alone. An error is an error of writing back.
func (f *File) flush() error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	fd := int(f.f.Fd())
	err := unix.SyncFileRange(fd, f.dirtyFrom, f.dirtyTo-f.dirtyFrom, all)
	if errors.Is(err, unix.ENOSYS) {
		err = unix.Fdatasync(fd)
	}
	if err != nil {
		return fmt.Errorf("writing back %s: %w", f, err)
	}
	// Advice: nothing is lost if it is not taken.
	unix.Fadvise(fd, f.dirtyFrom, f.dirtyTo-f.dirtyFrom, unix.FADV_DONTNEED)
	f.dirty = 0
	return nil
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
