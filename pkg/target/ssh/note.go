// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package ssh

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/pkg/sftp"

	"github.com/ukdump/ukdump/pkg/target"
)

const (
	// maxNote bounds how much of a note is read, in bytes.
	maxNote = 64 << 10
	// noteTime is how long it may take to read or write one.
	noteTime = 30 * time.Second
)

// ReadNote implements target.Notebook.
func (s *Store) ReadNote(name string) (note []byte, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), noteTime)
	defer cancel()
	err = s.do(ctx, func(c *sftp.Client) error {
		h, err := c.Open(path.Join(s.opts.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer h.Close()
		note, err = io.ReadAll(io.LimitReader(h, maxNote))
		return err
	})
	return note, err
}

// WriteNote implements target.Notebook.
func (s *Store) WriteNote(name string, text []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), noteTime)
	defer cancel()
	return s.do(ctx, func(c *sftp.Client) error {
		full := path.Join(s.opts.Dir, name)
		if len(text) == 0 {
			if err := c.Remove(full); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}
		part := full + target.Incomplete
		if err := createEmpty(c, part); err != nil {
			return err
		}
		h, err := c.OpenFile(part, os.O_RDWR)
		if err != nil {
			return err
		}
		_, err = h.WriteAt(text, 0)
		if err == nil {
			err = syncFile(c, h)
		}
		if err := errors.Join(err, h.Close()); err != nil {
			return err
		}
		return c.PosixRename(part, full)
	})
}
