// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/watchdog"
)

// watchdogTimeout is how long watchdogs wait, if they can. The feeder needs the
// CPU for a moment only; what keeps it from all CPUs for longer than that, the
// kernel itself takes for a lockup after 20 seconds.
const watchdogTimeout = time.Minute

// softWatchdog is the driver that makes a watchdog of a timer, for machines that
// have no other.
const softWatchdog = "softdog"

// openWatchdogs loads the drivers of watchdogs and opens what there is then.
func openWatchdogs(ctx context.Context, r *run, s state) (state, error) {
	r.takeWatchdogs() // those whose drivers are built in
	list, err := r.readList(s, r.machine.earlyModules)
	if err != nil {
		return s, err
	}
	var soft []kmod.Entry
	list = slices.DeleteFunc(list, func(e kmod.Entry) bool {
		isSoft := e.Name() == softWatchdog
		if isSoft {
			soft = []kmod.Entry{{Path: e.Path}} // what it needs is in the rest of the list
		}
		return isSoft
	})
	err = r.load(ctx, list)
	r.takeWatchdogs()
	if r.feeder.Empty() {
		err = errors.Join(err, r.load(ctx, soft))
		r.takeWatchdogs()
	}
	if r.feeder.Empty() {
		r.log.printf("watchdog: there is none")
	}
	return s, err
}

// takeWatchdogs opens the watchdogs that are not open yet.
func (r *run) takeWatchdogs() {
	if !r.machine.ours {
		return
	}
	warn := func(err error) { r.log.printf("watchdog: %v", err) }
	for _, d := range watchdog.OpenAll(r.machine.sys, r.machine.dev, watchdogTimeout, warn) {
		r.log.printf("watchdog: %v", d)
		r.feeder.Add(d)
	}
}
