// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package raw

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/direct"
)

// File is a file under way. It implements target.File and io.WriterAt.
type File struct {
	ctx   context.Context
	store *Store
	path  string
	index int // in the header
	disk  readWriterAt
	ended bool

	next    int64  // where Write goes on
	end     int64  // the size of the file; all below it has been written
	sum     uint32 // of all that
	unsaved int64  // what was written since the header was
	old     []byte // a buffer for what is replaced
}

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.next)
	f.next += int64(n)
	return n, err
}

// WriteAt implements io.WriterAt. Writes of many pages at page-aligned offsets
// from page-aligned memory are the fast ones.
func (f *File) WriteAt(p []byte, off int64) (n int, err error) {
	if f.ended {
		return 0, fmt.Errorf("%s: %w", f, os.ErrClosed)
	}
	if f.ctx.Err() != nil {
		return 0, fmt.Errorf("%s: %w", f, context.Cause(f.ctx))
	}
	if err := f.makeRoom(off + int64(len(p))); err != nil {
		return 0, err
	}
	if err := f.fill(off); err != nil {
		return 0, err
	}
	if off < f.end {
		n = int(min(int64(len(p)), f.end-off))
		if err := f.replace(p[:n], off); err != nil {
			return 0, err
		}
	}
	if n < len(p) {
		if err := f.extend(p[n:]); err != nil {
			return n, err
		}
	}
	return len(p), f.saveSometimes(len(p))
}

// growth is how many chunks a file gets at least when it has n and is out of
// them: extents are to be few.
func growth(n uint32) uint32 { return min(n/8, 1024) }

// makeRoom gives the file the chunks that it needs for size bytes.
func (f *File) makeRoom(size int64) error {
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.h.chunksOf(f.index)
	need := chunksFor(size)
	if need <= have {
		return nil
	}
	s.h.grow(f.index, max(need-have, growth(have)), s.vol.chunks())
	return f.allocate(need)
}

// allocate gives the file chunks until it has n. The caller holds the lock.
func (f *File) allocate(n uint32) error {
	s := f.store
	for have := s.h.chunksOf(f.index); have < n; {
		got := s.h.grow(f.index, n-have, s.vol.chunks())
		have += got
		if got > 0 {
			continue
		}
		if dropped, err := s.dropOld(); err != nil {
			return err
		} else if !dropped {
			return fmt.Errorf("%s: %w: the slot is full", f.path, target.ErrNoSpace)
		}
	}
	return nil
}

// fill writes zeros from the end of the file to off: the disk has what older
// dumps left there.
func (f *File) fill(off int64) error {
	if off <= f.end {
		return nil
	}
	zeros := direct.Buffer(int(min(off-f.end, chunkSize)))
	for f.end < off {
		// The first piece aligns those that follow.
		n := min(chunkSize-f.end%chunkSize, off-f.end, int64(len(zeros)))
		if err := f.extend(zeros[:n]); err != nil {
			return err
		}
	}
	return nil
}

// extend writes p at the end of the file.
func (f *File) extend(p []byte) error {
	if err := f.writeChunks(p, f.end); err != nil {
		return err
	}
	f.sum = crc32.Update(f.sum, castagnoli(), p)
	f.end += int64(len(p))
	return nil
}

// replace writes p over what is in the file. What this does to the checksum
// follows from what was there.
func (f *File) replace(p []byte, off int64) error {
	if f.old == nil {
		f.old = direct.Buffer(64 << 10)
	}
	for len(p) > 0 {
		n := min(len(p), len(f.old))
		if err := f.readChunks(f.old[:n], off); err != nil {
			return err
		}
		if err := f.writeChunks(p[:n], off); err != nil {
			return err
		}
		change := crc32.Checksum(f.old[:n], castagnoli()) ^ crc32.Checksum(p[:n], castagnoli())
		f.sum ^= followedBy(change, f.end-off-int64(n))
		p, off = p[n:], off+int64(n)
	}
	return nil
}

func (f *File) writeChunks(p []byte, off int64) error { return f.eachRun(p, off, f.disk.WriteAt) }
func (f *File) readChunks(p []byte, off int64) error  { return f.eachRun(p, off, f.disk.ReadAt) }

// eachRun calls do for the pieces of p, which is at off in the file, with where
// each lies on the device.
func (f *File) eachRun(p []byte, off int64, do func([]byte, int64) (int, error)) error {
	s := f.store
	for len(p) > 0 {
		s.mu.Lock()
		chunk, run := s.h.locate(f.index, uint32(off/chunkSize))
		s.mu.Unlock()
		within := off % chunkSize
		n := int(min(int64(len(p)), int64(run)*chunkSize-within))
		if _, err := do(p[:n], s.vol.chunkAt(s.h.slot, chunk)+within); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// saveSometimes writes the header once much was written since the last one.
func (f *File) saveSometimes(n int) error {
	if f.unsaved += int64(n); f.unsaved < f.store.saveEvery {
		return nil
	}
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	f.unsaved = 0
	s.h.files[f.index].size = f.end
	return s.save()
}

// Truncate empties the file, so that writing it can start over. Other sizes than
// 0 are an error.
func (f *File) Truncate(size int64) error {
	if f.ended {
		return fmt.Errorf("%s: %w", f, os.ErrClosed)
	}
	if size != 0 {
		return fmt.Errorf("%s cannot be cut off at %d: %w", f, size, errors.ErrUnsupported)
	}
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.trim(f.index, 0)
	s.h.files[f.index].size = 0
	f.next, f.end, f.sum, f.unsaved = 0, 0, 0, 0
	return s.save()
}

// Commit implements target.File.
func (f *File) Commit() error {
	if f.ended {
		return fmt.Errorf("%s: %w", f, os.ErrClosed)
	}
	if err := context.Cause(f.ctx); err != nil {
		f.Abort()
		return fmt.Errorf("%s: %w", f, err)
	}
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	err := f.finish(true)
	if err != nil {
		s.h.files[f.index].complete = false
	}
	return err
}

// Abort implements target.File. A file that nothing was written to is removed.
func (f *File) Abort() error {
	if f.ended {
		return nil
	}
	s := f.store
	s.mu.Lock()
	defer s.mu.Unlock()
	return f.finish(false)
}

// finish writes the file's last state. The caller holds the lock.
func (f *File) finish(complete bool) error {
	f.ended = true
	h := f.store.h
	h.trim(f.index, chunksFor(f.end))
	h.files[f.index] = entry{name: f.path, size: f.end, complete: complete, sum: f.sum}
	if f.end == 0 && !complete {
		h.remove(f.index)
	}
	return f.store.save()
}

// String names the file in messages.
func (f *File) String() string { return f.path + " in " + f.store.String() }
