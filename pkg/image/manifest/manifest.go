// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package manifest is the list of what every file of a capture image must hold.
// The kernel boots an image that memory did not suffice to unpack, so PID 1
// compares what it finds with the manifest. The image builder writes it.
//
// Its text is that of xxhsum(1) with paths relative to the root, so that
// "cd / && xxhsum -c etc/manifest" checks it as well, and a last line, which
// xxhsum passes over, with the sum of all before: a manifest that is damaged
// itself must not condemn files that are not. The sums are xxHash64 with seed 0
// (doc/xxhash_spec.md of github.com/Cyan4973/xxHash): who can change an image can
// change its manifest, so they are against damage, and a capture kernel on a CPU
// without instructions for SHA-256 would need a tenth of its time for that.
package manifest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
)

// Path is where an image keeps its manifest.
const Path = "/etc/manifest"

// Entry is what one file must hold.
type Entry struct {
	Path string // absolute and clean
	Sum  uint64 // see Sum
}

// Sum returns the sum of the contents of a file.
func Sum(contents []byte) uint64 { return xxhash.Sum64(contents) }

// ErrMismatch says that a file does not hold what the manifest says.
var ErrMismatch = errors.New("contents differ from the manifest")

// Check compares the contents of the entry's file with the sum. The error wraps
// ErrMismatch if they are not as they must be.
func (e Entry) Check(contents []byte) error {
	if Sum(contents) != e.Sum {
		return fmt.Errorf("%s: %w", e.Path, ErrMismatch)
	}
	return nil
}

// seal begins the last line.
const seal = "# sealed with "

// Write writes the entries, one a line, and the seal.
func Write(w io.Writer, entries []Entry) error {
	var text []byte
	for _, e := range entries {
		if err := checkPath(e.Path); err != nil {
			return err
		}
		text = fmt.Appendf(text, "%016x  %s\n", e.Sum, e.Path[1:])
	}
	_, err := w.Write(fmt.Appendf(text, "%s%016x\n", seal, Sum(text)))
	return err
}

// maxEntries bounds how many entries Parse accepts, far above what an image
// with every module of a distribution has.
const maxEntries = 20000

// ErrDamaged says that a manifest is not as it was written.
var ErrDamaged = errors.New("the manifest itself is damaged")

// Parse reads what Write wrote. Its errors name the line.
func Parse(r io.Reader) ([]Entry, error) {
	var entries []Entry
	sum := xxhash.New()
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if sealed, ok := strings.CutPrefix(line, seal); ok {
			if sealed != fmt.Sprintf("%016x", sum.Sum64()) {
				return nil, fmt.Errorf("line %d: %w", n, ErrDamaged)
			}
			return entries, nil
		}
		fmt.Fprintln(sum, line)
		e, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w: %w", n, ErrDamaged, err)
		}
		if len(entries) == maxEntries {
			return nil, fmt.Errorf("line %d: more than %d files", n, maxEntries)
		}
		entries = append(entries, e)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: its last line is missing", ErrDamaged)
}

func parseLine(line string) (Entry, error) {
	text, name, ok := strings.Cut(line, "  ")
	sum, err := strconv.ParseUint(text, 16, 64)
	if !ok || err != nil || len(text) != 16 {
		return Entry{}, fmt.Errorf("%.80q is not a sum of 16 digits and a path", line)
	}
	e := Entry{Path: "/" + name, Sum: sum}
	return e, checkPath(e.Path)
}

// checkPath refuses paths that lead elsewhere, and those that xxhsum would
// write in a form of its own.
func checkPath(p string) error {
	if !path.IsAbs(p) || p == "/" || path.Clean(p) != p || strings.ContainsAny(p, "\\\n\r") {
		return fmt.Errorf("%.80q is not a clean path of a file", p)
	}
	return nil
}
