// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package ssh

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"

	"github.com/pkg/sftp"

	"github.com/ukdump/ukdump/pkg/target"
)

const (
	// chunkSize bytes are sent at a time, in requests of 32 KiB; maxChunks chunks
	// may be under way. Both are memory that a capture kernel has little of.
	chunkSize   = 1 << 20
	maxChunks   = 4
	maxRequests = chunkSize / (32 << 10)
)

// errLost says that the server has forgotten what it had acknowledged.
var errLost = errors.New("the server has lost a part of the file")

// Create implements target.Target. The file implements io.WriterAt. No room is
// reserved, as SFTP has no way to do that.
func (d *Dir) Create(ctx context.Context, name string, _ int64) (target.File, error) {
	f := &File{ctx: ctx, dir: d, path: path.Join(d.path, name), free: make(chan []byte, maxChunks)}
	err := d.store.do(ctx, func(c *sftp.Client) error {
		if _, err := c.Lstat(f.path); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = fs.ErrExist
			}
			return err
		}
		return createEmpty(c, f.path+target.Incomplete)
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", f, err)
	}
	for range maxChunks {
		f.free <- nil // made when it is needed
	}
	return f, nil
}

// createEmpty creates a file that only its owner can read.
func createEmpty(c *sftp.Client, path string) error {
	h, err := c.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	return errors.Join(h.Chmod(0o600), h.Close())
}

// File is a file under way. It implements target.File and io.WriterAt.
type File struct {
	ctx    context.Context
	dir    *Dir
	path   string // without target.Incomplete
	next   int64  // where Write goes on
	end    int64  // the size of the file
	closed bool
	// free has the buffers that no chunk is in; who has got all of them knows that
	// no chunk is under way.
	free chan []byte

	mu     sync.Mutex
	err    error // of the first chunk that could not be written
	conn   *sftp.Client
	handle *sftp.File // on conn
	acked  int64      // the server has the file up to here
}

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.next)
	f.next += int64(n)
	return n, err
}

// WriteAt implements io.WriterAt. It returns when p is copied; an error may be
// that of an earlier write.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if f.closed {
		return 0, fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	written := 0
	for written < len(p) {
		buf, err := f.buffer()
		if err != nil {
			return written, err
		}
		n := copy(buf[:chunkSize], p[written:])
		go f.send(buf[:n], off+int64(written))
		written += n
		f.end = max(f.end, off+int64(written))
	}
	return written, nil
}

// buffer waits for a free buffer.
func (f *File) buffer() ([]byte, error) {
	if f.ctx.Err() != nil {
		return nil, fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
	}
	select {
	case buf := <-f.free:
		if err := f.failed(); err != nil {
			f.free <- buf
			return nil, err
		}
		if buf == nil {
			buf = make([]byte, chunkSize)
		}
		return buf, nil
	case <-f.ctx.Done():
		return nil, fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
	}
}

// send writes one chunk, over as many connections as it takes, and gives its
// buffer back.
func (f *File) send(chunk []byte, off int64) {
	defer func() {
		if v := recover(); v != nil {
			f.fail(fmt.Errorf("panic: %v", v))
		}
		f.free <- chunk[:chunkSize]
	}()
	err := f.dir.store.try(f.ctx, func(c *sftp.Client) error {
		h, err := f.open(c)
		if err != nil {
			return err
		}
		_, err = h.WriteAt(chunk, off)
		return f.noSpace(c, err, len(chunk))
	})
	if err != nil {
		f.fail(fmt.Errorf("%v: %w", f, err))
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked = max(f.acked, off+int64(len(chunk)))
}

// open returns the file, as opened on that connection.
func (f *File) open(c *sftp.Client) (*sftp.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.conn == c {
		return f.handle, nil
	}
	h, err := c.OpenFile(f.path+target.Incomplete, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	info, err := h.Stat()
	if err == nil && info.Size() < f.acked {
		err = fmt.Errorf("%w: %d bytes of %d are left", errLost, info.Size(), f.acked)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	f.conn, f.handle = c, h
	return h, nil
}

// noSpace adds target.ErrNoSpace to errors that mean it. SFTP has no code for it:
// the server says "failure".
func (f *File) noSpace(c *sftp.Client, err error, size int) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || status.FxCode() != sftp.ErrSSHFxFailure {
		return err
	}
	if free, statErr := freeSpace(c, f.dir.path); statErr == nil && free < int64(size) {
		return fmt.Errorf("%w: %w", target.ErrNoSpace, err)
	}
	return err
}

func (f *File) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}

func (f *File) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// settle waits until no chunk is under way, and returns what became of them.
func (f *File) settle() error {
	var got [][]byte
	defer func() {
		for _, buf := range got {
			f.free <- buf
		}
	}()
	for range maxChunks {
		select {
		case buf := <-f.free:
			got = append(got, buf)
		case <-f.ctx.Done():
			return fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
		}
	}
	return f.failed()
}

// with calls do with the open file.
func (f *File) with(do func(*sftp.Client, *sftp.File) error) error {
	err := f.dir.store.do(f.ctx, func(c *sftp.Client) error {
		h, err := f.open(c)
		if err != nil {
			return err
		}
		return do(c, h)
	})
	if err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	return nil
}

// Truncate sets the size of the file, so that writing it can start over with
// less. Write goes on from there.
func (f *File) Truncate(size int64) error {
	if f.closed {
		return fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	if err := f.settle(); err != nil && !errors.Is(err, target.ErrNoSpace) {
		return err
	}
	err := f.with(func(_ *sftp.Client, h *sftp.File) error { return h.Truncate(size) })
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.acked = nil, min(f.acked, size)
	f.next, f.end = size, size
	return nil
}

// Commit implements target.File. A server without fsync@openssh.com, which
// OpenSSH has had since 6.5, decides by itself when the file is durable.
func (f *File) Commit() error {
	if f.closed {
		return fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	err := f.settle()
	if err == nil && f.ctx.Err() != nil {
		err = fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
	}
	if err == nil {
		err = f.with(syncFile)
	}
	if err == nil {
		err = f.rename()
	}
	if err != nil {
		return errors.Join(err, f.Abort())
	}
	f.closed = true
	return nil
}

func syncFile(c *sftp.Client, h *sftp.File) error {
	if _, ok := c.HasExtension("fsync@openssh.com"); !ok {
		return nil
	}
	return h.Sync()
}

// rename gives the file its name, which must not be taken. If the connection
// breaks before the answer comes, the file may have it already.
func (f *File) rename() error {
	tried := false
	return f.dir.store.do(f.ctx, func(c *sftp.Client) error {
		if _, err := c.Lstat(f.path + target.Incomplete); tried && errors.Is(err, fs.ErrNotExist) {
			_, err = c.Lstat(f.path)
			return err
		}
		tried = true
		return c.Rename(f.path+target.Incomplete, f.path) // version 3 of SFTP replaces nothing
	})
}

// Abort implements target.File. A file that nothing was written to is removed.
func (f *File) Abort() error {
	if f.closed {
		return nil
	}
	f.closed = true
	if f.ctx.Err() != nil {
		return nil // what the server has got so far stays
	}
	f.settle() // whatever became of it
	if f.end > 0 {
		return nil
	}
	return f.dir.store.do(f.ctx, func(c *sftp.Client) error { return c.Remove(f.path + target.Incomplete) })
}

// String names the file in messages.
func (f *File) String() string { return f.dir.store.at(f.path) }
