// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/ukdump/ukdump/pkg/efivar"
)

// Where the machine's firmware has room for a few variables, a run leaves its mark
// there, too (see attempts.go): targets may not take marks, and may not be reached.

const (
	// efivars is where the variables are, below the mount point of sysfs. The
	// kernel has the directory if the firmware can be asked while it runs.
	efivars = "firmware/efi/efivars"
	// attemptsVar is the variable with the marks.
	attemptsVar = "UkdumpAttempts"
)

func markedFirmware(s state) bool { return s.marked }

// openFirmware opens the variables of the machine's firmware, if it has any, reads
// the marks of earlier runs and adds that of this one.
func openFirmware(_ context.Context, r *run, s state) (state, error) {
	if !r.machine.ours {
		return s, nil
	}
	dir := filepath.Join(r.machine.sys, efivars)
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err := mountPseudo("efivarfs", dir); err != nil {
		return s, err
	}
	vars, err := efivar.Open(dir)
	if err != nil {
		return s, err
	}
	note, err := vars.Read(attemptsVar)
	if err != nil {
		r.log.printf("firmware: %v", err)
	}
	now := crashTime(s.core).Truncate(time.Second)
	s.vars, s.cutShort = vars, slices.DeleteFunc(parseAttempts(note, now), now.Equal)
	s.effort = effort(len(s.cutShort))
	if len(s.cutShort) > 0 {
		r.log.printf("firmware: %d runs since %s did not get to their end; trying %v",
			len(s.cutShort), s.cutShort[0].Format(time.RFC3339), s.effort)
	}
	if s.effort == nothing {
		return s, nil
	}
	err = vars.Write(attemptsVar, formatAttempts(append(s.cutShort, now)))
	if err != nil {
		r.log.printf("firmware: no mark could be left: %v", err)
	}
	s.marked = err == nil
	return s, nil
}

// unmarkFirmware takes this run's mark back, unless a target has it, too, and for
// the same reason: what was begun there did not get to its end.
func unmarkFirmware(_ context.Context, _ *run, s state) (state, error) {
	best, before := s.outcome(), s.cutShort
	switch {
	case s.reached && !best.succeeded():
		return s, nil
	case best.saved():
		before = nil
	}
	if len(before) == 0 {
		return s, s.vars.Remove(attemptsVar)
	}
	return s, s.vars.Write(attemptsVar, formatAttempts(before))
}
