// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package http

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

const (
	tusVersion = "1.0.0"
	// chunkSize bytes go with one request. Two chunks are kept in memory: one that
	// the server has not acknowledged, and one that is being filled.
	chunkSize = 2 << 20
)

// upload is a file that goes to a server in chunks, each in a PATCH request. A
// chunk is kept until the server has acknowledged it. When a connection breaks, the
// server says how far it has got, and what it lacks of the chunk is sent again.
// The length of the file is told at its end.
type upload struct {
	ctx    context.Context
	dir    *Dir
	name   string
	url    *url.URL
	offset int64  // of the file, where chunk begins
	chunk  []byte // what is not on its way yet
	closed bool
	// sent gets the result of the request that is under way, and its buffer.
	sent    chan sendResult
	sending bool
	err     error // of a chunk that could not be sent
}

type sendResult struct {
	buf []byte
	err error
}

func (d *Dir) createUpload(ctx context.Context, name string) (target.File, error) {
	f := &upload{ctx: ctx, dir: d, name: name, chunk: make([]byte, 0, chunkSize), sent: make(chan sendResult, 1)}
	err := d.store.retry(ctx, func() error {
		header := http.Header{
			"Tus-Resumable":       {tusVersion},
			"Upload-Defer-Length": {"1"},
			"Upload-Metadata":     {"filename " + base64.StdEncoding.EncodeToString([]byte(d.name+name))},
		}
		answer, err := d.store.do(ctx, "POST", d.store.base, header, nil)
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusCreated {
			if answer.StatusCode == http.StatusConflict {
				return fmt.Errorf("%w: %w", fs.ErrExist, failure(answer))
			}
			return failure(answer)
		}
		f.url, err = answer.Location()
		if err == nil && f.url.Host != d.store.base.Host {
			err = &finalError{fmt.Errorf("the server sends us to another one, %s", f.url.Host)}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", f, err)
	}
	return f, nil
}

// Write implements io.Writer.
func (f *upload) Write(p []byte) (int, error) {
	if f.closed {
		return 0, fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	written := 0
	for written < len(p) {
		if f.ctx.Err() != nil {
			return written, fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
		}
		n := copy(f.chunk[len(f.chunk):chunkSize], p[written:])
		f.chunk = f.chunk[:len(f.chunk)+n]
		written += n
		if len(f.chunk) == chunkSize {
			if err := f.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// flush sends the chunk, after the one before has arrived, without waiting for it.
func (f *upload) flush() error {
	spare, err := f.wait()
	if err != nil {
		return err
	}
	chunk, offset := f.chunk, f.offset
	f.offset += int64(len(chunk))
	f.chunk, f.sending = spare, true
	go func() {
		err := errors.New("panic in sending")
		defer func() {
			_ = recover()
			f.sent <- sendResult{chunk[:0], err}
		}()
		err = f.send(chunk, offset, -1)
	}()
	return nil
}

// wait waits for the request that is under way, and returns a buffer to fill.
func (f *upload) wait() ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	if !f.sending {
		return make([]byte, 0, chunkSize), nil
	}
	result := <-f.sent // requests end with f.ctx
	f.sending = false
	if result.err != nil {
		f.err = fmt.Errorf("%v: %w", f, result.err)
	}
	return result.buf, f.err
}

// send sends a chunk that begins at offset, as often as it takes. A length that is
// not negative is that of the whole file, and ends it.
func (f *upload) send(chunk []byte, offset, length int64) error {
	s := f.dir.store
	resuming := false
	began, most := time.Now(), offset // how much the server has acknowledged
	return s.retrySince(f.ctx, &began, func() error {
		have := offset
		if resuming {
			done, err := f.received(&have, length)
			if err != nil || done {
				return err
			}
			if have < offset || have > offset+int64(len(chunk)) {
				return fmt.Errorf("%w: it has %d bytes, and had %d", errLost, have, offset)
			}
			if have > most {
				began, most = time.Now(), have
			}
		}
		resuming = true
		rest := chunk[have-offset:]
		header := http.Header{
			"Tus-Resumable": {tusVersion},
			"Upload-Offset": {strconv.FormatInt(have, 10)},
			"Content-Type":  {"application/offset+octet-stream"},
		}
		if length >= 0 {
			header.Set("Upload-Length", strconv.FormatInt(length, 10))
		}
		// What arrives of a chunk in that time is kept. Another connection may be better.
		limit := min(answerTime, s.opts.Patience/3)
		if length >= 0 {
			limit = endTime
		}
		ctx, cancel := context.WithTimeoutCause(f.ctx, limit, errNoAnswer)
		defer cancel()
		answer, err := s.patch(ctx, f.url, header, rest)
		if err != nil {
			return err
		}
		if answer.StatusCode != http.StatusNoContent {
			return gone(answer)
		}
		return nil
	})
}

// patch sends a PATCH request with the chunk. When it returns, nobody reads the
// chunk any more.
func (s *Store) patch(ctx context.Context, u *url.URL, header http.Header, chunk []byte) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	body := &chunkBody{Reader: bytes.NewReader(chunk), closed: make(chan struct{})}
	request, err := s.request(ctx, "PATCH", u, header, body)
	if err != nil {
		cancel()
		return nil, err
	}
	request.ContentLength = int64(len(chunk))
	if len(chunk) == 0 {
		request.Body = http.NoBody
		body.Close()
	}
	// A server may answer before it has read all. The transport goes on sending
	// until it is told not to, and says when it does not, see http.RoundTripper.
	defer func() {
		cancel()
		<-body.closed
	}()
	answer, err := s.client.Do(request)
	if err != nil {
		return nil, because(ctx, err)
	}
	answer.Body = &reason{text: readReason(answer.Body), body: answer.Body}
	answer.Body.Close()
	return answer, nil
}

// chunkBody is the body of a request that says when it is done with.
type chunkBody struct {
	*bytes.Reader
	once   sync.Once
	closed chan struct{}
}

func (b *chunkBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// gone returns the error about an answer, which may say that the upload is unknown.
func gone(answer *http.Response) error {
	err := failure(answer)
	if answer.StatusCode == http.StatusNotFound || answer.StatusCode == http.StatusGone {
		err = fmt.Errorf("%w: %w", errLost, err)
	}
	if answer.StatusCode == http.StatusConflict {
		// Another request of ours may still hold the upload; the next try asks.
		err = errors.New(err.Error())
	}
	return err
}

// received asks how far the server has got. It is done if it has the whole file.
func (f *upload) received(have *int64, length int64) (done bool, err error) {
	answer, err := f.dir.store.do(f.ctx, "HEAD", f.url, http.Header{"Tus-Resumable": {tusVersion}}, nil)
	if err != nil {
		return false, err
	}
	if answer.StatusCode/100 != 2 {
		return false, gone(answer)
	}
	offset, err := strconv.ParseInt(answer.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 {
		return false, &finalError{fmt.Errorf("the server says that it has %.40q bytes", answer.Header.Get("Upload-Offset"))}
	}
	*have = offset
	return length >= 0 && answer.Header.Get("Upload-Length") == strconv.FormatInt(length, 10) && offset == length, nil
}

// Commit implements target.File.
func (f *upload) Commit() error {
	if f.closed {
		return fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	f.closed = true
	if f.ctx.Err() != nil {
		return fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
	}
	if _, err := f.wait(); err != nil {
		return err
	}
	end := f.offset + int64(len(f.chunk))
	if err := f.send(f.chunk, f.offset, -1); err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	// On its own, as only this answer may take the server long.
	if err := f.send(nil, end, end); err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	return nil
}

// Abort implements target.File. The server keeps what it has got, as incomplete.
func (f *upload) Abort() error {
	if f.closed {
		return nil
	}
	f.closed = true
	if f.ctx.Err() != nil {
		return nil
	}
	if _, err := f.wait(); err != nil || len(f.chunk) == 0 {
		return nil // it has what it has
	}
	return f.send(f.chunk, f.offset, -1)
}

// String names the file in messages.
func (f *upload) String() string { return f.dir.String() + f.name }

// conn is a connection that takes a chunk as it is. Package net would copy it into
// pieces of 32 KiB, as it knows the body of a request for a plain reader; that is a
// fifth of what sending it costs. TLS makes pieces of its own.
type conn struct{ net.Conn }

// ReadFrom implements io.ReaderFrom, for io.Copy.
func (c conn) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if body, ok := limited.R.(*chunkBody); ok && limited.N >= int64(body.Len()) {
			n, err := body.WriteTo(c.Conn)
			limited.N -= n
			return n, err
		}
	}
	return io.Copy(struct{ io.Writer }{c.Conn}, r)
}
