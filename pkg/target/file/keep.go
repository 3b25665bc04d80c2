// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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
	files    []string
	complete bool
}

// Keep implements target.Keeper.
func (s *Store) Keep(ctx context.Context, prefix string, keep int) (removed []string, err error) {
	olds, err := s.oldDumps(prefix)
	if err != nil {
		return nil, err
	}
	order := slices.Sorted(maps.Keys(olds))
	slices.Reverse(order)
	s.mu.Lock()
	kept := len(s.made)
	s.mu.Unlock()
	for _, when := range order {
		old := olds[when]
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

// oldDumps returns the dumps from before this store was opened, by what orderOf says.
func (s *Store) oldDumps(prefix string) (map[string]oldDump, error) {
	dir, err := s.dir.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(maxOld)
	if err != nil && err != io.EOF {
		return nil, err
	}
	olds := map[string]oldDump{}
	for _, e := range entries {
		old := oldDump{name: e.Name()}
		when := orderOf(old.name, prefix)
		if e.IsDir() && when != "" && !s.hasMade(old.name) && s.look(&old) == nil {
			olds[when] = old
		}
	}
	return olds, nil
}

func (s *Store) hasMade(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.made, func(d *Dir) bool { return strings.HasSuffix(d.name, "/"+name) })
}

// orderOf returns what puts the names of dumps into the order of their crashes; nothing
// if the name is not that of a dump.
func orderOf(name, prefix string) string {
	const layout = "2006-01-02-15-04-05"
	rest, found := strings.CutPrefix(name, prefix)
	if !found || len(rest) < len(layout) {
		return ""
	}
	at, number := strings.ReplaceAll(rest[:len(layout)], ":", "-"), rest[len(layout):]
	if _, err := time.Parse(layout, at); err != nil {
		return ""
	}
	if number == "" {
		number = "-1" // which no name ends with
	} else if number == "-1" {
		return ""
	}
	n, err := strconv.Atoi(number)
	if err != nil || n > -1 || n < -maxNames || strconv.Itoa(n) != number {
		return ""
	}
	return fmt.Sprintf("%s-%04d", at, -n)
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
		old.files = append(old.files, e.Name())
		if last := len(old.files) - 1; isDump { // goes first, so that nothing looks complete that is not
			old.files[0], old.files[last] = old.files[last], old.files[0]
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
	err := s.dir.root.Remove(old.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
