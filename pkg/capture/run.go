// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/ukdump/ukdump/pkg/watchdog"
)

// phase is one step of the run.
type phase struct {
	name string
	// needs are phases without whose success this one makes no sense.
	needs []string
	// limit says how long the phase may take; untilDeadline lets it use what is
	// left of the whole run's time. When the time is over, the phase is told to
	// end, and left behind if it did not within grace.
	limit func(state) time.Duration
	grace time.Duration // 0 means defaultGrace
	// stall, if not nil, says how long the phase may go without a call of
	// state.moved before its time counts as over.
	stall func(state) time.Duration
	// once says that what the phase has achieved holds for all targets.
	once bool
	// last marks the phases that finish the run. They have their time even if
	// the run's deadline is over.
	last bool
	// when, if not nil, says whether the phase is wanted at all.
	when func(state) bool
	// do carries the phase out. It gets a copy of what is known and returns it
	// with its own findings. So a phase that was left behind and comes back late
	// disturbs nobody.
	do func(context.Context, *run, state) (state, error)
}

const (
	// defaultGrace is enough to report why the time did not suffice.
	defaultGrace = 2 * time.Second
	// untilDeadline is longer than any run.
	untilDeadline = 1 << 62
)

// within is the limit of phases that always have the same.
func within(d time.Duration) func(state) time.Duration {
	return func(state) time.Duration { return d }
}

// errTime is why the context of a phase ends, errStall the other reason.
var (
	errTime  = errors.New("out of time")
	errStall = errors.New("nothing has moved")
)

// run is a capture run under way.
type run struct {
	log     *runLog
	machine machine
	// succeeded has the phases that did.
	succeeded map[string]bool
	// feeder feeds the watchdogs for as long as the run is within its times.
	feeder watchdog.Feeder
	// leastMemory is the least that was seen to be available, in bytes.
	leastMemory atomic.Int64
}

// noteMemory looks at how much memory is available.
func (r *run) noteMemory() {
	now := r.machine.memInfo("MemAvailable")
	for {
		least := r.leastMemory.Load()
		if least != 0 && least <= now || r.leastMemory.CompareAndSwap(least, now) {
			return
		}
	}
}

// carryOut carries out the phases one after the other and returns what came of
// them. It returns in bounded time, whatever the phases do.
func (r *run) carryOut(phases []phase, s state) state {
	for _, p := range phases {
		if p.when != nil && !p.when(s) {
			continue
		}
		if need := r.missing(p.needs); need != "" {
			r.log.giveUp("%s: skipped: %s did not succeed", p.name, need)
			continue
		}
		s = r.step(p, s)
	}
	return s
}

// end returns when the phases other than the last have to be over.
func (r *run) end(s state) time.Time {
	end := r.log.start.Add(s.deadline)
	if !s.until.IsZero() && s.until.Before(end) {
		return s.until
	}
	return end
}

// forget lets phases be carried out again.
func (r *run) forget(phases []phase) {
	for _, p := range phases {
		if !p.once {
			delete(r.succeeded, p.name)
		}
	}
}

// missing returns the first of the phases that did not succeed.
func (r *run) missing(needs []string) string {
	for _, need := range needs {
		if !r.succeeded[need] {
			return need
		}
	}
	return ""
}

// outcome is how a phase ended.
type outcome struct {
	state state
	err   error
}

// step carries out one phase, within its time.
func (r *run) step(p phase, s state) state {
	limit := p.limit(s)
	if !p.last {
		limit = min(limit, time.Until(r.end(s)))
	}
	limit = max(limit, 0)
	grace := p.grace
	if grace == 0 {
		grace = defaultGrace
	}
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, errTime)
	defer cancel()
	// The phase after this one prolongs it.
	feed := func(d time.Duration) { r.feeder.Until(time.Now().Add(d + grace + defaultGrace)) }
	patience := limit
	if p.stall != nil {
		patience = min(p.stall(s), limit)
	}
	feed(patience)
	s.moved = func() {}
	if patience < limit {
		ctx, s.moved = watch(ctx, patience, func() { feed(patience) })
	}

	outcomes := make(chan outcome, 1) // one that is left behind can still leave
	// It has a state of its own, as it may live longer than this function.
	go func(s state) {
		defer func() {
			if v := recover(); v != nil {
				outcomes <- outcome{s, fmt.Errorf("panic: %v\n%.1500s", v, debug.Stack())}
			}
		}()
		after, err := p.do(ctx, r, s)
		outcomes <- outcome{after, err}
	}(s)
	o, ended := await(ctx, outcomes, grace)
	if cause := context.Cause(ctx); o.err != nil && cause != nil && !errors.Is(o.err, cause) {
		o.err = fmt.Errorf("%w: %w", cause, o.err)
	}
	took := time.Since(began).Seconds()
	r.noteMemory()
	switch {
	case !ended:
		r.log.giveUp("%s: gave up after %.3fs: %v", p.name, took, context.Cause(ctx))
		s.hung = true
		return s
	case o.err != nil:
		o.state.hung = o.state.hung || errors.Is(context.Cause(ctx), errStall)
		r.log.giveUp("%s: failed after %.3fs: %v", p.name, took, o.err)
	default:
		r.log.printf("%s: done in %.3fs", p.name, took)
		r.succeeded[p.name] = true
	}
	return o.state
}

// await waits for the outcome of a phase, no longer than grace after the end of
// its context.
func await(ctx context.Context, outcomes <-chan outcome, grace time.Duration) (o outcome, ended bool) {
	select {
	case o = <-outcomes:
		return o, true
	case <-ctx.Done():
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case o = <-outcomes:
		return o, true
	case <-timer.C:
		return outcome{}, false
	}
}

// watch returns a context that ends when moved is not called for that long. Each
// call, but for those after the end, calls alive. It may be called often, and
// from several goroutines.
func watch(ctx context.Context, patience time.Duration, alive func()) (_ context.Context, moved func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(patience, func() { cancel(fmt.Errorf("%w for %v", errStall, patience)) })
	context.AfterFunc(ctx, func() { timer.Stop() })
	return ctx, func() {
		if ctx.Err() == nil {
			timer.Reset(patience)
			alive()
		}
	}
}
