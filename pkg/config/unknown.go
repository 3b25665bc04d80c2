// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"fmt"
	"slices"
)

// known refuses keys that are not understood, and says why if there is a
// reason.
func known(key string) error {
	if slices.Contains(keys(), key) {
		return nil
	}
	if reason := unsupported(key); reason != "" {
		return fmt.Errorf("key %q is not supported: %s", key, reason)
	}
	if near := nearest(key, keys()); near != "" {
		return fmt.Errorf("unknown key %q (did you mean %s?)", key, near)
	}
	return fmt.Errorf("unknown key %.60q", key)
}

// unsupported returns why a key that kdump-utils knows cannot be used here, or
// nothing.
func unsupported(key string) string {
	switch key {
	case "net", "options", "link_delay", "disk_timeout", "debug_mem_level", "blacklist":
		return "kdump-utils dropped it, too; remove the line"
	}
	return ""
}

// nearest returns the candidate that word is most likely a misspelling of, or
// nothing if none is near.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 3 // at most two wrong letters
	for _, c := range candidates {
		// Short words are all near each other.
		if d := editDistance(word, c); d < bestDistance && d < (len(c)+1)/2 {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance returns how many letters must be inserted, deleted or replaced to
// make b of a (Levenshtein's distance). Words are cut at 32 bytes.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), 32)], b[:min(len(b), 32)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
