// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package makedumpfile

import (
	"context"
	"fmt"

	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/kexec"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// memUsage prints how many pages of core are of which kind. It makes a dump at
// the highest level that goes nowhere, and looks at what was left out.
func (a *applet) memUsage(core *vmcore.Core) error {
	if core.Path == "/proc/kcore" {
		// What is reserved for the capture kernel is not in /proc/vmcore. A
		// machine that has reserved nothing yet can be asked, too.
		if status, err := kexec.ReadStatus(); err == nil {
			core.Source = without{core.Source, status.Ranges}
		}
	}
	progress := newProgress(a.stderr, a.MessageLevel&progressMessages != 0)
	opts := collector.Options{
		Levels: []int{pagefilter.LevelMax}, Codec: compress.None, Threads: a.Threads, NoMmap: a.NoMmap,
		Progress: progress.update, Warn: a.warner(progress),
	}
	report, err := collector.Save(context.Background(), core, &output{}, opts)
	progress.finish()
	if err != nil {
		return err
	}
	if a.JSON {
		a.reportJSON(report)
		return nil
	}
	a.print(a.stdout, commonMessages, "%s", usageTable(report))
	return nil
}

// usageTable is made like makedumpfile's table, for there are scripts that read
// that.
func usageTable(r *collector.Report) string {
	table := `
TYPE		PAGES			EXCLUDABLE	DESCRIPTION
----------------------------------------------------------------------
`
	left := r.RAM - r.Excluded.HWPoison - r.Excluded.Offline
	for _, row := range []struct {
		name        string
		pages       uint64
		description string
	}{
		{"ZERO\t", r.Zero, "Pages of zeros"},
		{"NON_PRI_CACHE", r.Excluded.Cache, "Page cache without private data"},
		{"PRI_CACHE", r.Excluded.CachePrivate, "Page cache with private data"},
		{"USER\t", r.Excluded.User, "Memory of user processes"},
		{"FREE\t", r.Excluded.Free, "Free pages"},
	} {
		table += fmt.Sprintf("%s\t%-16d\tyes\t\t%s\n", row.name, row.pages, row.description)
		left -= row.pages
	}
	table += fmt.Sprintf("KERN_DATA\t%-16d\tno\t\tWhat a dump has at level 31\n", left)
	return table + fmt.Sprintf("\npage size:\t\t%-16d\nTotal pages on system:\t%-16d\nTotal size on system:\t%-16d Byte\n",
		r.PageSize, r.RAM, r.RAM*uint64(r.PageSize))
}

// without is a core less some of its memory.
type without struct {
	vmcore.Source
	ranges []mem.PhysRange
}

func (w without) FillRAM(set *mem.Bitmap, shift uint) {
	w.Source.FillRAM(set, shift)
	w.clear(set, shift)
}

func (w without) FillPresent(set *mem.Bitmap, shift uint) {
	w.Source.FillPresent(set, shift)
	w.clear(set, shift)
}

func (w without) clear(set *mem.Bitmap, shift uint) {
	for _, r := range w.ranges {
		set.ClearRange(mem.PFNRange{Start: r.Start.PFN(shift), End: r.End.PFN(shift)})
	}
}
