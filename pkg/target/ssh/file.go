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
	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
)

const (
	// requestSize bytes are written by one request: all servers take as much. Of
	// maxRequests the answers may be outstanding, which is 2 MiB, as much as OpenSSH
	// lets be under way on a connection.
	requestSize = 32 << 10
	maxRequests = 64
	// syncEvery bytes are made durable at a time, as the server may have memory for
	// more than its disk takes while we wait for the last of it.
	syncEvery = 256 << 20
	// scarce is how little room makes us wait for each write.
	scarce = 64 << 20
)

// fsync is the extension of SFTP that OpenSSH has since 6.5. Other servers decide
// by themselves when a file is durable.
const fsync = "fsync@openssh.com"

// errLost says that the server has forgotten what it had acknowledged.
var errLost = finalError{errors.New("the server has lost a part of the file")}

// Create implements target.Target. The file implements io.WriterAt. No room is
// reserved, as SFTP has no way to do that.
func (d *Dir) Create(ctx context.Context, name string, _ int64) (target.File, error) {
	f := &File{ctx: ctx, dir: d, path: path.Join(d.path, name), free: make(chan *request, maxRequests)}
	err := d.store.do(ctx, func(c *sftp.Client) error {
		if _, err := c.Lstat(f.path); err == nil {
			return fs.ErrExist
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		h, err := create(c, f.path+target.Incomplete)
		if err != nil {
			return err
		}
		return h.Close() // sending opens it, on whatever connection there is
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", f, err)
	}
	for range maxRequests {
		f.free <- &request{}
	}
	return f, nil
}

// create creates a file that only its owner can read.
func create(c *sftp.Client, path string) (*sftp.File, error) {
	h, err := c.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	if err := h.Chmod(0o600); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// File is a file under way. It implements target.File and io.WriterAt.
type File struct {
	ctx    context.Context
	dir    *Dir
	path   string // without target.Incomplete
	next   int64  // where Write goes on
	end    int64  // the size of the file
	closed bool

	askRoom int64 // ask how much room the server has when end is this
	careful bool  // as there is little

	// free has the requests that are not under way; who has got all of them knows
	// that none is.
	free chan *request

	opening sync.Mutex // held while the file is opened, which two fields are about:
	client  *sftp.Client
	handle  *sftp.File // of client

	mu    sync.Mutex
	err   error // of the first request that failed
	bad   int64 // the lowest place of one that failed
	acked int64 // the server has the file up to here
}

// request is a part of the file on its way to the server.
type request struct {
	buf []byte // made when it is needed
	off int64
	n   int // bytes in buf
}

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.next)
	f.next += int64(n)
	return n, err
}

// WriteAt implements io.WriterAt. It returns when p is copied; an error may be
// that of an earlier write. Only when the server's disk is nearly full, it waits
// until p is there: then what did not fit is what the error is about, and other
// places can still be written to.
func (f *File) WriteAt(p []byte, off int64) (int, error) {
	if f.closed {
		return 0, fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	f.lookForRoom(off + int64(len(p)))
	synced := f.end / syncEvery
	written := 0
	for written < len(p) {
		piece := p[written:min(len(p), written+requestSize)]
		if err := f.enqueue(piece, off+int64(written)); err != nil {
			if f.careful && errors.Is(err, target.ErrNoSpace) {
				break
			}
			return written, err
		}
		written += len(piece)
		f.end = max(f.end, off+int64(written))
	}
	if f.careful {
		return f.confirm(off, written)
	}
	if f.end/syncEvery > synced {
		return written, f.sync()
	}
	return written, nil
}

// lookForRoom finds out whether the server's disk is nearly full, before a write
// that ends there.
func (f *File) lookForRoom(end int64) {
	if end <= f.askRoom {
		return
	}
	free, err := f.dir.Free(f.ctx)
	if err != nil { // as some servers do not know, and errors of others will show
		f.askRoom = end + scarce
		return
	}
	f.askRoom, f.careful = end+free/2, free < scarce
}

// confirm waits for a write of n bytes, and returns how many of them did fit.
func (f *File) confirm(off int64, n int) (int, error) {
	err := f.settle()
	if err == nil {
		return n, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(err, target.ErrNoSpace) {
		f.err = nil
	}
	return int(min(max(f.bad-off, 0), int64(n))), err
}

// enqueue puts a piece of the file on its way. Those under way may arrive in any
// order, and more than once. So a piece that is not at the end of the file waits
// for all before it, some of which may be for the same place; others may be what
// it describes.
func (f *File) enqueue(piece []byte, off int64) error {
	if off < f.end {
		if err := f.settle(); err != nil {
			return err
		}
	}
	if f.ctx.Err() != nil {
		return fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
	}
	select {
	case r := <-f.free:
		if err := f.failed(); err != nil {
			f.free <- r
			return err
		}
		if r.buf == nil {
			r.buf = make([]byte, requestSize)
		}
		r.off, r.n = off, copy(r.buf, piece)
		go f.send(r)
		return nil
	case <-f.ctx.Done():
		return fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
	}
}

// finish notes what became of a request.
func (f *File) finish(r *request, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case err == nil:
		f.acked = max(f.acked, r.off+int64(r.n))
	case f.err == nil:
		f.err, f.bad = fmt.Errorf("%v: %w", f, err), r.off
	default:
		f.bad = min(f.bad, r.off)
	}
	f.free <- r // has room
}

// send sends a request, over as many connections as it takes.
func (f *File) send(r *request) {
	f.finish(r, f.dir.store.try(f.ctx, func(c *sftp.Client) error {
		h, err := f.open(c)
		if err != nil {
			return err
		}
		_, err = h.WriteAt(r.buf[:r.n], r.off)
		return f.noSpace(c, err)
	}))
}

// open returns the file, as opened on that connection.
func (f *File) open(c *sftp.Client) (*sftp.File, error) {
	f.opening.Lock()
	defer f.opening.Unlock()
	if f.client == c {
		return f.handle, nil
	}
	h, err := c.OpenFile(f.path+target.Incomplete, os.O_RDWR)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errLost // we have created it
	}
	if err != nil {
		return nil, err
	}
	if err := f.checkSize(h); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	f.client, f.handle = c, h
	return h, nil
}

// checkSize finds out whether the server still has what it has acknowledged: it
// may have lost it in a crash of its own.
func (f *File) checkSize(h *sftp.File) error {
	f.mu.Lock()
	acked := f.acked
	f.mu.Unlock()
	info, err := h.Stat()
	if err == nil && info.Size() < acked {
		err = fmt.Errorf("%w: %d bytes of %d are left", errLost, info.Size(), acked)
	}
	return err
}

// noSpace adds target.ErrNoSpace, and what the local file system would say, to
// errors that mean it. SFTP has no code for it: the server says "failure".
func (f *File) noSpace(c *sftp.Client, err error) error {
	var status *sftp.StatusError
	if !errors.As(err, &status) || status.FxCode() != sftp.ErrSSHFxFailure {
		return err
	}
	if free, statErr := freeSpace(c, f.dir.path); statErr == nil && free < requestSize*maxRequests {
		return fmt.Errorf("%w: %w: %w", target.ErrNoSpace, unix.ENOSPC, err)
	}
	return err
}

func (f *File) failed() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// settle waits until no request is under way, and returns what became of them.
func (f *File) settle() error {
	var got []*request
	defer func() {
		for _, r := range got {
			f.free <- r
		}
	}()
	for range maxRequests {
		select {
		case r := <-f.free:
			got = append(got, r)
		case <-f.ctx.Done():
			return fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
		}
	}
	return f.failed()
}

// with calls act with the open file.
func (f *File) with(act func(*sftp.Client, *sftp.File) error) error {
	err := f.dir.store.do(f.ctx, func(c *sftp.Client) error {
		h, err := f.open(c)
		if err != nil {
			return err
		}
		return act(c, h)
	})
	if err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	return nil
}

// sync makes durable what was written so far.
func (f *File) sync() error {
	if err := f.settle(); err != nil {
		return err
	}
	return f.with(func(c *sftp.Client, h *sftp.File) error {
		if err := syncFile(c, h); err != nil {
			return f.noSpace(c, err)
		}
		return f.checkSize(h)
	})
}

func syncFile(c *sftp.Client, h *sftp.File) error {
	if _, ok := c.HasExtension(fsync); !ok {
		return nil
	}
	return h.Sync()
}

// syncDir makes the names in a directory durable, where the server lets us open
// it like a file, as OpenSSH does.
func syncDir(c *sftp.Client, dir string) error {
	h, err := c.Open(dir)
	if err == nil {
		err = errors.Join(syncFile(c, h), h.Close())
	}
	if err != nil && answered(err) {
		return nil
	}
	return err
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
	f.err, f.acked = nil, size
	f.next, f.end = size, size
	f.askRoom, f.careful = 0, false
	return nil
}

// Commit implements target.File.
func (f *File) Commit() error {
	if f.closed {
		return fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	err := f.sync()
	if err == nil {
		err = f.rename()
	}
	if err != nil {
		return errors.Join(err, f.Abort())
	}
	f.closed = true
	f.closeHandle()
	return nil
}

// rename gives the file its name, which must not be taken. If the connection
// breaks before the answer comes, the file may have it already.
func (f *File) rename() error {
	tried := false
	err := f.dir.store.do(f.ctx, func(c *sftp.Client) error {
		_, err := c.Lstat(f.path + target.Incomplete)
		if !tried || !errors.Is(err, fs.ErrNotExist) {
			tried = true
			err = renameNew(c, f.path+target.Incomplete, f.path)
		} else {
			_, err = c.Lstat(f.path)
		}
		if err != nil {
			return err
		}
		return syncDir(c, f.dir.path)
	})
	if err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	return nil
}

// renameNew renames a file, and replaces nothing: so it is in version 3 of SFTP.
// The server does not say why it refuses.
func renameNew(c *sftp.Client, from, to string) error {
	err := c.Rename(from, to)
	if err == nil || !answered(err) {
		return err
	}
	if _, statErr := c.Lstat(to); statErr == nil {
		return fmt.Errorf("%w: %w", fs.ErrExist, err)
	}
	return err
}

// closeHandle closes the file on the server, without a word about what is safe.
func (f *File) closeHandle() {
	f.opening.Lock()
	defer f.opening.Unlock()
	if f.handle == nil {
		return
	}
	h := f.handle
	f.client, f.handle = nil, nil
	go func() { // as a dead connection may take its time to be found dead
		defer func() { _ = recover() }()
		_ = h.Close()
	}()
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
	_ = f.settle() // whatever became of it
	f.closeHandle()
	if f.end > 0 {
		return nil
	}
	return f.dir.store.do(f.ctx, func(c *sftp.Client) error {
		if err := c.Remove(f.path + target.Incomplete); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
}

// String names the file in messages.
func (f *File) String() string { return f.dir.store.opts.at(f.path) }
