// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"io"

	"github.com/cespare/xxhash/v2"
)

// dataChunk is the size of the writes that a stream makes, in bytes. But for the
// first and the last, they begin at multiples of it.
const dataChunk = 1 << 20

// stream gathers what is appended to it into large writes at ascending places
// of the file.
type stream struct {
	out io.WriterAt
	off int64 // where buf goes
	buf []byte
	old []byte         // what was written last, in front of off
	sum *xxhash.Digest // of what was written
}

func newStream(out io.WriterAt, off int64) *stream {
	return &stream{out: out, off: off, buf: make([]byte, 0, dataChunk), old: make([]byte, 0, dataChunk), sum: xxhash.New()}
}

// end returns the place in the file behind everything appended so far.
func (s *stream) end() int64 { return s.off + int64(len(s.buf)) }

// append adds p to the stream.
func (s *stream) append(p []byte) error {
	for len(p) > 0 {
		room := dataChunk - int(s.end()%dataChunk)
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
	s.old = s.old[:0]
	return nil
}

// holds reports whether p is what was appended at off, as far as that is still
// in memory.
func (s *stream) holds(off int64, p []byte) bool {
	if at := off - (s.off - int64(len(s.old))); at < 0 {
		return false
	} else if at < int64(len(s.old)) {
		old := s.old[at:]
		n := min(len(old), len(p))
		if !bytes.Equal(old[:n], p[:n]) {
			return false
		}
		p, off = p[n:], s.off
	}
	return bytes.HasPrefix(s.buf[min(int(off-s.off), len(s.buf)):], p)
}

// flush writes what is left in the buffer. After an error, off is behind what
// could be written.
func (s *stream) flush() error {
	if len(s.buf) == 0 {
		return nil
	}
	n, err := s.out.WriteAt(s.buf, s.off)
	s.sum.Write(s.buf[:n])
	s.off += int64(n)
	if err != nil {
		s.old = s.old[:0]
		s.buf = append(s.buf[:0], s.buf[n:]...)
		return err
	}
	s.old, s.buf = s.buf, s.old[:0]
	return nil
}
