// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package direct writes to files and devices without filling the page cache. A
// capture kernel has little memory: when the cache of a big dump filled it,
// allocations in ext4's writeback failed and Linux 6.1 crashed over that.
package direct

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// Alignment is what O_DIRECT asks of addresses, offsets and lengths, in
	// bytes. Devices with larger blocks refuse, and get buffered writes.
	Alignment = 4096
	// MaxDirty is how much a Writer writes before it is forced to the disk and
	// dropped from the page cache, in bytes.
	MaxDirty = 8 << 20
)

// Writer writes to a file that is open twice. The kernel keeps both views
// coherent as long as one goroutine writes to a page. It implements io.WriterAt
// and is for one goroutine at a time.
type Writer struct {
	// File takes what is not aligned.
	File *os.File
	// Direct is the same file, opened with O_DIRECT: what is aligned goes past
	// the page cache. It is nil where there is no such thing.
	Direct *os.File

	// What has been written since the last flush lies between from and to; it is
	// dirty bytes.
	dirty, from, to int64
}

// WriteAt implements io.WriterAt. Writes of many pages at page-aligned offsets
// from page-aligned memory are the fast ones; see Buffer.
func (w *Writer) WriteAt(p []byte, off int64) (int, error) {
	n, err := w.writeDirect(p, off)
	if err == nil && n < len(p) {
		var rest int
		rest, err = w.File.WriteAt(p[n:], off+int64(n))
		n += rest
	}
	if err == nil {
		err = w.account(off, int64(n))
	}
	return n, err
}

// writeDirect writes the part of p that can go past the page cache and returns
// its length, which may be 0.
func (w *Writer) writeDirect(p []byte, off int64) (int, error) {
	size := len(p) &^ (Alignment - 1)
	if w.Direct == nil || size == 0 || off%Alignment != 0 ||
		uintptr(unsafe.Pointer(unsafe.SliceData(p)))%Alignment != 0 {
		return 0, nil
	}
	n, err := w.Direct.WriteAt(p[:size], off)
	if n == 0 && errors.Is(err, unix.EINVAL) {
		// The file system took the flag, but does not do it after all.
		w.Direct = nil
		return 0, nil
	}
	return n, err
}

// account notes that a range was written and flushes when that is due. Direct
// writes are counted, too: some file systems carry them out through the cache.
func (w *Writer) account(off, n int64) error {
	if w.dirty == 0 {
		w.from, w.to = off, off
	}
	w.dirty += n
	w.from = min(w.from, off)
	w.to = max(w.to, off+n)
	if w.dirty < MaxDirty {
		return nil
	}
	return w.flush()
}

// flush forces what was written to the disk and drops it from the page cache.
// It does not make the file durable, as metadata and the disk's own cache are
// left alone. An error is an error of writing back.
func (w *Writer) flush() error {
	const all = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	fd := int(w.File.Fd())
	err := unix.SyncFileRange(fd, w.from, w.to-w.from, all)
	if errors.Is(err, unix.ENOSYS) {
		err = unix.Fdatasync(fd)
	}
	if err != nil {
		return fmt.Errorf("writing back %s: %w", w.File.Name(), err)
	}
	// Advice: nothing is lost if it is not taken.
	unix.Fadvise(fd, w.from, w.to-w.from, unix.FADV_DONTNEED)
	w.dirty = 0
	return nil
}

// Reset forgets what was written but not flushed, for files that were truncated.
func (w *Writer) Reset() { w.dirty = 0 }

// Buffer returns n bytes of memory that can be written past the page cache.
func Buffer(n int) []byte {
	buf := make([]byte, n+Alignment)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(buf)))) & (Alignment - 1)
	return buf[skip:][:n:n]
}
