// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package dumpinfo is the applet dumpinfo: it says what is in a dump, and
// whether the dump is whole.
package dumpinfo

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/vmcore"
)

const help = `usage: dumpinfo [--json] [--verify] DUMP...

Says what is in a dump: the kernel and when it crashed, which pages there are,
how they are compressed, and whether the dump is complete. It reads ELF cores
and kdump-compressed dumps, flattened or not. Of a split dump, name all parts.

  --json     print it for machines
  --verify   read and decompress every page, hold header, bitmaps, descriptors
             and notes against each other, and print a line for everything that
             is wrong. Dumps that ukdump wrote have checksums, by which damage is
             found wherever it is; in others only what contradicts itself is.

Exit status:
  0  the dump can be read, and with --verify: nothing is wrong
  1  otherwise
`

// Run runs the applet and returns its exit status.
func Run(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	defer stop()
	well, err := run(ctx, args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, help)
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "dumpinfo: %v\n", err)
		return 1
	case !well:
		return 1
	}
	return 0
}

// run reports whether nothing is wrong with the dump.
func run(ctx context.Context, args []string, stdout io.Writer) (well bool, err error) {
	flags := flag.NewFlagSet("dumpinfo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	asJSON := flags.Bool("json", false, "")
	verify := flags.Bool("verify", false, "")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	core, err := open(flags.Args())
	if err != nil {
		return false, err
	}
	defer core.Close()
	info, err := summarize(core, flags.Args())
	if err != nil {
		return false, err
	}
	if *verify {
		if info.Findings, err = findings(ctx, core, flags.Args()); err != nil {
			return false, err
		}
	}
	well = len(info.Findings) == 0
	if *asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		return well, encoder.Encode(info)
	}
	return well, info.print(stdout, *verify)
}

// open opens a core, or the parts of one.
func open(paths []string) (*vmcore.Core, error) {
	switch len(paths) {
	case 0:
		return nil, errors.New("name a dump; -h explains")
	case 1:
		return openOne(paths[0])
	}
	return vmcore.OpenParts(paths)
}
