// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build image

package main

import (
	"github.com/ukdump/ukdump/cmds/kdumpinit"
	"github.com/ukdump/ukdump/cmds/makedumpfile"
	"github.com/ukdump/ukdump/cmds/vmcoredmesg"
)

// applets is what a capture kernel needs: PID 1, and what helps in its rescue
// shell and costs next to nothing beside it. TestImageDeps guards what they
// draw in.
var applets = []applet{
	{"kdumpinit", "PID 1 of the capture kernel: save a dump, then reboot", kdumpinit.Run},
	{"makedumpfile", "filter and compress a core", makedumpfile.Run},
	{"vmcore-dmesg", "print the kernel log in a core", vmcoredmesg.Run},
}
