// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kmod

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// list makes a list of modules from "name" or "name:need,need".
func list(specs ...string) []Entry {
	var entries []Entry
	for _, spec := range specs {
		name, needs, _ := strings.Cut(spec, ":")
		e := Entry{Path: "/" + name + ".ko"}
		if needs != "" {
			e.Needs = strings.Split(needs, ",")
		}
		entries = append(entries, e)
	}
	return entries
}

func TestLoadOrder(t *testing.T) {
	entries := list("a", "b", "c:a,b", "d:c", "e", "f:e,d", "g", "h", "i", "j:a")
	var mu sync.Mutex
	var began []string
	finished := map[string]bool{}
	initModule := func(e Entry) error {
		mu.Lock()
		defer mu.Unlock()
		for _, need := range e.Needs {
			if !finished[need] {
				t.Errorf("%s began before %s was loaded", e.Name(), need)
			}
		}
		began = append(began, e.Name())
		finished[e.Name()] = true
		return nil
	}
	var reported []string
	load(t.Context(), entries, time.Minute, initModule, func(l Loaded) {
		if l.Err != nil {
			t.Errorf("%s: %v", l.Name(), l.Err)
		}
		reported = append(reported, l.Name())
	})
	want := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
	slices.Sort(began)
	slices.Sort(reported)
	if !slices.Equal(began, want) || !slices.Equal(reported, want) {
		t.Errorf("loaded %v, reported %v, want %v", began, reported, want)
	}
}

// TestLoadSideBySide has two modules that wait for each other.
func TestLoadSideBySide(t *testing.T) {
	a, b := make(chan struct{}), make(chan struct{})
	load(t.Context(), list("a", "b"), time.Minute, func(e Entry) error {
		switch e.Name() {
		case "a":
			close(a)
			<-b
		case "b":
			close(b)
			<-a
		}
		return nil
	}, func(l Loaded) {
		if l.Err != nil {
			t.Errorf("%s: %v", l.Name(), l.Err)
		}
	})
}

// TestLoadFailures has a module that fails, one that panics and one that never
// returns: they cost what needs them, and nothing else.
func TestLoadFailures(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	broken := errors.New("broken")
	got := map[string]error{}
	load(t.Context(), list("bad", "hangs", "panics", "good", "x:bad,good", "y:x", "z:hangs", "fine:good"), 50*time.Millisecond, func(e Entry) error {
		switch e.Name() {
		case "bad":
			return broken
		case "hangs":
			<-forever
		case "panics":
			panic("driver")
		}
		return nil
	}, func(l Loaded) { got[l.Name()] = l.Err })
	if len(got) != 8 || got["good"] != nil || got["fine"] != nil {
		t.Errorf("reports %v, want eight, and no error for good and fine", got)
	}
	if !errors.Is(got["bad"], broken) || !errors.Is(got["hangs"], ErrHung) {
		t.Errorf("bad: %v, hangs: %v, want %v, %v", got["bad"], got["hangs"], broken, ErrHung)
	}
	for name, want := range map[string]string{
		"panics": "panic: driver",
		"x":      "needs bad, which is not loaded",
		"y":      "needs x, which is not loaded",
		"z":      "needs hangs, which is not loaded",
	} {
		if got[name] == nil || got[name].Error() != want {
			t.Errorf("%s: %v, want %s", name, got[name], want)
		}
	}
}

func TestLoadEnds(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	ctx, cancel := context.WithCancel(t.Context())
	got := map[string]error{}
	load(ctx, list("a", "b", "c", "d", "e", "f", "g:a"), time.Hour, func(e Entry) error {
		cancel()
		<-forever
		return nil
	}, func(l Loaded) { got[l.Name()] = l.Err })
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		if !errors.Is(got[name], context.Canceled) {
			t.Errorf("%s: %v, want %v", name, got[name], context.Canceled)
		}
	}
	if got["g"] == nil {
		t.Error("g was loaded without a")
	}
}

// TestLoadRefused hands the kernel what it cannot take.
func TestLoadRefused(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text.ko")
	if err := os.WriteFile(text, []byte("no module"), 0o600); err != nil {
		t.Fatal(err)
	}
	entries := []Entry{{Path: text}, {Path: filepath.Join(t.TempDir(), "missing.ko")}}
	reports := 0
	Load(t.Context(), entries, time.Minute, func(l Loaded) {
		if l.Err == nil {
			t.Errorf("%s was loaded", l.Name())
		}
		reports++
	})
	if reports != len(entries) {
		t.Errorf("%d reports, want %d", reports, len(entries))
	}
}
