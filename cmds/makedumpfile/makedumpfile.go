// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package makedumpfile is the applet that filters and compresses a core. Its
// command line, messages and exit statuses are those of the program of that
// name, so that it can take over where people have configured one.
package makedumpfile

import (
	"fmt"
	"io"

	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

const usage = `Usage:
  makedumpfile [-c|-l|-p|-z|-E] [-d LEVEL[,LEVEL...]] [OPTION...] VMCORE DUMPFILE
  makedumpfile -F [OPTION...] VMCORE > FLATFILE
  makedumpfile -R DUMPFILE < FLATFILE
  makedumpfile --split [OPTION...] VMCORE PART PART...
  makedumpfile --reassemble PART PART... DUMPFILE
  makedumpfile --dump-dmesg [--partial-dmesg] VMCORE LOGFILE
  makedumpfile --mem-usage /proc/kcore
  makedumpfile -g VMCOREINFO -x VMLINUX

Writes the pages of VMCORE (/proc/vmcore or a copy of it) that are of use for
finding out why the kernel crashed to DUMPFILE, in the kdump-compressed format.
Until it is whole the dump is called DUMPFILE-incomplete.

  -c, -l, -p, -z     compress pages with zlib, LZO, snappy or zstd
  -E                 write an ELF core
  -F                 write the flattened form, for pipes, to standard output
  -R                 make a file of the flattened form on standard input
  --split            write parts of about the same size, all at the same time
  --reassemble       make one dump of the parts
  -d LEVEL           leave out pages: the sum of
                        1  zero pages        8  memory of user processes
                        2  page cache       16  free pages
                        4  page cache, with private data, too
                     A second level is tried if the dump does not fit, and so on
  -e                 leave out the struct pages of pages that are left out
  -f                 overwrite DUMPFILE
  -L SIZE            end the dump, incomplete, when it has SIZE bytes
  --num-threads N    filter and compress with N threads (all CPUs)
  --show-stats       print how many pages were left out, and why
  --json             print that for machines
  --dry-run          do everything but write
  --check-params     only see whether the options are right
  --dump-dmesg       write the kernel log instead
  --partial-dmesg    ... what came after it was last cleared
  --mem-usage        print instead how many pages a dump of the running kernel
                     would have of each kind (/proc/kcore), or of a saved core
  -x VMLINUX         read what VMCORE does not say of its kernel from the kernel's
                     ELF file: its symbol table and .BTF
  -i VMCOREINFO      read that from a file made with -g
  -g VMCOREINFO      write that file
  --message-level N  print 1 progress, 2 common, 4 error, 8 debug, 16 report
                     messages; the sum of them (7)
  --non-mmap         read VMCORE instead of mapping it
  -D, -h, -v         print debugging messages, this text, the version

  -b, --cyclic-buffer, --splitblock-size and --work-dir are accepted and have no
  effect: there is no cache to size, no second pass and no bitmap file.

Exit status:
  0  done
  1  failed, or the dump is incomplete and keeps that name
  2  the file of -i is about another kernel than VMCORE
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
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd, err := collector.ParseCommand(args)
	if err != nil {
		fmt.Fprintf(stderr, "makedumpfile: %v (makedumpfile -h tells more)\n", err)
		return 1
	}
	a := &applet{Command: cmd, stdin: stdin, stdout: stdout, messages: stdout, stderr: stderr, failed: 1}
	if cmd.Flatten {
		a.messages = stderr // standard output is for the dump
	}
	switch {
	case cmd.Help:
		fmt.Fprint(stdout, usage)
		return 0
	case cmd.Version:
		fmt.Fprint(stdout, "makedumpfile of ukdump\nlzo\tenabled\nsnappy\tenabled\nzstd\tenabled\n")
		return 0
	}
	if err := a.run(); err != nil {
		a.print(stderr, errorMessages, "makedumpfile: %v\n", err)
		a.print(a.messages, commonMessages, "\nmakedumpfile Failed.\n")
		return a.failed
	}
	if !cmd.CheckParams && !cmd.JSON && !cmd.MemUsage {
		a.print(a.messages, commonMessages, "\nmakedumpfile Completed.\n")
	}
	return 0
}

// applet is one run.
type applet struct {
	*collector.Command
	stdin          io.Reader
	stdout, stderr io.Writer
	messages       io.Writer // where what people read goes, but for errors
	failed         int       // the exit status if it fails
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
	switch {
	case a.Rearrange:
		return a.rearrange()
	case a.Reassemble:
		return a.reassemble()
	case a.WriteInfo != "":
		return a.writeInfo()
	}
	core, err := vmcore.Open(a.Files[0])
	if err != nil {
		return err
	}
	defer core.Close()
	if a.Vmlinux != "" || a.InfoFile != "" {
		if err := a.readInfo(core); err != nil {
			return err
		}
	}
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
	want := func(ok bool, what string) error {
		if ok {
			return nil
		}
		return fmt.Errorf("got %d file names, want %s", n, what)
	}
	switch {
	case a.CheckParams && n == 0:
		return nil // the options alone can be checked, too
	case a.WriteInfo != "":
		return want(n == 0, "none besides those of -g and -x")
	case a.MemUsage, a.Flatten:
		return want(n == 1, "one: what to read")
	case a.Rearrange:
		return want(n == 1, "one: what to write")
	case a.Reassemble:
		return want(n >= 2, "two or more: the parts, and what to write")
	case a.Split:
		return want(n >= 3, "three or more: what to read, and the parts to write")
	}
	return want(n == 2 || a.DryRun && n == 1, "two: what to read and what to write")
}

// warner returns a function that prints warnings between lines of progress.
func (a *applet) warner(p *progress) func(string) {
	return func(line string) {
		p.clear()
		a.print(a.stderr, commonMessages, "makedumpfile: %s\n", line)
	}
}
