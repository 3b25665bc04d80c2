// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package capture is the capture run: what the capture kernel's user space does
// from its start to the reboot. PID 1 starts the process of the run, and another one
// if that is cut short (supervise.go). The run is a list of phases (phases.go, and
// targets.go for those of each target), carried out by one loop that gives each its
// deadline (run.go), and one way out (end.go), which reboots, whatever happened
// before.
//
// Targets are tried one after the other. Each gets the kernel log as soon as it
// is open, before any long transfer, then a whole dump; the first that has taken
// a dump is the last that is tried. If none has, and the dump was not to be one of
// the highest level, such a one is tried in what is left of the time.
//
// # What it leaves behind
//
// A directory on the target, named after the machine and the time of the crash
// in UTC, as VMCOREINFO has it:
//
//	/var/crash/127.0.0.1-2026-01-31-23:59:59/
//	    vmcore-dmesg.txt   the crashed kernel's log, saved first
//	    vmcore             the dump
//	    kdump.log          what the capture run did
//
// On vfat, whose names cannot have colons, the time is 23-59-59. If the
// directory is there already, "-2" is appended, and so on. A file whose name
// ends in "-incomplete" was not finished.
//
// Beside these directories, .ukdump-attempts has a line for each run that did
// not get to its end. A run that finds one from the last day saves a dump of
// level 31, one that finds two saves the log alone, and one that finds three
// saves nothing, so that whatever ends them is not met again and again. A dump
// that succeeds removes the file. In a machine with EFI firmware there are marks in
// a variable, too (firmware.go).
//
// # What it says on the console
//
// Every line goes through the kernel's log and reads
//
//	ukdump: start kernel=RELEASE memory=MiB available=MiB
//	ukdump: PHASE: done in 0.123s
//	ukdump: PHASE: failed after 0.123s: REASON
//	ukdump: PHASE: gave up after 30.000s: REASON
//	ukdump: PHASE: skipped: OTHER PHASE did not succeed
//	ukdump: PHASE: anything worth knowing
//	ukdump: result=ok dir=DIRECTORY level=31 bytes=12345678 unreadable=0 seconds=4.2 rss=23.4
//	ukdump: end action=reboot
//
// with one result line in each run, for machines to match. The phases are image,
// watchdog, config, core, vmcoreinfo (if the core's is damaged), modules and
// firmware; for each target device, mount, attempt, directory, dmesg, dump, unmark
// (if there is a dump), report and close; lastlog (if no target took the log),
// unmark firmware (if it has a mark) and shell (only if asked for). Where there is
// more than one target, "target: 1 of 2: …" begins each. Programs of the
// administrator's (hooks.go) are phases named after the key and the program, such
// as "kdump_pre /usr/local/sbin/pre.sh"; they come before the first target, and
// between the last one and its report. The result is that of the target that has
// most:
//
//	ok       the dump has every page it should, and the kernel log is saved
//	partial  something is saved: the log without the dump, the dump without the
//	         log, of a damaged log its texts, or a dump that lacks pages
//	failed   nothing is saved
//	refused  kdump_pre said that nothing is to be saved
//
// In the result line, dir is the path on the target, or "firmware" or "pstore" if
// the log is there alone (lastlog.go), level the dump level ("-" for both if there
// is none), bytes the size of the dump, unreadable how many pages should have been
// in it and could not be read, seconds the time since the start, and rss the
// largest resident size of the process in MiB.
//
// PID 1 itself says
//
//	ukdump: process: ended by SIGNAL or with status NUMBER: its last words
//
// if a process ends before its time.
package capture
