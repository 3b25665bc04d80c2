// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"errors"
	"fmt"
	"io"
)

// Unflatten writes the file whose flattened form comes from r to out. It fails
// if the end mark does not come. What comes after it is not read.
func Unflatten(out io.WriterAt, r io.Reader) error {
	u := Unflattener{Out: out}
	buf := make([]byte, 1<<20)
	for !u.Whole() {
		n, readErr := r.Read(buf)
		if _, err := u.Write(buf[:n]); err != nil {
			return err
		}
		if readErr != nil && !u.Whole() {
			if errors.Is(readErr, io.EOF) {
				readErr = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("%w: flattened file ends without its end mark: %w", ErrFormat, readErr)
		}
	}
	return nil
}

// Unflattener is a writer for the flattened form of a file, which it writes as it
// was to Out. All that it knows is in its fields, so that another one can go on
// from there.
type Unflattener struct {
	Out   io.WriterAt `json:"-"`
	State FlatState
}

// FlatState is how far an Unflattener has come.
type FlatState struct {
	Begun bool   // the header of the format is read
	Ended bool   // the end mark is
	Part  []byte // of a header, until the rest of it comes
	Off   int64  // where in the file the next data goes
	Left  int64  // how much of it there is before the next header
}

// Whole reports whether the file has come to its end.
func (u *Unflattener) Whole() bool { return u.State.Ended }

// Write implements io.Writer. What comes after the end mark is taken and has no
// meaning. After an error of Out the state is that before the data of the write
// that failed.
func (u *Unflattener) Write(p []byte) (int, error) {
	s := &u.State
	total := len(p)
	for len(p) > 0 && !s.Ended {
		if s.Begun && s.Left > 0 {
			n := int(min(int64(len(p)), s.Left))
			if _, err := u.Out.WriteAt(p[:n], s.Off); err != nil {
				return total - len(p), err
			}
			s.Off, s.Left, p = s.Off+int64(n), s.Left-int64(n), p[n:]
			continue
		}
		size := flatRecordSize
		if !s.Begun {
			size = flatHeaderSize
		}
		n := min(size-len(s.Part), len(p))
		if n < 0 {
			return total - len(p), fmt.Errorf("%w: %d bytes of a header", ErrFormat, len(s.Part))
		}
		s.Part, p = append(s.Part, p[:n]...), p[n:]
		if len(s.Part) < size {
			break
		}
		if err := s.header(); err != nil {
			return total - len(p), err
		}
	}
	return total, nil
}

// header reads a header that is in s.Part as a whole.
func (s *FlatState) header() error {
	header := s.Part
	s.Part = s.Part[:0]
	if !s.Begun {
		s.Begun = true
		return checkFlatHeader(header)
	}
	r, ok, err := readRecordHeader(header)
	s.Ended = err == nil && !ok
	s.Off, s.Left = r.off, r.size
	return err
}
