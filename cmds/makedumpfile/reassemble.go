// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package makedumpfile

import (
	"errors"
	"fmt"

	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/dump"
)

// reassemble makes one dump of parts.
func (a *applet) reassemble() error {
	last := len(a.Files) - 1
	var parts []*diskdump.Dump
	defer func() {
		for _, p := range parts {
			p.Close()
		}
	}()
	for _, path := range a.Files[:last] {
		p, err := diskdump.Open(path)
		if err != nil {
			return err
		}
		parts = append(parts, p)
	}
	set, err := diskdump.Join(parts)
	if err != nil {
		return err
	}
	out, err := a.create(a.Files[last])
	if err != nil {
		return err
	}
	defer out.abort()
	ctx, stop := interruptible()
	defer stop()
	stats, err := dump.Reassemble(ctx, out, set)
	if err == nil && stats.Incomplete() {
		err = fmt.Errorf("%w: pages are missing in the parts", dump.ErrIncomplete)
	}
	if errors.Is(err, dump.ErrIncomplete) {
		out.keep = true
		return fmt.Errorf("%w; what there is, is in %s", err, out.name())
	}
	if err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	a.print(a.messages, commonMessages, "\nThe dumpfile is saved to %s.\n", a.Files[last])
	return nil
}
