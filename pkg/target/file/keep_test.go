// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package file

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/target"
)

// TestKeep has directories of all kinds beside the new dump.
func TestKeep(t *testing.T) {
	const whole, part = "vmcore vmcore-dmesg.txt kdump.log", "vmcore-incomplete vmcore-dmesg.txt kdump.log-incomplete"
	all := map[string]string{
		"m-2026-01-01-00:00:00":   whole,
		"m-2026-01-02-00:00:00":   part,
		"m-2026-01-03-00:00:00":   "vmcore.flat.age vmcore-dmesg.txt.age kdump.log.age",
		"m-2026-01-03-00:00:00-2": whole,
		"m-2026-01-04-00-00-00":   whole, // as on vfat
		"m-2026-01-05-00:00:00":   part,
		// Nobody else's, and nothing else.
		"other-2026-01-01-00:00:00":   whole,
		"m-2-2026-01-01-00:00:00":     whole,
		"m-2025-01-01-00:00:00":       whole + " notes.txt",
		"m-2025-01-02-00:00:00":       "vmcore/inside",
		"m-2025-13-01-00:00:00":       whole,
		"m-2025-01-01-00:00:00-1":     whole,
		"m-2025-01-01-00:00:00-x":     whole,
		"m-2025-01-01-00:00:00-00003": whole,
		"m-2025-01-01-00:00:00-+3":    whole,
		"m-2025-01-01-00:00:00-3.old": whole,
		"m-2025-01-03-00:00:00/sub":   "vmcore",
	}
	for _, test := range []struct {
		keep int
		want []string
	}{
		{1, []string{"m-2026-01-05-00:00:00", "m-2026-01-04-00-00-00", "m-2026-01-03-00:00:00-2", "m-2026-01-03-00:00:00", "m-2026-01-02-00:00:00", "m-2026-01-01-00:00:00"}},
		{2, []string{"m-2026-01-03-00:00:00-2", "m-2026-01-03-00:00:00", "m-2026-01-02-00:00:00", "m-2026-01-01-00:00:00"}},
		{4, []string{"m-2026-01-02-00:00:00", "m-2026-01-01-00:00:00"}},
		{5, nil},
		{9, nil},
	} {
		mount := t.TempDir()
		for dir, files := range all {
			for name := range strings.FieldsSeq(files) {
				file := filepath.Join(mount, dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		outside := t.TempDir()
		if err := os.WriteFile(outside+"/vmcore", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside, mount+"/m-2024-01-01-00:00:00"); err != nil {
			t.Fatal(err)
		}
		store, err := OpenStore(mount, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		// The clock of this crash was wrong, so that its dump looks like the oldest.
		dump, err := store.Make(t.Context(), "m-1970-01-01-00:00:00")
		if err != nil {
			t.Fatal(err)
		}
		f, err := dump.Create(t.Context(), "vmcore", 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		before := names(t, mount)
		removed, err := target.Keeper(store).Keep(t.Context(), "m-", test.keep)
		if err != nil || !slices.Equal(removed, test.want) {
			t.Errorf("Keep(%d) = %q, %v, want %q", test.keep, removed, err, test.want)
		}
		left := slices.DeleteFunc(before, func(name string) bool { return slices.Contains(test.want, name) })
		if got := names(t, mount); !slices.Equal(got, left) {
			t.Errorf("Keep(%d) left %q, want %q", test.keep, got, left)
		}
		if _, err := os.Stat(outside + "/vmcore"); err != nil {
			t.Errorf("Keep(%d) followed a link: %v", test.keep, err)
		}
		store.Close()
	}
}

// TestKeepEnds has no time left.
func TestKeepEnds(t *testing.T) {
	mount := t.TempDir()
	old := filepath.Join(mount, "m-2026-01-01-00:00:00")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := OpenStore(mount, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Make(t.Context(), "m-2026-01-02-00:00:00"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if removed, err := store.Keep(ctx, "m-", 1); err == nil || removed != nil {
		t.Errorf("Keep = %q, %v, want an error", removed, err)
	}
	if _, err := os.Stat(old); err != nil {
		t.Error(err)
	}
}

// names returns what is in the directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
