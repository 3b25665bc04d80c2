// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
func (s *Store) ReadNote(name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), noteTime)
	defer cancel()
	note, err := do(ctx, s, func(c *sftp.Client) ([]byte, error) {
		h, err := c.Open(path.Join(s.opts.Dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		defer h.Close()
		return io.ReadAll(io.LimitReader(h, maxNote))
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.opts.at(path.Join(s.opts.Dir, name)), err)
	}
	return note, nil
}

// WriteNote implements target.Notebook.
func (s *Store) WriteNote(name string, text []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), noteTime)
	defer cancel()
	full := path.Join(s.opts.Dir, name)
	err := s.do(ctx, func(c *sftp.Client) error {
		err := replaceNote(c, full, text)
		if err != nil {
			return err
		}
		return syncDir(c, s.opts.Dir)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", s.opts.at(full), err)
	}
	return nil
}

func replaceNote(c *sftp.Client, name string, text []byte) error {
	if len(text) == 0 {
		if err := c.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	part := name + target.Incomplete
	h, err := create(c, part)
	if err != nil {
		return err
	}
	_, err = h.Write(text)
	if err == nil {
		err = syncFile(c, h)
	}
	if err := errors.Join(err, h.Close()); err != nil {
		return err
	}
	return c.PosixRename(part, name)
}
