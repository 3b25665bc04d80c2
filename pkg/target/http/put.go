// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package http

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

// putFile is a file that is sent with a single PUT request, whose body ends at
// Commit. Servers keep what comes elsewhere until the body has ended as it should,
// so a file that breaks off is not there at all. Whoever wants to go on after that
// starts over.
//
// The request begins when there is something to send: many servers wait no longer
// than a minute for more of a body, and files are created, or have got their
// header, long before the rest is known.
type putFile struct {
	ctx     context.Context
	dir     *Dir
	url     *url.URL
	held    *bufio.Writer // what is not sent yet, in front of body
	begun   bool          // the request is
	request *http.Request
	source  *io.PipeReader // its body
	body    *io.PipeWriter
	// answer gets what became of the request.
	answer chan error
	closed bool
	cancel context.CancelCauseFunc
	moved  atomic.Int64 // when the server has last taken something, in Unix nanoseconds
}

func (d *Dir) createPut(ctx context.Context, name string) (target.File, error) {
	f := &putFile{ctx: ctx, dir: d, url: d.store.base, answer: make(chan error, 1)}
	if !d.store.single() {
		f.url = d.store.base.JoinPath(d.name, name)
		if err := f.checkFree(); err != nil {
			return nil, fmt.Errorf("%v: %w", f, err)
		}
	}
	ctx, f.cancel = context.WithCancelCause(ctx)
	context.AfterFunc(d.store.ctx, func() { f.cancel(os.ErrClosed) })
	f.source, f.body = io.Pipe()
	f.held = bufio.NewWriterSize((*putBody)(f), maxHeld)
	header := http.Header{"If-None-Match": {"*"}, "Content-Type": {"application/octet-stream"}}
	var err error
	if f.request, err = d.store.request(ctx, "PUT", f.url, header, f.source); err != nil {
		return nil, err
	}
	return f, nil
}

// maxHeld is how much is held back, in bytes: more than the first headers of a dump.
const maxHeld = 64 << 10

// begin begins the request, if nobody has.
func (f *putFile) begin() {
	if f.begun {
		return
	}
	f.begun = true
	f.moved.Store(time.Now().UnixNano())
	go f.send(f.request, f.source)
	go f.watch(f.request.Context())
}

// putBody is a file as its buffer sees it: what is written to it goes to the server.
type putBody putFile

// Write implements io.Writer.
func (b *putBody) Write(p []byte) (int, error) {
	f := (*putFile)(b)
	f.begin()
	f.moved.Store(time.Now().UnixNano())
	n, err := f.body.Write(p)
	f.moved.Store(0) // it is not the server that is slow until the next write
	return n, err
}

// checkFree looks whether there is a file of that name already. The header that
// says not to replace one is not understood by all servers.
func (f *putFile) checkFree() error {
	return f.dir.store.retry(f.ctx, func() error {
		answer, err := f.dir.store.do(f.ctx, "HEAD", f.url, nil, nil)
		if err == nil && answer.StatusCode/100 == 2 {
			err = fs.ErrExist
		}
		if errors.Is(err, fs.ErrExist) {
			return &finalError{err}
		}
		return err // other answers mean that it is not there, or that we may not know
	})
}

// send sends the request and reads the answer.
func (f *putFile) send(request *http.Request, body *io.PipeReader) {
	err := errors.New("panic in sending")
	defer func() {
		_ = recover()
		body.CloseWithError(err) // whoever writes must not wait
		f.answer <- err
	}()
	answer, err2 := f.dir.store.client.Do(request)
	if err = err2; err != nil {
		err = because(request.Context(), err)
		return
	}
	answer.Body = &reason{text: readReason(answer.Body), body: answer.Body}
	answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		err = failure(answer)
		if answer.StatusCode == http.StatusPreconditionFailed {
			err = fmt.Errorf("%w: %w", fs.ErrExist, err)
		}
	}
	if err == nil {
		err = errDone
	}
}

// errDone stands for success where nobody may write any more.
var errDone = errors.New("the server has the file")

// finalError is an error that another try would not change.
type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

// watch gives the request up when the server takes nothing for too long.
func (f *putFile) watch(ctx context.Context) {
	defer func() { _ = recover() }()
	ticker := time.NewTicker(retryEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if last := f.moved.Load(); last != 0 && time.Since(time.Unix(0, last)) > f.dir.store.opts.Patience {
			f.cancel(fmt.Errorf("%w for %v", errNoAnswer, f.dir.store.opts.Patience))
			return
		}
	}
}

// Write implements io.Writer.
func (f *putFile) Write(p []byte) (int, error) {
	if f.closed {
		return 0, fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	if f.ctx.Err() != nil {
		return 0, fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
	}
	n, err := f.held.Write(p)
	if err != nil {
		return n, fmt.Errorf("%v: %w", f, f.why(err))
	}
	return n, nil
}

// why returns the reason for an error of writing. The pipe is closed as soon as
// the request has ended, before its answer is here.
func (f *putFile) why(err error) error {
	select {
	case answer := <-f.answer:
		f.answer <- answer
		return answer
	case <-time.After(retryEvery):
		return err
	}
}

// Commit implements target.File.
func (f *putFile) Commit() error {
	if f.closed {
		return fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	if f.ctx.Err() != nil {
		f.Abort()
		return fmt.Errorf("%v: %w", f, context.Cause(f.ctx))
	}
	f.closed = true
	f.begin()
	_ = f.held.Flush() // if that fails, the answer says why
	f.moved.Store(time.Now().UnixNano())
	f.body.Close()
	err := <-f.answer
	f.cancel(nil)
	if !errors.Is(err, errDone) {
		return fmt.Errorf("%v: %w", f, err)
	}
	return nil
}

// Abort implements target.File. The server keeps nothing of the file.
func (f *putFile) Abort() error {
	if f.closed {
		return nil
	}
	f.closed = true
	f.body.CloseWithError(errors.New("the file was given up"))
	f.cancel(nil)
	if f.begun {
		<-f.answer
	}
	return fmt.Errorf("%v: %w", f, target.ErrNothingKept)
}

// String names the file in messages.
func (f *putFile) String() string {
	u := *f.url
	u.RawQuery = ""
	return u.String()
}
