// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

// A run that may not get to its end leaves a mark on the target before it writes
// anything else, and takes it back when it has done what it set out to do. So a
// run that finds marks comes after runs that were cut short, by a second crash,
// a watchdog or a deadline: what they did is not to be tried again and again.

// effort is how much a run tries.
type effort int

const (
	everything  effort = iota
	smallerDump        // the dump at the highest level
	logOnly            // the kernel log, and no dump
	nothing            // no file at all
)

func (e effort) String() string {
	switch e {
	case everything:
		return "everything"
	case smallerDump:
		return "the kernel log and a dump of the highest level"
	case logOnly:
		return "the kernel log alone"
	}
	return "nothing but to reboot"
}

const (
	// attemptsNote is where the marks are, beside the directories of the dumps.
	attemptsNote = ".ukdump-attempts"
	attemptsHead = "# Runs that did not save what they were to save. The next one tries less; after a day they do not count.\n"
	// attemptsFor is how long a mark counts: longer than machines that crash at
	// every boot take from one to the next, and no longer than until somebody
	// looks. Clocks may be wrong in either direction.
	attemptsFor = 24 * time.Hour
	// maxAttempts is how many marks are kept; less than nothing cannot be tried.
	maxAttempts = int(nothing)
)

// parseAttempts returns the marks that count at the time now, the oldest first.
func parseAttempts(note []byte, now time.Time) []time.Time {
	var marks []time.Time
	for line := range strings.Lines(string(note)) {
		mark, err := time.Parse(time.RFC3339, strings.TrimSpace(line))
		if err == nil && mark.Sub(now).Abs() < attemptsFor {
			marks = append(marks, mark)
		}
	}
	return marks[max(0, len(marks)-maxAttempts):]
}

// formatAttempts returns the note with the marks; nothing if there are none.
func formatAttempts(marks []time.Time) []byte {
	if len(marks) == 0 {
		return nil
	}
	note := []byte(attemptsHead)
	for _, mark := range marks {
		note = mark.UTC().AppendFormat(note, time.RFC3339)
		note = append(note, '\n')
	}
	return note
}

// markAttempt reads the marks that earlier runs have left on the target, decides
// how much this one tries there, and adds its own. A target that takes no mark may
// still take a dump.
func markAttempt(_ context.Context, r *run, s state) (state, error) {
	s.effort = max(effort(len(s.cutShort)), s.atMost)
	if s.smaller {
		s.effort = max(s.effort, smallerDump)
	}
	notes, ok := s.store.(target.Notebook)
	if !ok {
		return s, nil
	}
	note, err := notes.ReadNote(attemptsNote)
	if err != nil {
		r.log.printf("attempt: %v", err)
	}
	now := crashTime(s.core).Truncate(time.Second)
	// This run may have been here before.
	s.attempts = slices.DeleteFunc(parseAttempts(note, now), now.Equal)
	s.effort = max(s.effort, effort(len(s.attempts)))
	if len(s.attempts) > 0 {
		r.log.printf("attempt: %d runs since %s did not get to their end; trying %v",
			len(s.attempts), s.attempts[0].Format(time.RFC3339), s.effort)
	}
	if s.effort == nothing {
		return s, nil
	}
	if err := notes.WriteNote(attemptsNote, formatAttempts(append(s.attempts, now))); err != nil {
		r.log.printf("attempt: no mark could be left: %v", err)
	}
	return s, nil
}

// succeeded reports whether the run has done on the target what it set out to do.
func (t site) succeeded() bool {
	if t.effort == logOnly {
		return t.dmesg
	}
	return t.saved()
}

// unmarkAttempt takes this run's mark back. A dump takes back those before as
// well; a log alone leaves them, so that the next run does not try more again.
func unmarkAttempt(_ context.Context, _ *run, s state) (state, error) {
	notes, ok := s.store.(target.Notebook)
	if !ok {
		return s, nil
	}
	before := s.attempts
	if s.effort < logOnly {
		before = nil
	}
	if err := notes.WriteNote(attemptsNote, formatAttempts(before)); err != nil {
		return s, fmt.Errorf("the mark of this run stays: %w", err)
	}
	return s, nil
}
