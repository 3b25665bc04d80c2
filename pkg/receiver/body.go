// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// step is how much is taken of a body before its quota is looked at again, in
	// bytes.
	step = 256 << 10
	// least is how much of a body has to come within Options.Idle, in bytes.
	least = 64 << 10
)

// bodies has what bodies are read into: requests of tus are many.
var bodies = sync.Pool{New: func() any { return new([step]byte) }}

// takeBody writes the body to the upload, as long as it keeps coming and there is
// room for it, and nobody else wants the file.
func (r *Receiver) takeBody(w http.ResponseWriter, body io.Reader, u *held) error {
	control := http.NewResponseController(w)
	defer u.turn.finished(control)
	piece := bodies.Get().(*[step]byte)
	defer bodies.Put(piece)
	buf := piece[:]
	left := r.opts.Idle // of the time for the next so many bytes; how long the store takes does not count
	for came := 0; ; {
		if err := u.turn.extend(control, left); err != nil {
			return err
		}
		began := time.Now()
		n, readErr := body.Read(buf)
		left -= time.Since(began)
		if came += n; came >= least {
			came, left = 0, r.opts.Idle
		}
		if n > 0 {
			if err := r.takePiece(buf[:n], u); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return nil
		case errors.Is(readErr, os.ErrDeadlineExceeded) && u.turn.isWanted():
			return errTakenOver
		case readErr != nil:
			return fmt.Errorf("the body breaks off: %w", readErr)
		}
	}
}

func (r *Receiver) takePiece(p []byte, u upload) error {
	k := u.about()
	if k.Length >= 0 && k.Offset+int64(len(p)) > k.Length {
		return fmt.Errorf("%w: more than the %d bytes that were announced", errRequest, k.Length)
	}
	n, err := u.write(p)
	r.Stats.Bytes.Add(int64(n))
	return err
}

// settle finishes an upload of which everything is there.
func (r *Receiver) settle(u upload, q *http.Request) error {
	k := u.about()
	if k.Done || k.Offset != k.Length {
		return nil
	}
	if err := u.finish(); err != nil {
		return err
	}
	r.Stats.Files.Add(1)
	r.opts.Log.Info("received", "machine", k.Machine, "file", k.Path, "bytes", k.Offset,
		"seconds", time.Since(k.Began).Round(time.Millisecond).Seconds(), "from", q.RemoteAddr)
	return nil
}
