// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package manifest is the list of what every file of a capture image must hold.
// The kernel boots an image that memory did not suffice to unpack, so PID 1
// compares what it finds with the manifest. The image builder writes it.
//
// Its text is that of sha256sum(1) with paths relative to the root, so that
// "cd / && sha256sum -c etc/manifest" checks it as well.
package manifest

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Path is where an image keeps its manifest.
const Path = "/etc/manifest"

// Entry is what one file must hold.
type Entry struct {
	Path string // absolute and clean
	Sum  [sha256.Size]byte
}

// ErrMismatch says that a file does not hold what the manifest says.
var ErrMismatch = errors.New("contents differ from the manifest")

// Check reads the contents of the entry's file from r. The error wraps
// ErrMismatch if they are not as they must be.
func (e Entry) Check(r io.Reader) error {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return fmt.Errorf("%s: %w", e.Path, err)
	}
	if [sha256.Size]byte(h.Sum(nil)) != e.Sum {
		return fmt.Errorf("%s: %w", e.Path, ErrMismatch)
	}
	return nil
}

// Write writes the entries, one a line.
func Write(w io.Writer, entries []Entry) error {
	for _, e := range entries {
		if err := checkPath(e.Path); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%x  %s\n", e.Sum, e.Path[1:]); err != nil {
			return err
		}
	}
	return nil
}

// maxEntries bounds how many entries Parse accepts, far above what an image
// with every module of a distribution has.
const maxEntries = 20000

// Parse reads what Write wrote. Its errors name the line.
func Parse(r io.Reader) ([]Entry, error) {
	var entries []Entry
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		e, err := parseLine(lines.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("line %d: more than %d files", n, maxEntries)
		}
		entries = append(entries, e)
	}
	return entries, lines.Err()
}

func parseLine(line string) (Entry, error) {
	sum, name, ok := strings.Cut(line, "  ")
	raw, err := hex.DecodeString(sum)
	if !ok || err != nil || len(raw) != sha256.Size {
		return Entry{}, fmt.Errorf("%.80q is not a SHA-256 sum and a path", line)
	}
	e := Entry{Path: "/" + name, Sum: [sha256.Size]byte(raw)}
	return e, checkPath(e.Path)
}

// checkPath refuses paths that lead elsewhere, and those that sha256sum would
// write in a form of its own.
func checkPath(p string) error {
	if !path.IsAbs(p) || p == "/" || path.Clean(p) != p || strings.ContainsAny(p, "\\\n\r") {
		return fmt.Errorf("%.80q is not a clean path of a file", p)
	}
	return nil
}
