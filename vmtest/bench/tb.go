// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// skipped is the reason why something was left out.
type skipped string

func (s skipped) Error() string { return string(s) }

// tb lets the packages that start servers for tests start them here. What they do
// not call, it does not have.
type tb struct {
	testing.TB
	cleanups []func()
	failure  error
}

// ended is what ends a function that gets a tb.
type ended struct{}

// withTB calls f and cleans up after it. It returns what f has failed with, or that
// it was skipped.
func withTB(f func(t testing.TB)) error {
	t := &tb{}
	defer func() {
		for _, cleanup := range slices.Backward(t.cleanups) {
			cleanup()
		}
	}()
	t.call(f)
	return t.failure
}

// call returns when f does, or when that has ended itself.
func (t *tb) call(f func(t testing.TB)) {
	defer func() {
		if p := recover(); p != nil && p != (ended{}) {
			panic(p)
		}
	}()
	f(t)
}

func (t *tb) end(err error) {
	t.failure = err
	panic(ended{})
}

func words(args []any) string { return strings.TrimSpace(fmt.Sprintln(args...)) }

func (t *tb) Helper()                           {}
func (t *tb) Logf(string, ...any)               {}
func (t *tb) Failed() bool                      { return t.failure != nil }
func (t *tb) Cleanup(f func())                  { t.cleanups = append(t.cleanups, f) }
func (t *tb) Fatal(args ...any)                 { t.end(errors.New(words(args))) }
func (t *tb) Fatalf(format string, args ...any) { t.end(fmt.Errorf(format, args...)) }
func (t *tb) Skip(args ...any)                  { t.end(skipped(words(args))) }
func (t *tb) Skipf(format string, args ...any)  { t.end(skipped(fmt.Sprintf(format, args...))) }

func (t *tb) TempDir() string {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
