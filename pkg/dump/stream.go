// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"io"

	"github.com/ukdump/ukdump/pkg/diskdump"
)

// The sizes of the writes that streams make, in bytes. But for the first and the
// last of a stream, they begin at multiples of that.
const (
	dataChunk  = 1 << 20
	descsChunk = 256 << 10
)

// stream gathers what is appended to it into large writes at ascending places
// of the file.
type stream struct {
	out io.WriterAt
	off int64  // where buf goes
	buf []byte // its capacity is the size of the writes
	sum uint32 // of what was written
}

func newStream(out io.WriterAt, off int64, chunk int) *stream {
	return &stream{out: out, off: off, buf: make([]byte, 0, chunk)}
}

// end returns the place in the file behind everything appended so far.
func (s *stream) end() int64 { return s.off + int64(len(s.buf)) }

// append adds p to the stream.
func (s *stream) append(p []byte) error {
	for len(p) > 0 {
		room := cap(s.buf) - int(s.end()%int64(cap(s.buf)))
		n := min(room, len(p))
		s.buf = append(s.buf, p[:n]...)
		p = p[n:]
		if n < room {
			break
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
	return nil
}

// skip leaves n bytes of the file unwritten.
func (s *stream) skip(n int64) error {
	if err := s.flush(); err != nil {
		return err
	}
	s.off += n
	return nil
}

// flush writes what is left in the buffer.
func (s *stream) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	if _, err := s.out.WriteAt(s.buf, s.off); err != nil {
		return err
	}
	s.sum = diskdump.Sum(s.sum, s.buf)
	s.off = s.end()
	s.buf = s.buf[:0]
	return nil
}
