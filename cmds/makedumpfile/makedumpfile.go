// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package makedumpfile is the applet that filters and compresses a core. Its
// command line, messages and exit statuses are those of the program of that
// name, so that it can take over where people have configured one.
package makedumpfile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/dump"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

const usage = `Usage:
  makedumpfile [-c|-p|-z] [-d LEVEL[,LEVEL...]] [OPTION...] VMCORE DUMPFILE
  makedumpfile --dump-dmesg [--partial-dmesg] VMCORE LOGFILE
  makedumpfile --mem-usage /proc/kcore

Writes the pages of VMCORE (/proc/vmcore or a copy of it) that are of use for
finding out why the kernel crashed to DUMPFILE, in the kdump-compressed format.
Until it is whole the dump is called DUMPFILE-incomplete.

  -c, -p, -z         compress pages with zlib, snappy or zstd
  -d LEVEL           leave out pages: the sum of
                        1  zero pages        8  memory of user processes
                        2  page cache       16  free pages
                        4  page cache, with private data, too
                     A second level is tried if the dump does not fit, and so on
  -e                 leave out the struct pages of pages that are left out
  -f                 overwrite DUMPFILE
  --num-threads N    filter and compress with N threads (all CPUs)
  --show-stats       print how many pages were left out, and why
  --json             print that for machines
  --dry-run          do everything but write
  --check-params     only see whether the options are right
  --dump-dmesg       write the kernel log instead
  --partial-dmesg    ... what came after it was last cleared
  --mem-usage        print instead how many pages a dump of the running kernel
                     would have of each kind (/proc/kcore), or of a saved core
  --message-level N  print 1 progress, 2 common, 4 error, 8 debug, 16 report
                     messages; the sum of them (7)
  --non-mmap         read VMCORE instead of mapping it
  -D, -h, -v         print debugging messages, this text, the version

  -b, --cyclic-buffer and --work-dir are accepted and have no effect: there is
  no cache to size, no second pass and no bitmap file.

Exit status:
  0  done
  1  failed, or the dump is incomplete and keeps that name
`

// Levels of messages, as bits of --message-level.
const (
	progressMessages = 1
	commonMessages   = 2
	errorMessages    = 4
	debugMessages    = 8
	reportMessages   = 16
)

// Run runs the applet.
func Run(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	cmd, err := collector.ParseCommand(args)
	if err != nil {
		fmt.Fprintf(stderr, "makedumpfile: %v (makedumpfile -h tells more)\n", err)
		return 1
	}
	a := &applet{Command: cmd, stdout: stdout, stderr: stderr}
	switch {
	case cmd.Help:
		fmt.Fprint(stdout, usage)
		return 0
	case cmd.Version:
		fmt.Fprint(stdout, "makedumpfile of ukdump\nlzo\tdisabled\nsnappy\tenabled\nzstd\tenabled\n")
		return 0
	}
	if err := a.run(); err != nil {
		a.print(stderr, errorMessages, "makedumpfile: %v\n", err)
		a.print(stdout, commonMessages, "\nmakedumpfile Failed.\n")
		return 1
	}
	if !cmd.CheckParams && !cmd.JSON && !cmd.MemUsage {
		a.print(stdout, commonMessages, "\nmakedumpfile Completed.\n")
	}
	return 0
}

// applet is one run.
type applet struct {
	*collector.Command
	stdout, stderr io.Writer
}

// print writes a message if --message-level asks for its kind.
func (a *applet) print(w io.Writer, kind int, format string, args ...any) {
	if a.MessageLevel&kind != 0 || kind == debugMessages && a.Debug {
		fmt.Fprintf(w, format, args...)
	}
}

func (a *applet) run() error {
	if err := a.checkFiles(); err != nil {
		return err
	}
	for _, name := range a.NoEffect {
		a.print(a.stderr, debugMessages, "option %s has no effect\n", name)
	}
	if a.CheckParams {
		return nil
	}
	core, err := vmcore.Open(a.Files[0])
	if err != nil {
		return err
	}
	defer core.Close()
	switch {
	case a.DumpDmesg:
		return a.dumpDmesg(core)
	case a.MemUsage:
		return a.memUsage(core)
	}
	return a.dump(core)
}

// checkFiles checks how many file names there are.
func (a *applet) checkFiles() error {
	n := len(a.Files)
	switch {
	case a.CheckParams:
		return nil
	case a.MemUsage:
		if n != 1 {
			return fmt.Errorf("got %d file names, want one: what to read", n)
		}
	case n != 2 && !(a.DryRun && n == 1):
		return fmt.Errorf("got %d file names, want two: what to read and what to write", n)
	}
	return nil
}

// warner returns a function that prints warnings between lines of progress.
func (a *applet) warner(p *progress) func(string) {
	return func(line string) {
		p.clear()
		a.print(a.stderr, commonMessages, "makedumpfile: %s\n", line)
	}
}

// dump writes a dump. An incomplete one keeps the name that says so.
func (a *applet) dump(core *vmcore.Core) error {
	out, err := a.create()
	if err != nil {
		return err
	}
	defer out.abort()
	// An interrupted dump is still one that can be opened.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	progress := newProgress(a.stderr, a.MessageLevel&progressMessages != 0)
	a.Progress, a.Warn = progress.update, a.warner(progress)
	report, err := collector.Save(ctx, core, out, a.Options)
	progress.finish()
	switch {
	case errors.Is(err, dump.ErrIncomplete):
		out.keep = true
	case err != nil:
		return err
	}
	a.report(report)
	if err == nil && report.Incomplete() {
		err = fmt.Errorf("%w: %d pages cannot be read", dump.ErrIncomplete, report.Unreadable)
		out.keep = true
	}
	if err != nil {
		return fmt.Errorf("%w; what there is, is in %s", err, out.name())
	}
	if err := out.commit(); err != nil {
		return err
	}
	if !a.DryRun && !a.JSON {
		a.print(a.stdout, commonMessages, "\nThe dumpfile is saved to %s.\n", a.Files[1])
	}
	return nil
}
