// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kmod

import (
	"path"
	"strings"
)

// Aliases are shell patterns in the sense of fnmatch(3) without flags, in which
// "-" and "_" are one outside of brackets, and "/" is a character like others.
// path.Match differs from that in three points; the two functions below bring
// patterns and texts into a form where the difference is gone.

// globPattern converts a pattern of modules.alias for globMatch.
func globPattern(s string) string {
	return strings.ReplaceAll(globText(s), "[!", "[^")
}

// globText converts a modalias or a module name for globMatch.
func globText(s string) string {
	var b strings.Builder
	inBrackets := false
	for _, c := range []byte(s) {
		switch {
		case c == '[':
			inBrackets = true
		case c == ']':
			inBrackets = false
		case c == '-' && !inBrackets:
			c = '_'
		case c == '/':
			c = '\x01'
		}
		b.WriteByte(c)
	}
	return b.String()
}

// globMatch reports whether text matches pattern. A malformed pattern matches
// nothing.
func globMatch(pattern, text string) bool {
	ok, err := path.Match(pattern, text)
	return err == nil && ok
}
