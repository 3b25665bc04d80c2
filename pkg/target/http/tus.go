// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package http

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

const tusVersion = "1.0.0"

// upload is a file that goes to a server in PATCH requests. What is written is sent
// as it comes, and kept until the server has acknowledged it. When a connection
// breaks, the server says how far it has got, and what it lacks is sent again. The
// length of the file is told at its end.
type upload struct {
	ctx    context.Context
	dir    *Dir
	name   string
	url    *url.URL
	closed bool
	exact  bool // the server wants to know the length of a request before
	window *window
	sent   chan error // gets what became of sending the window
}

func (d *Dir) createUpload(ctx context.Context, name string) (target.File, error) {
	f := &upload{ctx: ctx, dir: d, name: name, sent: make(chan error, 1)}
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
	f.window = newWindow()
	go f.run()
	return f, nil
}

// Write implements io.Writer.
func (f *upload) Write(p []byte) (int, error) {
	if f.closed {
		return 0, fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	n, err := f.window.write(f.ctx, p)
	if err != nil {
		return n, fmt.Errorf("%v: %w", f, err)
	}
	return n, nil
}

// run sends what is written.
func (f *upload) run() {
	err := errors.New("panic in sending")
	defer func() {
		_ = recover()
		f.window.fail(err)
		f.sent <- err
	}()
	err = f.sendAll()
}

func (f *upload) sendAll() error {
	for {
		more, err := f.window.await(f.ctx)
		if err != nil || !more {
			return err
		}
		if err := f.send(-1); err != nil {
			return err
		}
	}
}

// send sends something of what there is, as often as it takes. A length that is not
// negative is that of the whole file, and ends it.
func (f *upload) send(length int64) error {
	began, resuming := time.Now(), false
	return f.dir.store.retrySince(f.ctx, &began, func() error {
		if resuming {
			before := f.window.acknowledged()
			done, err := f.received(length)
			if err != nil || done {
				return err
			}
			if f.window.acknowledged() > before {
				began = time.Now()
			}
		}
		resuming = true
		return f.patch(length)
	})
}

// received asks how far the server has got. It is done if it has the whole file.
func (f *upload) received(length int64) (done bool, err error) {
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
	done = length >= 0 && answer.Header.Get("Upload-Length") == strconv.FormatInt(length, 10) && offset == length
	return done, f.window.acknowledge(offset)
}

// patch sends a PATCH request with what follows on what the server has acknowledged;
// with nothing if a length is told, as only this answer may take the server long.
// When it returns, nobody reads the window any more.
func (f *upload) patch(length int64) error {
	s := f.dir.store
	offset := f.window.acknowledged()
	header := http.Header{
		"Tus-Resumable": {tusVersion},
		"Upload-Offset": {strconv.FormatInt(offset, 10)},
		"Content-Type":  {"application/offset+octet-stream"},
	}
	// What arrives in that time is kept. Another connection may be better.
	limit := min(answerTime, s.opts.Patience/3)
	if length >= 0 {
		header.Set("Upload-Length", strconv.FormatInt(length, 10))
		limit = endTime
	}
	ctx, cancel := context.WithTimeoutCause(f.ctx, limit, errNoAnswer)
	defer cancel()
	body := f.window.body(ctx, offset, limit/3)
	request, err := s.request(ctx, "PATCH", f.url, header, body)
	if err != nil {
		return err
	}
	request.ContentLength = -1 // as much as will have been written
	if f.exact {
		request.ContentLength = body.cut()
	}
	if length >= 0 || request.ContentLength == 0 {
		request.Body, request.ContentLength = http.NoBody, 0
		body.Close()
	}
	answer, err := s.client.Do(request)
	if err != nil {
		err = because(ctx, err)
	} else {
		answer.Body = &reason{text: readReason(answer.Body), body: answer.Body}
		answer.Body.Close()
	}
	// A server may answer before it has read all. The transport goes on sending
	// until it is told not to, and says when it does not, see http.RoundTripper.
	cancel()
	<-body.closed
	if err != nil {
		return err
	}
	switch {
	case answer.StatusCode == http.StatusLengthRequired && !f.exact:
		f.exact = true
		return errors.New("the server takes no requests of unknown length") // the next has one
	case answer.StatusCode != http.StatusNoContent:
		return gone(answer)
	}
	if have := answer.Header.Get("Upload-Offset"); have != strconv.FormatInt(body.at, 10) {
		return fmt.Errorf("the server says that it has %.40q bytes of the first %d", have, body.at)
	}
	return f.window.acknowledge(body.at)
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

// end has the rest sent, and waits for that.
func (f *upload) end() error {
	f.closed = true
	f.window.end()
	return <-f.sent // which ends with f.ctx
}

// Commit implements target.File.
func (f *upload) Commit() error {
	if f.closed {
		return fmt.Errorf("%v: %w", f, os.ErrClosed)
	}
	err := f.end()
	if err == nil {
		err = f.send(f.window.acknowledged())
	}
	if err != nil {
		return fmt.Errorf("%v: %w", f, err)
	}
	return nil
}

// Abort implements target.File. The server keeps what it has got, as incomplete.
func (f *upload) Abort() error {
	if !f.closed {
		_ = f.end() // it has what it has
	}
	return nil
}

// String names the file in messages.
func (f *upload) String() string { return f.dir.String() + f.name }
