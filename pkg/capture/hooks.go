// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/hook"
)

// runPreHook runs the programs that come before the targets.
func (r *run) runPreHook(s state) state {
	if s.effort == nothing {
		return s
	}
	return r.carryOut(r.hookPhases(s, s.config.PreHook(), false), s)
}

// runPostHooks runs the programs that come after the targets. The last target is
// still open for them.
func (r *run) runPostHooks(s state) state {
	if s.refused || s.effort == nothing {
		return s
	}
	status := "1"
	if s.outcome().dump.complete {
		status = "0"
	}
	s = r.carryOut(r.hookPhases(s, s.config.PostHook(), true, status), s)
	if status != "0" {
		s = r.carryOut(r.hookPhases(s, s.config.EmergencyHook(), true), s)
	}
	return s
}

// hookGrace is more than package hook takes after a program's time is over.
const hookGrace = 5 * time.Second

func hookTimeout(s state) time.Duration { return s.config.HookTimeout }

// hookPhases returns a phase for each program of the hook.
func (r *run) hookPhases(s state, h config.Hook, last bool, args ...string) []phase {
	var phases []phase
	for _, program := range r.programsOf(h) {
		name := h.Key + " " + program
		p := hook.Program{Path: r.machine.root + program, Args: args, Env: r.hookEnvironment(s)}
		phases = append(phases, phase{name: name, limit: hookTimeout, grace: hookGrace, last: last,
			do: func(ctx context.Context, r *run, s state) (state, error) {
				if s.damaged[p.Path] {
					return s, errors.New("it is damaged")
				}
				err := hook.Run(ctx, p, func(line string) { r.log.printf("%s: %s", name, line) })
				var status hook.Status
				if mayRefuse := h == s.config.PreHook() && program == h.Program; mayRefuse && errors.As(err, &status) {
					s.refused = true
					err = fmt.Errorf("%w: nothing is to be saved", err)
				}
				return s, err
			}})
	}
	return phases
}

// programsOf returns the paths of the hook's programs in the image, in the order in
// which they run.
func (r *run) programsOf(h config.Hook) []string {
	var programs []string
	entries, _ := os.ReadDir(r.machine.root + h.Dir) // it need not be there
	for _, e := range entries {
		programs = append(programs, path.Join(h.Dir, e.Name()))
	}
	switch {
	case h.Program == "":
	case h.DirFirst:
		programs = append(programs, h.Program)
	default:
		programs = append([]string{h.Program}, programs...)
	}
	return programs
}

// hooksTime is how long all programs may take.
func (r *run) hooksTime(c *config.Config) time.Duration {
	n := 0
	for _, h := range []config.Hook{c.PreHook(), c.PostHook(), c.EmergencyHook()} {
		n += len(r.programsOf(h))
	}
	return time.Duration(n) * (c.HookTimeout + hookGrace)
}

// hookEnvironment returns the environment of programs: where they find others, what
// came of the run and, if it is on a file system, the directory of the dump.
func (r *run) hookEnvironment(s state) []string {
	env := []string{
		"PATH=" + strings.Join(hook.Path(), ":") + ":/bbin", "HOME=/", "TERM=linux",
		"UKDUMP_RESULT=" + s.outcome().result(),
	}
	mounted := s.OnFilesystem() || s.Shared() || s.Kind == "nfs"
	if s.store != nil && s.dir != nil && mounted {
		env = append(env, "UKDUMP_DIR="+path.Join(r.mountPoint(s), s.dir.String()))
	}
	return env
}

func wantsFence(s state) bool { return len(s.config.FenceNodes) > 0 && s.effort < nothing }
