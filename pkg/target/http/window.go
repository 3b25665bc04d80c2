// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package http

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// requestSize is how much goes with one request, in bytes.
	requestSize = 4 << 20
	// ahead is how much of what was written is not on its way, at the most. What is
	// sent soon after it was written is still in the CPU's cache, which makes sending
	// it a third cheaper.
	ahead = 512 << 10
	// windowSize is how much is kept: what is written ahead does not wait for the
	// answer to a request.
	windowSize = requestSize + ahead
	// pieceSize is how much is sent at a time. It divides all of these.
	pieceSize = 256 << 10
)

// window is what is kept of a file because the server has not acknowledged it. One
// goroutine writes what another one sends.
type window struct {
	ring []byte // the byte at an offset of the file is at that modulo its length

	mu      sync.Mutex
	changed sync.Cond
	acked   int64 // what the server has acknowledged ends here,
	sent    int64 // what is on its way here,
	written int64 // and what was written here
	ended   bool  // nothing more will be written
	err     error // why nothing more is sent
}

func newWindow() *window {
	w := &window{ring: make([]byte, windowSize)}
	w.changed.L = &w.mu
	return w
}

// wait waits until something is so, or ctx ends. The caller has locked mu.
func (w *window) wait(ctx context.Context, is func() bool) error {
	if ctx.Err() == nil && is() {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { w.change(func() {}) })
	defer stop()
	for ctx.Err() == nil && !is() {
		w.changed.Wait()
	}
	return context.Cause(ctx)
}

// change changes something that others may wait for.
func (w *window) change(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
	w.changed.Broadcast()
}

// write adds p, as there is room for it.
func (w *window) write(ctx context.Context, p []byte) (int, error) {
	written := 0
	for written < len(p) {
		room, err := w.room(ctx)
		if err != nil {
			return written, err
		}
		n := copy(room, p[written:])
		written += n
		w.change(func() { w.written += int64(n) })
	}
	return written, nil
}

// room returns where something can be written.
func (w *window) room(ctx context.Context) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	free := func() int64 { return min(w.acked+windowSize, w.sent+ahead) - w.written }
	err := w.wait(ctx, func() bool { return w.err != nil || free() > 0 })
	if err := cmp.Or(w.err, err); err != nil {
		return nil, err
	}
	at := w.written % windowSize
	return w.ring[at:min(at+free(), windowSize)], nil
}

// end says that nothing more will be written.
func (w *window) end() { w.change(func() { w.ended = true }) }

// fail says why nothing more is sent.
func (w *window) fail(err error) { w.change(func() { w.err = err }) }

// await waits until there is something to send, and reports whether there is: not if
// the file has ended.
func (w *window) await(ctx context.Context) (more bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	err = w.wait(ctx, func() bool { return w.ended || w.has(w.acked) })
	return w.has(w.acked), err
}

// has reports whether what is at an offset can be sent: pieces are as a whole, but
// for the last. The caller has locked mu.
func (w *window) has(offset int64) bool {
	return w.written >= pieceEnd(offset) || w.ended && w.written > offset
}

// pieceEnd returns where the piece ends that the offset is in.
func pieceEnd(offset int64) int64 { return (offset/pieceSize + 1) * pieceSize }

// acknowledged returns where what the server has acknowledged ends.
func (w *window) acknowledged() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acked
}

// acknowledge drops what is before an offset, all of which the server says to have.
func (w *window) acknowledge(offset int64) (err error) {
	w.change(func() {
		if offset < w.acked || offset > w.written {
			err = fmt.Errorf("%w: it has %d bytes, had %d, and was sent %d", errLost, offset, w.acked, w.written)
			return
		}
		w.acked, w.sent = offset, max(w.sent, offset)
	})
	return err
}

// body is the body of a request: what comes of the window within some time, and
// requestSize at the most. It says when it is done with.
type body struct {
	window *window
	ctx    context.Context
	end    int64 // offset in the file where it ends at the latest
	at     int64 // and of what is sent next
	timer  *time.Timer
	late   bool // the time is over; window.mu guards it
	once   sync.Once
	closed chan struct{}
}

// body returns what sends the window from an offset on, until which the server has
// everything.
func (w *window) body(ctx context.Context, offset int64, lasts time.Duration) *body {
	b := &body{window: w, ctx: ctx, at: offset, end: offset + requestSize, closed: make(chan struct{})}
	w.change(func() { w.sent = offset })
	b.timer = time.AfterFunc(lasts, func() { w.change(func() { b.late = true }) })
	return b
}

// cut ends the body where what can be sent at once ends, and returns its length.
func (b *body) cut() int64 {
	b.timer.Stop()
	w := b.window
	w.mu.Lock()
	defer w.mu.Unlock()
	end := w.written
	if !w.ended {
		end -= end % pieceSize
	}
	b.end = min(b.end, max(b.at, end))
	return b.end - b.at
}

// Close implements io.Closer.
func (b *body) Close() error {
	b.once.Do(func() {
		b.timer.Stop()
		close(b.closed)
	})
	return nil
}

// WriteTo implements io.WriterTo, for io.Copy: in larger pieces than it would read.
func (b *body) WriteTo(to io.Writer) (written int64, err error) {
	for {
		piece, err := b.next()
		if err != nil || len(piece) == 0 {
			return written, err
		}
		n, err := to.Write(piece)
		b.sent(n)
		if written += int64(n); err != nil {
			return written, err
		}
	}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	piece, err := b.next()
	if err == nil && len(piece) == 0 {
		err = io.EOF
	}
	n := copy(p, piece)
	b.sent(n)
	return n, err
}

// next waits for the next piece. There is none if the file ends, or the body.
func (b *body) next() ([]byte, error) {
	w := b.window
	w.mu.Lock()
	defer w.mu.Unlock()
	over := func() bool { return b.late || b.at >= b.end }
	err := w.wait(b.ctx, func() bool { return over() || w.ended || w.has(b.at) })
	if err != nil || over() || !w.has(b.at) {
		return nil, err
	}
	at := b.at % windowSize
	return w.ring[at : at+min(pieceEnd(b.at), w.written, b.end)-b.at], nil
}

// sent says that so much is on its way.
func (b *body) sent(n int) {
	b.at += int64(n)
	b.window.change(func() { b.window.sent = b.at })
}
