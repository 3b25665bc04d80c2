// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package file

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/ukdump/ukdump/pkg/target"
)

// maxNote bounds how much of a note is read, in bytes.
const maxNote = 64 << 10

// ReadNote implements target.Notebook.
func (d *Dir) ReadNote(name string) ([]byte, error) {
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxNote))
}

// WriteNote implements target.Notebook.
func (d *Dir) WriteNote(name string, text []byte) error {
	if len(text) == 0 {
		if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return d.sync()
	}
	part := name + target.Incomplete
	f, err := d.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return noSpace(err)
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		d.root.Remove(part)
		return noSpace(err)
	}
	if err := d.root.Rename(part, name); err != nil {
		d.root.Remove(part)
		return noSpace(err)
	}
	return d.sync()
}
