// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

// limits is what a dump may take of its target, and who is told that it gets on.
type limits struct {
	ctx   context.Context // whose end is that of waiting
	moved func()
	most  int64 // in all, in bytes; 0: anything
	rate  int64 // in a second, in bytes; 0: anything

	mu  sync.Mutex
	due time.Time // when all that was written would be, at that rate
}

// admit waits until so many bytes may be written, with which the dump has size bytes,
// or returns an error if it may not have as many.
func (l *limits) admit(bytes int, size int64) error {
	if l.most != 0 && size > l.most {
		return fmt.Errorf("%w: max_size is %d MiB", target.ErrNoSpace, l.most>>20)
	}
	if l.rate != 0 {
		l.wait(l.book(bytes))
	}
	return nil
}

// book takes the time for so many bytes, and returns how long it is until that begins.
// Time that nobody took is lost, so that nothing is faster for having been slow.
func (l *limits) book(bytes int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.due.Before(now) {
		l.due = now
	}
	wait := l.due.Sub(now)
	l.due = l.due.Add(time.Duration(bytes) * time.Second / time.Duration(l.rate))
	return wait
}

// wait waits, which is not standing still.
func (l *limits) wait(d time.Duration) {
	for ; d > 0 && l.ctx.Err() == nil; d -= time.Second {
		select {
		case <-time.After(min(d, time.Second)):
			l.moved()
		case <-l.ctx.Done():
		}
	}
}

// wrote tells that so many bytes were.
func (l *limits) wrote(bytes int) {
	if bytes > 0 {
		l.moved()
	}
}

// seeker is a target.File that can be written out of order, and start over.
type seeker interface {
	io.WriterAt
	Truncate(size int64) error
}

// meter is a seeker within limits.
type meter struct {
	seeker
	limits *limits
}

func (m *meter) WriteAt(p []byte, off int64) (int, error) {
	if err := m.limits.admit(len(p), off+int64(len(p))); err != nil {
		return 0, err
	}
	n, err := m.seeker.WriteAt(p, off)
	m.limits.wrote(n)
	return n, err
}

// streamMeter is the same for streams.
type streamMeter struct {
	io.Writer
	limits *limits
	done   int64 // bytes so far
}

func (m *streamMeter) Write(p []byte) (int, error) {
	if err := m.limits.admit(len(p), m.done+int64(len(p))); err != nil {
		return 0, err
	}
	n, err := m.Writer.Write(p)
	m.done += int64(n)
	m.limits.wrote(n)
	return n, err
}
