// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package file

import (
	"context"
	"errors"
	"sync"

	"github.com/ukdump/ukdump/pkg/target"
)

// Store is a directory on a mounted file system that has the directories of the
// dumps. It implements target.Store, target.Notebook and target.Keeper.
type Store struct {
	dir     *Dir
	unmount func() error

	mu   sync.Mutex
	made []*Dir
}

// OpenStore opens the directory, an absolute path as seen from the top of the
// file system that is mounted at mount, and makes what of it is missing, as
// MakeParents does. Close calls unmount, which may be nil.
func OpenStore(mount, dir string, unmount func() error) (*Store, error) {
	d, err := MakeParents(mount, dir)
	if err != nil {
		return nil, err
	}
	return &Store{dir: d, unmount: unmount}, nil
}

// Make implements target.Store.
func (s *Store) Make(_ context.Context, name string) (target.Target, error) {
	d, err := s.dir.Make(name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made = append(s.made, d)
	return d, nil
}

// ReadNote implements target.Notebook.
func (s *Store) ReadNote(name string) ([]byte, error) { return s.dir.ReadNote(name) }

// WriteNote implements target.Notebook.
func (s *Store) WriteNote(name string, text []byte) error { return s.dir.WriteNote(name, text) }

// Close implements target.Store. Unmounting waits for what is under way there.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.dir.Close()
	for _, d := range s.made {
		err = errors.Join(err, d.Close())
	}
	if s.unmount != nil {
		err = errors.Join(err, s.unmount())
	}
	return err
}

// String implements target.Store: the path of the directory on its file system.
func (s *Store) String() string { return s.dir.String() }
