// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/target/file"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

func TestParseAttempts(t *testing.T) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, note string
		want       int
	}{
		{"none", "", 0},
		{"one", attemptsHead + "2026-01-31T11:00:00Z\n", 1},
		{"another zone, no line feed", "2026-01-31T23:00:00+12:00", 1},
		{"a clock that was ahead", "2026-02-01T11:00:00Z\n", 1},
		{"old", "2026-01-30T11:59:59Z\n2025-01-31T12:00:00Z\n1970-01-01T00:00:00Z\n", 0},
		{"far ahead", "2026-02-01T12:00:01Z\n9999-01-31T12:00:00Z\n", 0},
		{"damaged", "2026-01-31T11:00:00\n\x00\xff2026\n2026-01-31T11:00:00Z\n", 1},
		{"many", strings.Repeat("2026-01-31T11:00:00Z\n", 100), 3},
	} {
		if got := parseAttempts([]byte(test.note), now); len(got) != test.want {
			t.Errorf("%s: %v, want %d marks", test.name, got, test.want)
		}
	}
}

func FuzzParseAttempts(f *testing.F) {
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	f.Add(attemptsHead + "2026-01-31T11:00:00Z\n")
	f.Fuzz(func(t *testing.T, note string) {
		marks := parseAttempts([]byte(note), now)
		if len(marks) > maxAttempts {
			t.Fatalf("%d marks, want %d at the most", len(marks), maxAttempts)
		}
		again := parseAttempts(formatAttempts(marks), now)
		if !slices.EqualFunc(marks, again, func(a, b time.Time) bool { return a.Sub(b).Abs() < time.Second }) {
			t.Errorf("written and read again, %v are %v", marks, again)
		}
	})
}

// TestAttempts has runs one after the other on the same target, some of which
// succeed in what they try.
func TestAttempts(t *testing.T) {
	r, _ := testRun(machine{})
	mount := t.TempDir()
	for i, test := range []struct {
		want    effort
		succeed bool
	}{
		{everything, true},
		{everything, false},
		{smallerDump, true},
		{everything, false},
		{smallerDump, false},
		{logOnly, true},
		{logOnly, false},
		{nothing, false},
		{nothing, false},
	} {
		store, err := file.OpenStore(mount, "/dumps", nil)
		if err != nil {
			t.Fatal(err)
		}
		// A mark of the same crash is the run's own.
		s := initial(machine{})
		s.store, s.core = store, crashedAt(time.Now().Add(time.Duration(i)*time.Minute))
		s, err = markAttempt(t.Context(), r, s)
		if err != nil || s.effort != test.want {
			t.Fatalf("run %d: effort %v, %v, want %v", i, s.effort, err, test.want)
		}
		s.dmesg = test.succeed
		if test.succeed {
			s.dump.report = &collector.Report{Unreadable: 1}
		}
		if s.succeeded() != test.succeed {
			t.Fatalf("run %d: succeeded = %v, want %v", i, !test.succeed, test.succeed)
		}
		if test.succeed {
			if _, err := unmarkAttempt(t.Context(), r, s); err != nil {
				t.Fatal(err)
			}
		}
		store.Close()
	}
}

// TestUnreadableMarks must not keep a run from doing its work.
func TestUnreadableMarks(t *testing.T) {
	mount := t.TempDir()
	note := filepath.Join(mount, "dumps", attemptsNote)
	if err := os.MkdirAll(note, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := file.OpenStore(mount, "/dumps", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	r, console := testRun(machine{})
	s := initial(machine{})
	s.store = store
	s, err = markAttempt(t.Context(), r, s)
	if err != nil || s.effort != everything {
		t.Errorf("effort %v, %v, want everything", s.effort, err)
	}
	if got := strings.Count(console.String(), "attempt: "); got != 2 {
		t.Errorf("%d lines about it, want one of reading and one of writing:\n%s", got, console)
	}
}

// crashedAt returns a core that knows nothing but when its machine crashed.
func crashedAt(when time.Time) *vmcore.Core {
	info, err := vmcoreinfo.Parse(fmt.Appendf(nil, "OSRELEASE=6.1.0\nPAGESIZE=4096\nCRASHTIME=%d\n", when.Unix()))
	if err != nil {
		panic(err)
	}
	return &vmcore.Core{Info: info}
}

func TestLevels(t *testing.T) {
	for _, test := range []struct {
		asked  []int
		effort effort
		want   []int
	}{
		{nil, everything, []int{0, 31}},
		{[]int{17}, everything, []int{17, 31}},
		{[]int{1, 31}, everything, []int{1, 31}},
		{[]int{31}, everything, []int{31}},
		{[]int{17}, smallerDump, []int{31}},
	} {
		if got := levels(test.asked, test.effort); !slices.Equal(got, test.want) {
			t.Errorf("levels(%v, %v) = %v, want %v", test.asked, test.effort, got, test.want)
		}
	}
}
