// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import "testing"

// TestLastWords has several ends of machines, in the words of Linux 6.1.
func TestLastWords(t *testing.T) {
	const (
		crash    = "[   20.448660] Kernel panic - not syncing: sysrq triggered crash"
		deadlock = "[    1.148218] Kernel panic - not syncing: System is deadlocked on memory"
		end      = "[    0.941956] ---[ end Kernel panic - not syncing: System is deadlocked on memory ]---"
		start    = "[    1.746195] Run /init as init process"
		killed   = "[    3.120000] Out of memory: Killed process 81 (makedumpfile) total-vm:9000kB, anon-rss:1000kB"
		reboot   = "[    4.407148] reboot: Restarting system"
	)
	const noInit = "the capture kernel did not get to PID 1"
	for _, test := range []struct {
		lines []string
		want  string
	}{
		{nil, "the machine did not crash"},
		{[]string{crash}, noInit},
		{[]string{crash, deadlock}, noInit + ": Kernel panic - not syncing: System is deadlocked on memory"},
		{[]string{crash, end}, noInit + ": Kernel panic - not syncing: System is deadlocked on memory"},
		{[]string{crash, start}, "the capture kernel did not get from PID 1 to its reboot"},
		{[]string{crash, start, killed, reboot}, "the capture kernel rebooted: Out of memory: Killed process 81 (makedumpfile)"},
	} {
		c := &Console{}
		for _, line := range test.lines {
			c.Lines = append(c.Lines, Line{Text: line})
		}
		if got := c.lastWords(); got != test.want {
			t.Errorf("last words of %q = %q, want %q", test.lines, got, test.want)
		}
	}
}
