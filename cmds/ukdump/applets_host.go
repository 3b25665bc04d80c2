// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package main

import (
	"github.com/ukdump/ukdump/cmds/dumpinfo"
	"github.com/ukdump/ukdump/cmds/kdumpctl"
	"github.com/ukdump/ukdump/cmds/kdumpinit"
	"github.com/ukdump/ukdump/cmds/kdumprecv"
	"github.com/ukdump/ukdump/cmds/makedumpfile"
	"github.com/ukdump/ukdump/cmds/vmcoredmesg"
)

// applets is everything that ukdump can do, in the order of its help.
var applets = []applet{
	{"dumpinfo", "say what is in a dump, and whether it is whole", dumpinfo.Run},
	{"kdumpctl", "build, arm and inspect the capture image", kdumpctl.Run},
	{"kdumpinit", "PID 1 of the capture kernel: save a dump, then reboot", kdumpinit.Run},
	{"kdumprecv", "receive dumps from a fleet of machines", kdumprecv.Run},
	{"makedumpfile", "filter and compress a core", makedumpfile.Run},
	{"vmcore-dmesg", "print the kernel log in a core", vmcoredmesg.Run},
}
