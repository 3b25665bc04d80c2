// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/efivar"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// before returns what the run does before it turns to the targets, in its order.
func before() []phase {
	return []phase{
		{name: "image", limit: within(10 * time.Second), do: checkImage},
		{name: "watchdog", limit: within(20 * time.Second), do: openWatchdogs},
		{name: "config", limit: within(10 * time.Second), do: readConfig},
		{name: "core", limit: within(30 * time.Second), do: openCore},
		{name: "vmcoreinfo", limit: within(2 * time.Minute), needs: []string{"core"}, when: lacksInfo, do: recoverInfo},
		{name: "modules", limit: within(time.Minute), do: loadModules},
		{name: "firmware", limit: within(20 * time.Second), do: openFirmware},
	}
}

// after returns what the run does when it is done with the targets.
func after() []phase {
	return slices.Concat(reporting(), []phase{
		{name: "lastlog", limit: within(30 * time.Second), when: wantsLastLog, last: true, do: saveLastLog},
		{name: "unmark firmware", limit: within(20 * time.Second), when: markedFirmware, last: true, do: unmarkFirmware},
		{name: "shell", limit: shellTimeout, when: wantsShell, last: true, do: openShell},
	}, leaving())
}

// lastPhases is how long the phases after the deadline take at most, but for a
// shell, and the end of the run with them.
const lastPhases = 3 * time.Minute

// state is what the run has found out so far.
type state struct {
	damaged  map[string]bool // files of the image
	config   *config.Config
	deadline time.Duration // of the run but for its last phases, since its start
	core     *vmcore.Core
	site          // the target under way
	best     site // of the targets before, the one that has most
	reached  bool // some target could be written to
	smaller  bool // try no dump but one of the highest level
	// atMost is what is to be tried after other processes of this run have ended
	// before their time.
	atMost  effort
	refused bool // kdump_pre says that nothing is to be saved
	// networkUp says that the network is up.
	networkUp bool

	vars     *efivar.Vars // of the firmware, nil if there are none
	cutShort []time.Time  // when runs failed, as the firmware knows
	marked   bool         // it knows of this run
	lastLog  string       // what keeps the kernel log where no target does
	// moved tells the supervisor that the phase under way gets on.
	moved func()
}

// initial returns what is known before the configuration is read.
func initial(m machine) state {
	return state{config: config.Default(), deadline: defaultDeadline(m)}
}

// defaultDeadline is 15 minutes and a minute for each 8 GiB that the crashed
// machine had, as far as that is known.
func defaultDeadline(m machine) time.Duration {
	const share = 8 << 30
	size := int64(0)
	if info, err := os.Stat(m.core); err == nil {
		size = info.Size()
	}
	return 15*time.Minute + time.Duration(size/share)*time.Minute
}

func deviceTimeout(s state) time.Duration { return s.config.DeviceTimeout }
func stallTimeout(s state) time.Duration  { return s.config.StallTimeout }

// readConfig reads the configuration that is packed into the image.
func readConfig(_ context.Context, r *run, s state) (state, error) {
	if err := s.parseConfig(r.machine.config); err != nil {
		r.log.printf("config: %v; going on with the defaults and the targets %v", err, s.config.Targets)
	}
	for _, err := range s.config.Override(r.machine.cmdline(), checks()) {
		r.log.printf("config: ignored: %v", err)
	}
	if s.config.Deadline != 0 {
		s.deadline = s.config.Deadline
	}
	r.machine.rebootIfHung(s.deadline + r.hooksTime(s.config))
	if len(s.config.Targets) == 0 {
		return s, errors.New("kdump.conf names no target, for example: ext4 UUID=…")
	}
	return s, nil
}

// parseConfig sets the configuration; after an error, to what is certain.
func (s *state) parseConfig(name string) error {
	text, err := os.ReadFile(name)
	if err == nil && s.damaged[name] {
		err = fmt.Errorf("%s is damaged", name)
	}
	if err != nil {
		s.config = config.Salvage(string(text))
		return err
	}
	parsed, err := config.Parse(name, string(text), checks())
	if err != nil {
		s.config = config.Salvage(string(text))
		return err
	}
	s.config = parsed
	return nil
}

// checks are those without which the defaults would be better than the
// configuration.
func checks() config.Checks {
	return config.Checks{Collector: func(args []string) error {
		_, err := collector.ParseArgs(args)
		return err
	}}
}

// thisYear is one that had begun when this was written: clocks that say less are wrong.
const thisYear = 2026

// openCore opens the crashed machine's memory.
func openCore(_ context.Context, r *run, s state) (state, error) {
	core, err := vmcore.Open(r.machine.core)
	if err != nil {
		return s, err
	}
	if core.Info != nil {
		r.log.printf("core: Linux %s, %s, crashed %s", core.Info.OSRelease(), core.Machine(),
			crashTime(core).Format(time.RFC3339))
		if crashTime(core).Year() < thisYear {
			r.log.giveUp("core: the crashed machine's clock was wrong")
		}
	}
	s.core = core
	return s, nil
}

func lacksInfo(s state) bool { return s.core != nil && collector.InfoDamaged(s.core) }

// recoverInfo looks for what the kernel says of itself in its memory, where the
// note about it is damaged. Without it there is no kernel log, and nothing can be
// left out of the dump.
func recoverInfo(ctx context.Context, r *run, s state) (state, error) {
	r.log.giveUp("vmcoreinfo: that of the core does not fit its memory: %v", s.core.InfoErr)
	core := *s.core // the other may still be in use when this is left behind
	if err := collector.RecoverInfo(ctx, &core); err != nil {
		return s, err
	}
	r.log.printf("vmcoreinfo: found in memory; Linux %s", core.Info.OSRelease())
	s.core = &core
	return s, nil
}

// crashTime returns when the machine crashed, in UTC; now, if it does not say.
func crashTime(core *vmcore.Core) time.Time {
	if core != nil && core.Info != nil && core.Info.CrashTime() > 0 {
		return time.Unix(core.Info.CrashTime(), 0).UTC()
	}
	return time.Now().UTC()
}

// maxReport is set aside on the target for kdump.log, in bytes, so that it can
// be written even if the dump fills the device.
const maxReport = 2 * maxLog

// makeDirectory makes the directory for the files of this run.
func makeDirectory(ctx context.Context, r *run, s state) (state, error) {
	dir, err := s.store.Make(ctx, directoryName(s.site, s.config.Machine, crashTime(s.core)))
	if err != nil {
		return s, err
	}
	s.dir, s.reached, s.inOrder = dir, true, s.Ordered()
	if keys := s.config.Encrypt; len(keys) > 0 {
		if s.dir, err = encrypted(dir, keys); err != nil {
			return s, err
		}
		s.inOrder = true
	}
	if free, err := dir.Free(ctx); err == nil {
		r.log.printf("directory: %v, %d MiB free", dir, free>>20)
	}
	if s.report, err = createReport(ctx, s.dir, maxReport); err != nil {
		r.log.printf("directory: no room is set aside for kdump.log: %v", err)
	}
	return s, nil
}

// directoryName names the directory as kdump-utils does for dumps to a local
// disk, but in UTC, which needs no time zone data and is never set back. Across
// the network the machine's name is in front.
func directoryName(t site, machine string, crashed time.Time) string {
	layout := "2006-01-02-15:04:05"
	if t.Kind == "vfat" || t.Ordered() { // no colons in names, and none in URLs
		layout = "2006-01-02-15-04-05"
	}
	return directoryPrefix(t, machine) + crashed.Format(layout)
}

// directoryPrefix is what such names begin with.
func directoryPrefix(t site, machine string) string {
	if !t.OverNetwork() || machine == "" {
		machine = "127.0.0.1"
	}
	return machine + "-"
}
