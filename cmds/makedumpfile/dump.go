// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package makedumpfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/dump"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// interruptible returns a context that ends when the user has had enough: an
// interrupted dump is still one that can be opened.
func interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
}

// dump writes a dump: to a file, to several, or flattened to standard output.
func (a *applet) dump(core *vmcore.Core) error {
	if a.Flatten {
		return a.flatten(core)
	}
	outs, err := a.createAll(a.Files[1:])
	defer outs.abort()
	if err != nil {
		return err
	}
	err = a.save(core, outs.writers(a.Limit))
	if errors.Is(err, dump.ErrIncomplete) {
		outs.keep()
		return fmt.Errorf("%w; what there is, is in %s", err, strings.Join(outs.names(), " and "))
	}
	if err != nil {
		return err
	}
	if err := outs.commit(); err != nil {
		return err
	}
	if !a.DryRun && !a.JSON {
		a.print(a.messages, commonMessages, "\nThe dumpfile is saved to %s.\n", strings.Join(a.Files[1:], " and "))
	}
	return nil
}

// save makes the dump and reports what it is. The error wraps
// dump.ErrIncomplete whenever pages are missing.
func (a *applet) save(core *vmcore.Core, outs []io.WriterAt) error {
	ctx, stop := interruptible()
	defer stop()
	progress := newProgress(a.stderr, a.MessageLevel&progressMessages != 0)
	a.Progress, a.Warn = progress.update, a.warner(progress)
	report, err := collector.SaveSplit(ctx, core, outs, a.Options)
	progress.finish()
	if report != nil {
		a.report(report)
	}
	if err == nil && report.Incomplete() {
		err = fmt.Errorf("%w: %d pages cannot be read", dump.ErrIncomplete, report.Unreadable)
	}
	return err
}

// flatten writes a dump to standard output. The stream is ended properly only
// behind a dump that can be opened.
func (a *applet) flatten(core *vmcore.Core) error {
	out, err := diskdump.NewFlatWriter(a.stdout)
	if err != nil {
		return err
	}
	err = a.save(core, []io.WriterAt{limited(out, a.Limit)})
	if err != nil && !errors.Is(err, dump.ErrIncomplete) {
		return err
	}
	return errors.Join(err, out.Close())
}

// rearrange makes a file of the flattened form on standard input.
func (a *applet) rearrange() error {
	out, err := a.create(a.Files[0])
	if err != nil {
		return err
	}
	defer out.abort()
	if err := diskdump.Unflatten(out, a.stdin); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	if err := out.commit(); err != nil {
		return err
	}
	a.print(a.messages, commonMessages, "\nThe dumpfile is saved to %s.\n", a.Files[0])
	return nil
}
