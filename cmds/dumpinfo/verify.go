// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dumpinfo

import (
	"context"
	"errors"
	"fmt"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// maxFindings is how many findings are listed one by one.
const maxFindings = 1000

// report collects findings.
type report struct {
	findings []string
	more     int
}

func (r *report) add(finding string) {
	if len(r.findings) < maxFindings {
		r.findings = append(r.findings, finding)
		return
	}
	r.more++
}

// findings returns what is wrong with core, which was opened from paths.
func findings(ctx context.Context, core *vmcore.Core, paths []string) ([]string, error) {
	var r report
	var err error
	switch s := core.Source.(type) {
	case *diskdump.Dump:
		err = s.Verify(ctx, r.add)
	case *diskdump.Set:
		err = verifySet(ctx, s, &r)
	default:
		err = verifyCore(ctx, core, &r)
	}
	if err != nil {
		return nil, err
	}
	if core.Format == "flattened" {
		if flat, err := diskdump.OpenFlat(paths[0]); err != nil {
			r.add(err.Error())
		} else {
			if !flat.Whole() {
				r.add("flattened file without its end mark (cut off?)")
			}
			flat.Close()
		}
	}
	if r.more > 0 {
		r.findings = append(r.findings, fmt.Sprintf("and %d more", r.more))
	}
	return r.findings, nil
}

func verifySet(ctx context.Context, set *diskdump.Set, r *report) error {
	for _, p := range set.Missing() {
		r.add(fmt.Sprintf("no part has page frames %#x to %#x", uint64(p.Start), uint64(p.End-1)))
	}
	for _, d := range set.Parts() {
		part := d.Meta().Part
		err := d.Verify(ctx, func(finding string) {
			r.add(fmt.Sprintf("part from page frame %#x: %s", uint64(part.Start), finding))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// verifyCore reads a core that is no kdump-compressed dump.
func verifyCore(ctx context.Context, core *vmcore.Core, r *report) error {
	if _, err := elfcore.ParseNotes(core.Notes(), core.Order()); err != nil {
		r.add(fmt.Sprintf("notes: %v", err))
	}
	pageSize := uint64(4096)
	switch {
	case core.Info != nil:
		pageSize = core.Info.PageSize()
	case !errors.Is(core.InfoErr, vmcore.ErrNoInfo):
		r.add(fmt.Sprintf("notes: %v", core.InfoErr))
	}
	if e, ok := core.Source.(*elfcore.Core); ok && e.Incomplete() {
		r.add("incomplete: the core lacks memory that it should have")
	}
	return readAll(ctx, core, pageSize, r)
}

// readAll reads every page that the core has.
func readAll(ctx context.Context, core *vmcore.Core, pageSize uint64, r *report) error {
	_, present := bitmaps(core, pageSize)
	shift := uint(bits.TrailingZeros64(pageSize))
	page := make([]byte, pageSize)
	for run := present.NextRun(0); run.Len() > 0; run = present.NextRun(run.End) {
		for pfn := run.Start; pfn < run.End; pfn++ {
			if pfn%1024 == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
			if err := core.ReadPhys(page, pfn.Phys(shift)); err != nil && !errors.Is(err, mem.ErrExcluded) {
				r.add(fmt.Sprintf("page frame %#x: %v", uint64(pfn), err))
			}
		}
	}
	return nil
}
