// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

func TestPredecessors(t *testing.T) {
	p := predecessors{2, 3*time.Second + 7, "ended by killed: all memory is gone; really"}
	if got := parsePredecessors(p.args()); got != p {
		t.Errorf("parsePredecessors(args()) = %+v, want %+v", got, p)
	}
	// What a kernel or a person may start the program with.
	for _, args := range [][]string{
		nil, {"quiet"}, {"1", "2"}, {"x", "1s", ""}, {"-1", "1s", ""}, {"4", "1s", ""},
		{"99999999999999999999", "1s", ""}, {"1", "-1s", ""}, {"1", "soon", ""}, {"1", "1s", "", ""},
	} {
		if got := parsePredecessors(args); got != (predecessors{}) {
			t.Errorf("parsePredecessors(%q) = %+v, want none", args, got)
		}
	}
}

func TestLastWords(t *testing.T) {
	for _, test := range []struct{ said, want string }{
		{"", ""},
		{"\n\n", ""},
		{"fatal error: out of memory\n\ngoroutine 1 [running]:\nmain.main()\n\t/main.go:1\n", "fatal error: out of memory; goroutine 1 [running]:; main.main()"},
		{"no end of line", "no end of line"},
		{strings.Repeat("x", 1<<20), strings.Repeat("x", 1024)},
	} {
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteString(test.said); err != nil {
			t.Fatal(err)
		}
		if got := lastWords(int(file.Fd())); got != test.want {
			t.Errorf("lastWords(%.30q) = %.80q, want %.80q", test.said, got, test.want)
		}
	}
}

// TestLess has a run that comes after others try less, whatever the target says.
func TestLess(t *testing.T) {
	for count, want := range []effort{everything, smallerDump, logOnly} {
		r, _ := testRun(machine{})
		s, err := markAttempt(t.Context(), r, state{site: site{store: noNotes{}}, atMost: effort(count)})
		if err != nil || s.effort != want {
			t.Errorf("after %d others: effort %v, error %v, want %v", count, s.effort, err, want)
		}
	}
}

// noNotes is a store that keeps no marks.
type noNotes struct{ target.Store }
