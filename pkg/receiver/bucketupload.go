// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/minio/minio-go/v7"

	"github.com/ukdump/ukdump/pkg/target/s3"
)

// bucketUpload is an upload to a bucket, for one request at a time. Offset counts
// what is in buf, too.
type bucketUpload struct {
	b     *bucket
	etag  string // of the state as it is in the bucket
	sound bool   // the state is what was saved last
	buf   []byte // what came last
	saved int    // how much of buf is in pieces: all that is there, or nothing
	bucketState
}

// fresh returns what came since it was saved.
func (u *bucketUpload) fresh() []byte { return u.buf[u.saved:] }

// commit writes down what the upload is to be from now on.
func (u *bucketUpload) commit(next bucketState) error {
	came := u.Offset
	next.Offset = next.Stored + next.tail()
	etag, err := u.b.save(&next, u.etag)
	u.sound = err == nil
	if err != nil {
		return err
	}
	u.bucketState, u.etag = next, etag
	u.Offset = came
	return nil
}

// write implements upload.
func (u *bucketUpload) write(p []byte) (n int, err error) {
	for len(p) > 0 {
		if u.full() || len(u.fresh()) == firstPart {
			if err := u.flush(); err != nil {
				return n, err
			}
		}
		room := min(partSize(u.Next)-u.tail(), firstPart) - int64(len(u.fresh()))
		some := p[:min(int64(len(p)), room)]
		if err := u.b.quota.take(u.Machine, int64(len(some))); err != nil {
			return n, err
		}
		if len(u.buf)+len(some) > cap(u.buf) {
			u.buf = slices.Grow(u.buf, max(len(u.buf), len(some)))
		}
		u.buf = append(u.buf, some...)
		u.Offset += int64(len(some))
		n += len(some)
		p = p[len(some):]
	}
	return n, nil
}

// full reports whether there is enough for a part.
func (u *bucketUpload) full() bool { return u.tail()+int64(len(u.fresh())) >= partSize(u.Next) }

// flush saves the buffer, as a part if that is possible.
func (u *bucketUpload) flush() error {
	if u.full() {
		return u.putPart()
	}
	if len(u.Pieces) == maxPieces {
		if err := u.join(); err != nil {
			return err
		}
	}
	return u.putPiece()
}

// save implements upload.
func (u *bucketUpload) save() error {
	if len(u.fresh()) > 0 {
		return u.flush()
	}
	return u.commit(u.clone()) // the length may have become known
}

// release implements upload. What was not saved is nowhere.
func (u *bucketUpload) release() {
	lost := len(u.fresh())
	_ = u.b.quota.take(u.Machine, -int64(lost))
	if lost == 0 && u.sound && !u.Done {
		u.b.remember(u)
	}
}

// putPiece makes a piece of what is fresh.
func (u *bucketUpload) putPiece() error {
	next, whole := u.clone(), u.whole()
	next.Pieces = append(next.Pieces, piece{rand.Text(), int64(len(u.fresh()))})
	err := u.putLast(next, func(context.Context) io.Reader { return bytes.NewReader(u.fresh()) })
	switch {
	case err != nil:
		return err
	case whole && partSize(u.Next) == firstPart: // then it is no more than that
		u.saved = len(u.buf)
	default:
		u.buf, u.saved = u.buf[:0], 0
	}
	return nil
}

// whole reports whether what follows the parts is in the buffer.
func (u *bucketUpload) whole() bool { return int64(u.saved) == u.tail() }

// join makes one piece of many.
func (u *bucketUpload) join() error {
	next, old := u.clone(), u.Pieces
	next.Pieces = []piece{{rand.Text(), u.tail()}}
	err := u.putLast(next, func(ctx context.Context) io.Reader { return u.read(ctx) })
	if err == nil {
		u.b.removePieces(u.slot(), old)
	}
	return err
}

// putLast writes the last piece that next has, and commits next.
func (u *bucketUpload) putLast(next bucketState, data func(context.Context) io.Reader) error {
	last := next.Pieces[len(next.Pieces)-1]
	key := u.b.key(u.slot(), last.Name)
	err := u.b.do(quickly, func(ctx context.Context) error {
		_, err := u.b.api.PutObject(ctx, u.b.name, key, data(ctx), last.Size, "", "", minio.PutObjectOptions{})
		return err
	})
	if err != nil {
		return err
	}
	return u.commit(next)
}

// putPart makes a part of the pieces and what is fresh. The last one may be small.
func (u *bucketUpload) putPart() error {
	if u.Next > s3.MaxParts {
		return fmt.Errorf("%w: an object has %d parts at the most", errQuota, s3.MaxParts)
	}
	if err := u.takeNumber(); err != nil {
		return err
	}
	old, size := u.Pieces, u.tail()+int64(len(u.fresh()))
	err := u.b.do(slowly, func(ctx context.Context) error {
		_, err := u.b.api.PutObjectPart(ctx, u.b.name, u.object(), u.Upload, u.Trying, u.rest(ctx), size, minio.PutObjectPartOptions{})
		return err
	})
	if err != nil {
		return err
	}
	next := u.clone()
	next.Trying, next.Pieces = 0, nil
	next.Stored += size
	if err := u.commit(next); err != nil {
		return err
	}
	u.buf, u.saved = u.buf[:0], 0
	u.b.removePieces(u.slot(), old)
	return nil
}

// rest returns a reader of what follows the parts. What is in memory can be read
// again, if a request has to be tried again.
func (u *bucketUpload) rest(ctx context.Context) io.Reader {
	if u.whole() {
		return bytes.NewReader(u.buf)
	}
	return io.MultiReader(u.read(ctx), bytes.NewReader(u.fresh()))
}

// takeNumber gets the number of a part that nobody else has, or will have. Of the
// one before that was not seen to arrive nobody knows whether it does so yet.
func (u *bucketUpload) takeNumber() error {
	next := u.clone()
	if next.Upload == "" {
		err := u.b.do(quickly, func(ctx context.Context) (err error) {
			next.Upload, err = u.b.api.NewMultipartUpload(ctx, u.b.name, u.object(), s3.Marked(u.ID))
			return err
		})
		if err != nil {
			return err
		}
	}
	if next.Trying != 0 {
		next.Lost = append(next.Lost, next.Trying)
	}
	next.Trying = next.Next
	next.Next++
	return u.commit(next)
}

// object returns the key of the file when it is complete.
func (u *bucketUpload) object() string { return u.b.prefix + u.Path }

// finish implements upload. All of it has been saved.
func (u *bucketUpload) finish() error {
	build := u.makeWhole
	if u.Upload != "" {
		if u.tail() > 0 {
			if err := u.putPart(); err != nil {
				return err
			}
		}
		build = u.makeOfParts
	}
	if err := u.create(build); err != nil {
		return err
	}
	next, old := u.clone(), u.Pieces
	next.Done = true
	if err := u.commit(next); err != nil {
		return err
	}
	u.b.ended(u.Machine)
	u.b.removePieces(u.slot(), old)
	return nil
}

// create makes the object, if there is none.
func (u *bucketUpload) create(build func(o minio.PutObjectOptions) error) error {
	// Not all stores know the condition of what follows.
	if there, err := u.exists(); err != nil || there {
		return err
	}
	err := s3.Create(u.ID, build)
	if !errors.Is(err, errChanged) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The answer to an earlier try may have got lost.
	if there, existsErr := u.exists(); existsErr != nil || there {
		return existsErr
	}
	return err
}

// exists reports whether the object is there, made by this upload; any other is an
// error.
func (u *bucketUpload) exists() (bool, error) {
	id, there, err := u.b.madeBy(u.object())
	if there && id != u.ID {
		return false, fmt.Errorf("%s: %w", u.Path, fs.ErrExist)
	}
	return there, err
}

// makeWhole makes an object of the pieces, where there are no parts.
func (u *bucketUpload) makeWhole(o minio.PutObjectOptions) error {
	// Signed piece by piece, nothing would have a signature that is not expected.
	o.DisableContentSha256 = u.tail() == 0
	return u.b.do(quickly, func(ctx context.Context) error {
		_, err := u.b.api.PutObject(ctx, u.b.name, u.object(), u.rest(ctx), u.tail(), "", "", o)
		return err
	})
}

// makeOfParts makes an object of the parts.
func (u *bucketUpload) makeOfParts(o minio.PutObjectOptions) error {
	parts, err := u.parts()
	if err != nil {
		return err
	}
	return u.b.do(slowly, func(ctx context.Context) error {
		_, err := u.b.api.CompleteMultipartUpload(ctx, u.b.name, u.object(), u.Upload, parts, o)
		return err
	})
}

// parts returns the parts of the file. The store may have more of the upload.
func (u *bucketUpload) parts() (parts []minio.CompletePart, err error) {
	var sum int64
	marker := 0
	for more := true; more; {
		err := u.b.do(quickly, func(ctx context.Context) error {
			page, err := u.b.api.ListObjectParts(ctx, u.b.name, u.object(), u.Upload, marker, 0)
			for _, p := range page.ObjectParts {
				if u.has(p.PartNumber) && p.PartNumber > marker {
					parts = append(parts, minio.CompletePart{PartNumber: p.PartNumber, ETag: p.ETag})
					sum += p.Size
				}
			}
			more = page.IsTruncated && page.NextPartNumberMarker > marker
			marker = page.NextPartNumberMarker
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if sum != u.Stored {
		return nil, fmt.Errorf("the object store has %d bytes of %s, want %d", sum, u.Path, u.Stored)
	}
	return parts, nil
}

// read returns a reader of what is in pieces.
func (u *bucketUpload) read(ctx context.Context) io.Reader {
	return &pieces{ctx: ctx, u: u, rest: u.Pieces}
}

// pieces reads pieces, one after the other. It implements io.Reader.
type pieces struct {
	ctx  context.Context
	u    *bucketUpload
	rest []piece
	body io.ReadCloser
	left int64 // of the body
}

// Read implements io.Reader.
func (r *pieces) Read(p []byte) (int, error) {
	for r.left == 0 {
		if r.body != nil {
			r.body.Close()
			r.body = nil
		}
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		if err := r.open(); err != nil {
			return 0, err
		}
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	switch {
	case err == io.EOF && r.left > 0:
		err = io.ErrUnexpectedEOF
	case err == io.EOF:
		err = nil
	}
	return n, err
}

func (r *pieces) open() error {
	next := r.rest[0]
	body, info, _, err := r.u.b.api.GetObject(r.ctx, r.u.b.name, r.u.b.key(r.u.slot(), next.Name), minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	if info.Size != next.Size {
		body.Close()
		return fmt.Errorf("a piece of %s has %d bytes, want %d", r.u.Path, info.Size, next.Size)
	}
	r.body, r.left, r.rest = body, next.Size, r.rest[1:]
	return nil
}
