// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package file

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

// maxOld bounds how many names Keep looks at.
const maxOld = 10000

// oldDump is a directory of a dump.
type oldDump struct {
	name     string
	at       time.Time // of the crash, as the name says
	number   int       // among those of that time
	files    []string
	complete bool
}

// Keep implements target.Keeper.
func (s *Store) Keep(ctx context.Context, prefix string, keep int) (removed []string, err error) {
	olds, err := s.oldDumps(prefix)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	kept := len(s.made)
	s.mu.Unlock()
	for _, old := range olds {
		if kept < keep {
			if old.complete {
				kept++
			}
			continue
		}
		if ctx.Err() != nil {
			return removed, errors.Join(err, context.Cause(ctx))
		}
		if e := s.remove(old); e != nil {
			err = errors.Join(err, fmt.Errorf("removing %s: %w", old.name, e))
			continue
		}
		removed = append(removed, old.name)
	}
	return removed, errors.Join(err, s.dir.sync())
}

// oldDumps returns the dumps from before this store was opened, the newest first.
func (s *Store) oldDumps(prefix string) ([]oldDump, error) {
	dir, err := s.dir.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(maxOld)
	if err != nil && err != io.EOF {
		return nil, err
	}
	var olds []oldDump
	for _, e := range entries {
		old := oldDump{name: e.Name()}
		if e.IsDir() && !s.hasMade(old.name) && old.parse(prefix) && s.look(&old) == nil {
			olds = append(olds, old)
		}
	}
	slices.SortFunc(olds, func(a, b oldDump) int {
		return cmp.Or(b.at.Compare(a.at), cmp.Compare(b.number, a.number))
	})
	return olds, nil
}

func (s *Store) hasMade(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.made, func(d *Dir) bool { return strings.HasSuffix(d.name, "/"+name) })
}

// parse reports whether the name is that of a dump.
func (o *oldDump) parse(prefix string) bool {
	const layout = "2006-01-02-15-04-05"
	rest, found := strings.CutPrefix(o.name, prefix)
	if !found || len(rest) < len(layout) {
		return false
	}
	at, number := strings.ReplaceAll(rest[:len(layout)], ":", "-"), rest[len(layout):]
	var err error
	if o.at, err = time.Parse(layout, at); err != nil || number == "" {
		return err == nil
	}
	o.number, err = strconv.Atoi(strings.TrimPrefix(number, "-"))
	return err == nil && number[0] == '-' && o.number > 1
}

// errForeign says that somebody has put something else into the directory.
var errForeign = errors.New("has files that are not of a dump")

// look finds out what is in the directory. Anything that is not of a dump is an error.
func (s *Store) look(old *oldDump) error {
	dir, err := s.dir.root.Open(old.name)
	if err != nil {
		return err
	}
	defer dir.Close()
	const most = 100
	entries, err := dir.ReadDir(most)
	if err != nil && err != io.EOF {
		return err
	}
	for _, e := range entries {
		name, partial := strings.CutSuffix(e.Name(), target.Incomplete)
		name = strings.TrimSuffix(name, ".age")
		if !e.Type().IsRegular() || !slices.Contains([]string{"vmcore", "vmcore.flat", "vmcore-dmesg.txt", "kdump.log"}, name) {
			return errForeign
		}
		isDump := name == "vmcore" || name == "vmcore.flat"
		old.complete = old.complete || isDump && !partial
		if isDump { // goes first, so that nothing looks complete that is not
			old.files = slices.Insert(old.files, 0, e.Name())
		} else {
			old.files = append(old.files, e.Name())
		}
	}
	return nil
}

// remove removes a dump.
func (s *Store) remove(old oldDump) error {
	for _, name := range old.files {
		if err := s.dir.root.Remove(old.name + "/" + name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := s.dir.root.Remove(old.name); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
