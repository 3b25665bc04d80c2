// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kmod

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Where the image keeps its Lists.
const (
	// EarlyListPath has what is loaded before anything else is done: the drivers
	// of watchdogs.
	EarlyListPath = "/etc/modules-early"
	// ListPath has everything else.
	ListPath = "/etc/modules"
)

// maxListed bounds how many modules ParseList accepts. A capture image has a
// few dozen; the largest distribution kernel has some 7000.
const maxListed = 10000

// Entry is a line of a List: one module to load.
type Entry struct {
	// Path is the file in the image, for example "/lib/modules/virtio_blk.ko".
	Path string
	// Needs has the names of the modules to load before, all of them earlier
	// in the list.
	Needs []string
	// Params are the module's parameters as on a modprobe command line, with
	// single spaces between them.
	Params string
}

// Name returns the normalized name of the module.
func (e Entry) Name() string { return Normalize(e.Path) }

// WriteList writes the modules in the format of ListPath. Each line is
//
//	PATH NEEDS [PARAMETER...]
//
// where NEEDS is a comma-separated list of module names that come earlier in
// the file, or "-". Empty lines and lines that start with "#" mean nothing.
func WriteList(w io.Writer, entries []Entry) error {
	if err := checkList(entries); err != nil {
		return err
	}
	for _, e := range entries {
		needs := "-"
		if len(e.Needs) > 0 {
			needs = strings.Join(e.Needs, ",")
		}
		line := strings.TrimRight(e.Path+" "+needs+" "+e.Params, " ")
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// ParseList reads what WriteList wrote. Its errors name the line.
func ParseList(r io.Reader) ([]Entry, error) {
	var entries []Entry
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 2 {
			return nil, fmt.Errorf("line %d: %.60q has no second field; write - if the module needs no other", n, line)
		}
		e := Entry{Path: fields[0], Params: strings.Join(fields[2:], " ")}
		if fields[1] != "-" {
			e.Needs = strings.Split(fields[1], ",")
		}
		if len(entries) == maxListed {
			return nil, fmt.Errorf("line %d: more than %d modules", n, maxListed)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return entries, checkList(entries)
}

// checkList refuses what could not be loaded in order or not be written as
// lines.
func checkList(entries []Entry) error {
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		if !strings.HasPrefix(e.Path, "/") || strings.ContainsAny(e.Path, " \t\n") {
			return fmt.Errorf("module path %.60q: must be absolute and without spaces", e.Path)
		}
		if strings.Contains(e.Params, "\n") {
			return fmt.Errorf("module %s: a line break in its parameters", e.Path)
		}
		missing := func(name string) bool { return !seen[name] }
		if i := slices.IndexFunc(e.Needs, missing); i >= 0 {
			return fmt.Errorf("module %s: needs %.60q, which is not listed before it", e.Path, e.Needs[i])
		}
		if seen[e.Name()] {
			return fmt.Errorf("module %s: listed twice", e.Path)
		}
		seen[e.Name()] = true
	}
	return nil
}
