// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/config"
)

// action returns what is to happen after the run.
func (s state) action() config.Action {
	if !s.refused && !s.outcome().dump.complete && s.config.FailureAction != config.Shell {
		return s.config.FailureAction
	}
	return s.config.FinalAction
}

// finish ends the run with the action. It returns only where nothing that reboots
// a machine works; if PID 1 ends then, the kernel panics, and reboots for that
// reason (see knobs). A watchdog resets it where not even that works.
func (r *run) finish(action config.Action) {
	const (
		syncTime   = 10 * time.Second
		actionTime = 20 * time.Second
		sysrqTime  = 10 * time.Second
	)
	r.feeder.Until(time.Now().Add(syncTime + actionTime + sysrqTime))
	r.log.printf("end action=%s", action)
	// What matters was synced before. A device that has died must not delay us.
	attempt(syncTime, unix.Sync)
	if action == config.Halt {
		attempt(syncTime, r.feeder.Disarm) // what is to stand still is not to be reset
	}
	attempt(actionTime, func() { unix.Reboot(rebootCommand(action)) })
	// Device drivers may hang in their shutdown; "b" does without them.
	r.log.printf("end: %s did not work within %v, trying sysrq-b", action, actionTime)
	attempt(sysrqTime, func() { os.WriteFile(r.machine.proc+"/sysrq-trigger", []byte("b"), 0) })
	r.log.printf("end: sysrq-b did not work either, trying a panic")
}

// attempt runs do and waits for it to end, but no longer than limit.
func attempt(limit time.Duration, do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		do()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// rebootCommand returns the argument of reboot(2) for the action.
func rebootCommand(action config.Action) int {
	switch action {
	case config.Halt:
		return unix.LINUX_REBOOT_CMD_HALT
	case config.PowerOff:
		return unix.LINUX_REBOOT_CMD_POWER_OFF
	}
	return unix.LINUX_REBOOT_CMD_RESTART
}
