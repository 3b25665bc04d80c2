// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || s3

package s3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/ukdump/ukdump/pkg/target"
)

// The time that Abort has to send what it has, and the one to remove what is not
// needed any more, see File.Abort.
const (
	abortTime  = 10 * time.Second
	removeTime = 5 * time.Second
)

// File is a file under way. It implements target.File.
type File struct {
	ctx    context.Context // ends with the caller's, or with the store
	cancel context.CancelFunc
	dump   *dump
	name   string // without what all names of the dump begin with
	mark   string // random, goes with the object
	ended  bool

	part    *part       // the one that is being filled
	begun   bool        // its request is
	spare   chan []byte // blocks that are not in use
	made    int         // blocks
	upload  string      // its ID; empty before the first part
	sending sync.WaitGroup

	mu     sync.Mutex
	parts  []minio.CompletePart
	failed error // the first part that failed
}

func newFile(ctx context.Context, d *dump, name string) *File {
	f := &File{dump: d, name: name, mark: rand.Text(), spare: make(chan []byte, 2*partSize(MaxParts)/blockSize)}
	f.part = newPart(1, !d.store.secure())
	f.ctx, f.cancel = d.store.bound(ctx)
	return f
}

// errClosed says that the store was closed.
var errClosed = errors.New("the target was closed")

// bound returns a context that ends with ctx and with the store.
func (s *Store) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.ctx, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

func (f *File) key() string { return f.dump.name + "/" + f.name }

// Write implements io.Writer.
func (f *File) Write(p []byte) (int, error) {
	if err := f.usable(); err != nil {
		return 0, err
	}
	n := 0
	for n < len(p) {
		if f.part.full() {
			if err := f.addBlock(); err != nil {
				return n, err
			}
		}
		n += f.part.add(p[n:])
		if f.part.size < f.due() {
			continue
		}
		if err := f.send(); err != nil {
			return n, err
		}
		if f.part.size == partSize(f.part.number) {
			f.nextPart()
		}
	}
	return n, nil
}

// usable returns why the file takes no more.
func (f *File) usable() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ended:
		return fmt.Errorf("%s: %w", f, os.ErrClosed)
	case f.ctx.Err() != nil:
		return fmt.Errorf("%s: %w", f, context.Cause(f.ctx))
	}
	return f.failed
}

// due returns how much of the part has to be there for its request to begin.
func (f *File) due() int {
	if f.dump.store.secure() {
		return ahead(f.part.number, true)
	}
	return partSize(f.part.number)
}

// mostBlocks returns how many blocks there may be.
func (f *File) mostBlocks() int {
	number := f.part.number
	return (partSize(number) + ahead(number, f.dump.store.secure())) / blockSize
}

// addBlock adds an empty block to the part. It waits for one if there are as many
// as there may be.
func (f *File) addBlock() error {
	select {
	case block := <-f.spare:
		f.part.addBlock(block)
		return nil
	default:
	}
	if f.made < f.mostBlocks() {
		f.made++
		f.part.addBlock(make([]byte, 0, blockSize))
		return nil
	}
	select {
	case block := <-f.spare:
		f.part.addBlock(block)
		return nil
	case <-f.ctx.Done():
		return fmt.Errorf("%s: %w", f, context.Cause(f.ctx))
	}
}

// send begins to send the part, unless that is under way.
func (f *File) send() error {
	if f.begun {
		return nil
	}
	if f.part.number > MaxParts {
		return fmt.Errorf("%s: %w: an object has %d parts at the most", f, target.ErrNoSpace, MaxParts)
	}
	if f.upload == "" {
		if err := f.begin(); err != nil {
			return f.fail(err)
		}
	}
	f.begun = true
	p := f.part
	f.sending.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				f.fail(fmt.Errorf("panic: %v", p))
			}
			for _, block := range p.take() {
				f.spare <- block[:0]
			}
		}()
		if err := f.put(p); err != nil {
			f.fail(err)
		}
	})
	return nil
}

// nextPart ends the part and makes the next one.
func (f *File) nextPart() {
	f.part.end()
	f.part, f.begun = newPart(f.part.number+1, !f.dump.store.secure()), false
}

// fail notes why the file cannot be completed.
func (f *File) fail(err error) error {
	err = fmt.Errorf("%s: %w", f, err)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed == nil {
		f.failed = err
	}
	return err
}

// begin begins an upload in parts.
func (f *File) begin() error {
	s := f.dump.store
	return s.retry(f.ctx, s.quickly, func(ctx context.Context, _ func()) (err error) {
		f.upload, err = s.api.NewMultipartUpload(ctx, s.o.Bucket, f.key(), Marked(f.mark))
		return err
	})
}

// put sends a part. Its hash becomes a part of the request's signature, unless TLS
// sees to it that nobody changes it: the client would sign each 64 KiB on their own
// otherwise, which takes more time, and memory.
func (f *File) put(p *part) error {
	s := f.dump.store
	early := s.secure()
	return s.retry(f.ctx, s.quickly, func(ctx context.Context, moved func()) error {
		if !early {
			p.wait()
		}
		early = false
		size := p.length()
		err := f.putOnce(ctx, p, size, moved)
		if now := p.length(); err != nil && now < size {
			err = f.putOnce(ctx, p, now, moved) // the file has ended meanwhile
		}
		return err
	})
}

// putOnce sends a part, which has the size.
func (f *File) putOnce(ctx context.Context, p *part, size int, moved func()) error {
	s := f.dump.store
	o := minio.PutObjectPartOptions{Sha256Hex: p.hash(), DisableContentSha256: true}
	done, err := s.api.PutObjectPart(ctx, s.o.Bucket, f.key(), f.upload, p.number, p.body(ctx, moved), int64(size), o)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts = append(f.parts, minio.CompletePart{PartNumber: p.number, ETag: done.ETag})
	return nil
}

// Commit implements target.File.
func (f *File) Commit() error {
	if err := f.usable(); err != nil {
		f.Abort()
		return err
	}
	f.ended = true
	f.part.end()
	defer f.cancel()
	// Not all stores know the condition of what follows.
	if f.stat(f.ctx) == found {
		return fmt.Errorf("%s: %w", f, fs.ErrExist)
	}
	if err := f.finish(); err != nil {
		return fmt.Errorf("%s: %w", f, err)
	}
	f.dump.removeLeft(f.ctx, f.name)
	return nil
}

// finish makes the object.
func (f *File) finish() error {
	if f.upload == "" {
		return f.create(f.putWhole)
	}
	if err := f.sendRest(); err != nil {
		return err
	}
	return f.create(f.complete)
}

// sendRest sends what is left as the last part and waits for all parts.
func (f *File) sendRest() error {
	if f.part.size > 0 {
		if err := f.send(); err != nil {
			return err
		}
	}
	f.sending.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortFunc(f.parts, func(a, b minio.CompletePart) int { return a.PartNumber - b.PartNumber })
	return f.failed
}

// create makes the object by a request that is on condition that there is none.
//
// If the answer gets lost, the next try finds the object that the one before has
// made.
func (f *File) create(do func(ctx context.Context, moved func(), o minio.PutObjectOptions) error) error {
	s := f.dump.store
	err := Create(f.mark, func(o minio.PutObjectOptions) error {
		return s.retry(f.ctx, s.slowly, func(ctx context.Context, moved func()) error { return do(ctx, moved, o) })
	})
	if errors.Is(err, fs.ErrExist) || AnswerOf(err).Code == minio.NoSuchUpload {
		if f.stat(f.ctx) == ours {
			return nil
		}
	}
	return err
}

func (f *File) putWhole(ctx context.Context, moved func(), o minio.PutObjectOptions) error {
	return f.putObject(ctx, moved, f.key(), o)
}

// putObject makes an object of what there is.
func (f *File) putObject(ctx context.Context, moved func(), key string, o minio.PutObjectOptions) error {
	s := f.dump.store
	o.DisableContentSha256 = true // see put
	_, err := s.api.PutObject(ctx, s.o.Bucket, key, f.part.body(ctx, moved), int64(f.part.size), "", f.part.hash(), o)
	return err
}

// complete makes an object of the parts.
func (f *File) complete(ctx context.Context, _ func(), o minio.PutObjectOptions) error {
	s := f.dump.store
	_, err := s.api.CompleteMultipartUpload(ctx, s.o.Bucket, f.key(), f.upload, f.parts, o)
	return err
}

// What there is under a file's name.
const (
	unknown = iota
	found
	ours // made by this file
)

// stat looks what there is under the file's name.
func (f *File) stat(ctx context.Context) int {
	s := f.dump.store
	there := unknown
	s.retry(ctx, s.quickly, func(ctx context.Context, _ func()) error {
		info, err := s.api.StatObject(ctx, s.o.Bucket, f.key(), minio.StatObjectOptions{})
		if err != nil {
			return err
		}
		there = found
		if MarkOf(info) == f.mark {
			there = ours
		}
		return nil
	})
	return there
}

// Abort implements target.File. A file that has not filled a part becomes an
// object whose name says that it is incomplete; of a larger one the upload is left
// unfinished, with all that was written.
func (f *File) Abort() error {
	if f.ended {
		return nil
	}
	problem := f.usable()
	f.ended = true
	f.part.end()
	defer f.cancel()
	// The file's context may have ended, or may never do so.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(f.ctx), abortTime)
	defer cancel()
	ctx, stop := f.dump.store.bound(ctx)
	defer stop()
	expired := context.AfterFunc(ctx, f.cancel)
	defer expired()
	d, s := f.dump, f.dump.store
	if f.upload != "" {
		d.leave(f.name, func(ctx context.Context, _ func()) error {
			return s.api.AbortMultipartUpload(ctx, s.o.Bucket, f.key(), f.upload)
		})
		if problem != nil {
			return nil
		}
		return f.sendRest()
	}
	if f.part.size == 0 {
		return nil
	}
	key := f.key() + target.Incomplete
	d.leave(f.name, func(ctx context.Context, _ func()) error {
		return s.api.RemoveObject(ctx, s.o.Bucket, key, minio.RemoveObjectOptions{})
	})
	return s.retry(ctx, s.quickly, func(ctx context.Context, moved func()) error {
		return f.putObject(ctx, moved, key, Marked(f.mark))
	})
}

// leave notes how to remove what an attempt at a file leaves.
func (d *dump) leave(name string, remove request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left[name] = append(d.left[name], remove)
}

// removeLeft removes what earlier attempts at a file have left. If that fails,
// something is left that says that it is incomplete.
func (d *dump) removeLeft(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(ctx, removeTime)
	defer cancel()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, remove := range d.left[name] {
		d.store.retry(ctx, d.store.quickly, remove)
	}
	delete(d.left, name)
}

// String names the file in messages.
func (f *File) String() string { return f.dump.String() + "/" + f.name }
