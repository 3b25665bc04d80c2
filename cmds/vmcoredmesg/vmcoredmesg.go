// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package vmcoredmesg is the applet vmcore-dmesg: it prints the crashed
// kernel's log, as the program of that name in kexec-tools does.
package vmcoredmesg

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/printk"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

const help = `usage: vmcore-dmesg [-caller] [-partial] VMCORE

Prints the log of the crashed kernel, oldest line first, as dmesg would have
printed it. VMCORE is /proc/vmcore in a capture kernel, or a core or dump that
was saved from it.

  -caller    say who logged each record: [T123] is the thread 123,
             [C1] processor 1 in interrupt context
  -partial   print only what was logged after the last "dmesg --clear"

The log is foreign text: bytes that are no printable ASCII are printed as \xNN.
Lines that are known to be missing are counted on standard error.

Examples:
  vmcore-dmesg /proc/vmcore > /mnt/vmcore-dmesg.txt
  vmcore-dmesg /var/crash/2026-05-04-10:20:30/vmcore | tail
`

// Run runs the applet and returns its exit status: 0 if the log was printed,
// even if parts of it are lost; 1 otherwise.
func Run(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	err := run(args, stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprint(stdout, help)
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "vmcore-dmesg: %v\n", err)
		return 1
	}
	return 0
}

func run(args []string, stdout, stderr io.Writer) error {
	var opt printk.Options
	flags := flag.NewFlagSet("vmcore-dmesg", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&opt.Caller, "caller", false, "")
	flags.BoolVar(&opt.SinceClear, "partial", false, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("name one core; -h explains")
	}
	return dmesg(flags.Arg(0), opt, stdout, stderr)
}

// dmesg prints the log of the core at path.
func dmesg(path string, opt printk.Options, stdout, stderr io.Writer) error {
	core, err := vmcore.Open(path)
	if err != nil {
		return err
	}
	defer core.Close()
	space, err := addrxlat.New(core)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	kernel := kstruct.New(core.Info, space, core.Order())
	stats, err := printk.Write(stdout, kernel, space, core.Order(), opt)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if lost := stats.String(); lost != "" {
		fmt.Fprintf(stderr, "vmcore-dmesg: %s: the log is not whole: %s\n", path, lost)
	}
	return nil
}
