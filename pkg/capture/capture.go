// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"runtime/debug"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
)

// Run is the capture run, from the start of its process to the reboot. The arguments
// are those that Supervise starts it with. It returns only if this machine cannot be
// rebooted; its caller then has nothing left to do but to end the process with status
// 1. Check tells whether it may be called.
func Run(args []string) {
	m := captureKernel()
	before := parsePredecessors(args)
	r := newRun(m, &runLog{start: time.Now().Add(-before.took)})
	action := config.Reboot
	defer func() {
		// A bug in this package must not keep the machine from rebooting.
		if v := recover(); v != nil {
			r.log.printf("panic: %v: %s", v, debug.Stack())
		}
		r.finish(action)
	}()

	problems := prepare(m)
	r.log.openConsole(m.dev)
	r.log.printf("start kernel=%s memory=%d available=%d", m.release(),
		m.memInfo("MemTotal")>>20, m.memInfo("MemAvailable")>>20)
	for _, err := range problems {
		if err != nil {
			r.log.printf("start: %v", err)
		}
	}

	s := initial(m)
	if before.count > 0 {
		s.atMost = effort(before.count)
		r.log.giveUp("process: the one before this %s; trying %v", before.why, s.atMost)
	}
	s = r.carryOutAll(s)
	r.log.printf("%s", r.resultLine(s))
	action = s.action()
}

// carryOutAll is the whole run but for its start and the reboot.
func (r *run) carryOutAll(s state) state {
	s = r.carryOut(before(), s)
	s = r.carryOut(fencePhases(), s)
	s = r.runPreHook(s)
	s = r.tryTargets(s)
	s = r.runPostHooks(s)
	return r.carryOut(after(), s)
}

func newRun(m machine, log *runLog) *run {
	return &run{log: log, machine: m, succeeded: map[string]bool{}}
}
