// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// leastHeap is about what a dump needs, in bytes. A lower limit would not save memory,
// and have the garbage collector run all the time.
const leastHeap = 6 << 20

// prepare does what must come before everything else: from here on, an oops of
// the capture kernel reboots, and the console can be read. What it cannot do it
// returns, for the log; nothing of it is worth stopping for.
func prepare(m machine) []error {
	ignoreSignals()
	var errs []error
	for fsType, dir := range map[string]string{"proc": m.proc, "sysfs": m.sys, "devtmpfs": m.dev} {
		errs = append(errs, mountPseudo(fsType, dir))
	}
	for _, k := range knobs() {
		errs = append(errs, m.set(k))
	}
	errs = append(errs, m.showNotices())
	if os.Getenv("GOMEMLIMIT") == "" {
		// The other half is for the kernel: page cache, file systems, drivers.
		debug.SetMemoryLimit(max(m.memInfo("MemAvailable")/2, leastHeap))
	}
	return errs
}

// mountPseudo mounts one of the kernel's own file systems, unless it is.
func mountPseudo(fsType, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NOEXEC)
	if fsType != "devtmpfs" {
		flags |= unix.MS_NODEV
	}
	if err := unix.Mount(fsType, dir, fsType, flags, ""); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	return nil
}

// knob is a file below /proc/sys and the value it gets.
type knob struct{ name, value string }

// knobs returns the settings that make a broken capture kernel reboot instead
// of standing still. Kernels lack some of them.
func knobs() []knob {
	return []knob{
		{"kernel/panic", "5"}, // seconds until the reboot: time to read the console
		{"kernel/panic_on_oops", "1"},
		{"kernel/panic_on_warn", "0"}, // a warning is no reason to lose the dump
		{"kernel/softlockup_panic", "1"},
		{"kernel/hardlockup_panic", "1"},
		// Virtual machines stall for reasons outside of them: not at the first.
		{"kernel/max_rcu_stall_to_panic", "3"},
		{"kernel/panic_on_rcu_stall", "1"},
		// Nobody may be silenced: progress is written by user space.
		{"kernel/printk_devkmsg", "on"},
		// What goes through the page cache must not fill the little memory.
		{"vm/dirty_background_bytes", "4194304"},
		{"vm/dirty_bytes", "16777216"},
	}
}

// rebootIfHung has the kernel itself reboot if nothing else did by the time that
// the run must be over. Before that, tasks that hang may be those that the run
// has left behind.
func (m machine) rebootIfHung(deadline time.Duration) {
	seconds := int64((deadline + lastPhases) / time.Second)
	// Kernels without CONFIG_DETECT_HUNG_TASK have neither.
	m.set(knob{"kernel/hung_task_timeout_secs", strconv.FormatInt(seconds, 10)})
	m.set(knob{"kernel/hung_task_panic", "1"})
}

// set sets a knob, on a machine that is ours. One that this kernel does not have
// is no error.
func (m machine) set(k knob) error {
	if !m.ours {
		return nil
	}
	name := filepath.Join(m.proc, "sys", k.name)
	// The command line may have set one, and fixed it.
	if now, err := os.ReadFile(name); errors.Is(err, os.ErrNotExist) || err == nil && string(now) == k.value+"\n" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(k.value + "\n") // printk_devkmsg insists on the line feed
	return errors.Join(err, f.Close())
}

// showNotices has the console show notices, which our lines are, even if the
// kernel was booted with "quiet".
func (m machine) showNotices() error {
	const noticesToo = 6
	text, err := os.ReadFile(filepath.Join(m.proc, "sys/kernel/printk"))
	if err != nil {
		return err
	}
	level, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\t")
	if n, err := strconv.Atoi(level); err == nil && n >= noticesToo {
		return nil
	}
	return m.set(knob{"kernel/printk", strconv.Itoa(noticesToo)})
}
