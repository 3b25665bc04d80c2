// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package kdumpinit is the applet kdumpinit: PID 1 of the capture kernel.
package kdumpinit

import (
	"fmt"
	"io"
	"os"

	"github.com/ukdump/ukdump/pkg/capture"
)

const help = `usage: kdumpinit

Saves the log and the memory of the crashed kernel, and reboots. It is the
/init of the image that "kdumpctl build" makes: the capture kernel starts it
as PID 1 after a crash. Anywhere else it refuses to run.

It reads /etc/kdump.conf in the image. On the capture kernel's command line,
kdump.KEY=VALUE replaces the value of a key, for example

  kdump.path=/crash
  "kdump.core_collector=makedumpfile -z -d 17"
  kdump.failure_action=shell

It saves, in a directory named 127.0.0.1-YYYY-MM-DD-HH:MM:SS after the time of
the crash in UTC:

  vmcore-dmesg.txt   the crashed kernel's log, first of all
  vmcore             the dump
  kdump.log          what was done, how long it took, and what went wrong

Every step has a deadline, and the machine reboots whatever happens. The last
lines on the console tell what came of it:

  ukdump: result=ok dir=/var/crash/127.0.0.1-2026-01-31-23:59:59 level=31 …
  ukdump: end action=reboot
`

// Run runs the applet. It returns a status only where it refuses to run, or
// where the machine cannot be rebooted.
func Run(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		io.WriteString(stdout, help)
		return 0
	}
	if err := capture.Check(); err != nil {
		fmt.Fprintf(stderr, "kdumpinit: %v\n", err)
		return 1
	}
	if os.Getpid() == 1 {
		// The kernel passes on what it did not understand of its command line, so
		// arguments mean nothing here.
		capture.Supervise()
	} else {
		capture.Run(args)
	}
	return 1
}
