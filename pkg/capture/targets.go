// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ukdump/ukdump/pkg/blockdev"
	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target"
)

// site is what a run knows of a target and has done there.
type site struct {
	config.Target
	number   int       // among the targets, from 0 on
	until    time.Time // when the target's time is over
	device   blockdev.Found
	store    target.Store
	attempts []time.Time // when runs failed, see attempts.go
	effort   effort
	dir      target.Target // the directory of this dump
	inOrder  bool          // its files can only be written from beginning to end
	report   target.File   // kdump.log
	dmesg    bool          // the kernel log is saved
	// textsOnly says that of a damaged log only the texts are.
	textsOnly bool
	dump      dumpResult
	// hung says that a phase was left behind, or that nothing moved in it: the target
	// may be dead.
	hung bool
}

// worth orders sites by what is saved there.
func (t site) worth() int {
	worth := 0
	if t.dmesg {
		worth = 1
	}
	if t.dmesg && !t.textsOnly {
		worth = 2
	}
	switch {
	case t.dump.complete:
		worth += 6
	case t.dump.report != nil:
		worth += 3
	}
	return worth
}

// tryTargets goes from target to target until one has taken the dump. If none has,
// all of them are tried once more with the smallest dump, in the time that is left.
func (r *run) tryTargets(s state) state {
	if s.refused || s.effort == nothing { // says kdump_pre, or the firmware
		return s
	}
	s = r.tryEach(s)
	if !s.worthAgain() {
		return s
	}
	r.log.printf("targets: none has taken the dump, trying again with one of level %d", highest)
	s.smaller = true
	return r.tryEach(s)
}

// worthAgain reports whether a second try may succeed: because the dump of the
// highest level is smaller than the one that was asked for, or because a server may
// be there again. A disk that has failed stays as it is.
func (s state) worthAgain() bool {
	opts, err := collector.ParseArgs(s.config.CoreCollector)
	if err != nil || !s.reached || s.core == nil || s.outcome().succeeded() || s.outcome().dump.report != nil {
		return false
	}
	return len(opts.Levels) == 0 || opts.Levels[0] != highest ||
		slices.ContainsFunc(s.config.Targets, config.Target.OverNetwork)
}

// tryEach goes from target to target until one has taken the dump or the time is
// over.
func (r *run) tryEach(s state) state {
	targets := s.config.Targets
	for i, t := range targets {
		left := time.Until(r.log.start.Add(s.deadline))
		if i > 0 && left <= 0 {
			break
		}
		s = r.carryOut(slices.Concat(reporting(), leaving()), s)
		s.best = s.outcome()
		s.site = site{Target: t, number: i, until: time.Now().Add(share(t, left, len(targets)-i))}
		if len(targets) > 1 {
			r.log.printf("target: %d of %d: %v, path %s, for at most %v", i+1, len(targets), t, t.Dir,
				time.Until(s.until).Round(time.Second))
		}
		phases := targetPhases(t)
		r.forget(phases)
		s = r.carryOut(phases, s)
		if s.saved() {
			break
		}
	}
	return s
}

// share returns how much of the time that is left the first of n targets gets:
// half, so that the next ones have theirs, or what is configured; the last one
// gets all.
func share(t config.Target, left time.Duration, n int) time.Duration {
	switch {
	case t.Timeout != 0:
		return min(t.Timeout, left)
	case n > 1:
		return left / 2
	}
	return left
}

// outcome returns the target that has most, the one under way or one before.
func (s state) outcome() site {
	if s.worth() >= s.best.worth() {
		return s.site
	}
	return s.best
}

// saved reports whether the dump is on the target. Pages that could not be read
// will not be readable for another one either.
func (t site) saved() bool { return t.dump.report != nil && t.dump.report.Unwritten == 0 }

// targetPhases returns what is done with a target, in this order. The kernel log
// is small and says most, so it is saved before the dump is begun.
func targetPhases(t config.Target) []phase {
	phases := openPhases(t)
	open := phases[len(phases)-1].name
	return append(phases, []phase{
		{name: "attempt", limit: within(time.Minute), needs: []string{open}, do: markAttempt},
		{name: "directory", limit: within(time.Minute), needs: []string{"attempt"}, when: wantsFiles, do: makeDirectory},
		{name: "dmesg", limit: within(time.Minute), needs: []string{"core", "directory"}, when: wantsFiles, do: saveDmesg},
		{name: "dump", limit: within(untilDeadline), grace: 15 * time.Second, stall: stallTimeout,
			needs: []string{"core", "directory"}, when: wantsDump, do: saveDump},
		{name: "unmark", limit: within(20 * time.Second), needs: []string{"directory"}, when: state.succeeded, last: true, do: unmarkAttempt},
		{name: "keep", limit: within(time.Minute), needs: []string{"directory"}, when: wantsKeep, do: removeOld},
	}...)
}

// reporting returns what is done when a target has all that it gets but for
// kdump.log.
func reporting() []phase {
	return []phase{{name: "report", limit: endTime, needs: []string{"directory"}, when: wantsReport, last: true, do: saveReport}}
}

// endTime bounds what ends with a target. One that has kept the run waiting already is
// not to do so once more, as the next one has less and less time.
func endTime(s state) time.Duration {
	if s.hung {
		return 5 * time.Second
	}
	return 20 * time.Second
}

func wantsReport(s state) bool { return hasStore(s) && wantsFiles(s) }

// leaving returns what is done before the next target, and in the end.
func leaving() []phase {
	return []phase{{name: "close", limit: endTime, when: hasStore, last: true, do: closeStore}}
}

func wantsKeep(s state) bool { return s.Keep > 0 && s.dump.complete }

// removeOld removes old dumps now that this one is saved.
func removeOld(ctx context.Context, r *run, s state) (state, error) {
	keeper, ok := s.store.(target.Keeper)
	if !ok {
		return s, errors.ErrUnsupported
	}
	removed, err := keeper.Keep(ctx, directoryPrefix(s.site, s.config.Machine), s.Keep)
	for _, name := range removed {
		r.log.printf("keep: removed %s", name)
	}
	return s, err
}

func hasStore(s state) bool { return s.store != nil }

// closeStore lets go of the target. What the run saved is durable before; a clean
// unmount spares the next boot the replay of a journal.
func closeStore(_ context.Context, _ *run, s state) (state, error) {
	store := s.store
	s.store = nil
	return s, store.Close()
}

func wantsFiles(s state) bool { return s.effort < nothing }
func wantsDump(s state) bool  { return s.effort < logOnly }
