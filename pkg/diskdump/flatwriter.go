// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// FlatWriter writes the flattened form of a file to a stream. It is an
// io.WriterAt; nothing may be written twice, with one exception: what is
// written near the beginning of the file, where the headers are, is held back
// until Close. crash searches the records and finds any of those that overlap.
type FlatWriter struct {
	mu   sync.Mutex
	out  io.Writer
	head []byte // the beginning of the file as it is now
	used int    // how much of head has been written
	err  error
}

// flatHeld is how much of the beginning of the file is held back, in bytes: the
// largest block, which the main header of a dump lies in.
const flatHeld = maxBlockSize

// NewFlatWriter writes the header of the format to out.
func NewFlatWriter(out io.Writer) (*FlatWriter, error) {
	h := make([]byte, flatHeaderSize)
	copy(h, FlatSignature)
	binary.BigEndian.PutUint64(h[flatTypeAt:], flatType)
	binary.BigEndian.PutUint64(h[flatVersionAt:], flatVersion)
	if _, err := out.Write(h); err != nil {
		return nil, fmt.Errorf("write flattened header: %w", err)
	}
	return &FlatWriter{out: out, head: make([]byte, flatHeld)}, nil
}

// WriteOnce says that nothing may be written twice. Wrappers have to have it,
// too: packages that write dumps look for it.
func (w *FlatWriter) WriteOnce() {}

// WriteAt writes p as one record, but for what is held back.
func (w *FlatWriter) WriteAt(p []byte, off int64) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if off < 0 {
		return 0, errors.New("write at a negative offset")
	}
	held := 0
	if off < int64(len(w.head)) {
		held = copy(w.head[off:], p)
		w.used = max(w.used, int(off)+held)
	}
	if err := w.record(p[held:], off+int64(held)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// record writes a record, none for no data: libkdumpfile refuses those.
func (w *FlatWriter) record(p []byte, off int64) error {
	if w.err != nil || len(p) == 0 {
		return w.err
	}
	if w.err = w.recordHeader(off, int64(len(p))); w.err == nil {
		_, w.err = w.out.Write(p)
	}
	return w.err
}

func (w *FlatWriter) recordHeader(off, size int64) error {
	var h [16]byte
	binary.BigEndian.PutUint64(h[:], uint64(off))
	binary.BigEndian.PutUint64(h[8:], uint64(size))
	_, err := w.out.Write(h[:])
	return err
}

// Close writes what was held back and the end mark. It does not close the stream.
func (w *FlatWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.record(w.head[:w.used], 0)
	if err == nil {
		err = w.recordHeader(flatEnd, flatEnd)
	}
	w.err = errors.New("write after close")
	return err
}
