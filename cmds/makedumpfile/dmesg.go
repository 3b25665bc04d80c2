// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package makedumpfile

import (
	"fmt"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/printk"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// dumpDmesg writes the kernel log of core.
func (a *applet) dumpDmesg(core *vmcore.Core) error {
	space, err := addrxlat.New(core)
	if err != nil {
		return fmt.Errorf("%s: %w", core.Path, err)
	}
	out, err := a.create(a.Files[1])
	if err != nil {
		return err
	}
	defer out.abort()
	// The callers are there because makedumpfile prints them since 1.7.5.
	opts := printk.Options{Caller: true, SinceClear: a.PartialDmesg}
	kernel := kstruct.New(core.Info, space, core.Order())
	stats, err := printk.Write(out, kernel, space, core.Order(), opts)
	if err != nil {
		return fmt.Errorf("%s: %w", core.Path, err)
	}
	if lost := stats.String(); lost != "" {
		a.print(a.stderr, commonMessages, "makedumpfile: the log is not whole: %s\n", lost)
	}
	if err := out.commit(); err != nil {
		return err
	}
	if !a.DryRun {
		a.print(a.messages, commonMessages, "\nThe dmesg log is saved to %s.\n", a.Files[1])
	}
	return nil
}
