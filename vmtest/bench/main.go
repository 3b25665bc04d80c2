// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Bench compares ukdump with makedumpfile on the same cores, and prints what
// each took: docs/performance.md has the method and what came out.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ukdump/ukdump/vmtest"
)

// bench is what the flags say.
type bench struct {
	runs     int
	out      string
	programs []string // makedumpfiles, the best first
	contest  *contest // made by the first part that needs it
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{}
	flag.IntVar(&b.runs, "runs", 5, "how often everything is run")
	flag.StringVar(&b.out, "out", outDir(), "where dumps are written, and removed; best in memory")
	parts := flag.String("parts", "real,terabyte,scaling", "what to measure; emulated emulates both programs; targets starts servers, capture and smallest machines")
	programs := flag.String("makedumpfile", "", "a further makedumpfile, for codecs that Debian's lack")
	asJSON := flag.Bool("json", false, "print for machines")
	doc := flag.String("doc", "", "also put the tables of each part into this Markdown file, between its marks")
	flag.Parse()

	tools := filepath.Join(vmtest.Build, "tools", "makedumpfile-")
	b.programs = append([]string{tools + "forky", "makedumpfile", tools + "bookworm"}, strings.Fields(*programs)...)
	var tables []*table
	for _, part := range strings.Split(*parts, ",") {
		measure, ok := b.parts()[part]
		if !ok {
			return fmt.Errorf("no part %q", part)
		}
		more, err := measure()
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
		if !*asJSON {
			for _, t := range more {
				t.print(os.Stdout)
			}
		}
		if *doc != "" {
			if err := putInto(*doc, part, more); err != nil {
				return err
			}
		}
		tables = append(tables, more...)
	}
	if *asJSON {
		return printJSON(os.Stdout, tables)
	}
	return nil
}

// parts are what can be measured, each on its own.
func (b *bench) parts() map[string]func() ([]*table, error) {
	return map[string]func() ([]*table, error){
		"real": b.real, "terabyte": b.terabyte, "scaling": b.scaling, // of cores
		"emulated": b.emulated,                                    // the programs that run in machines, without these
		"targets":  b.targets, "nfs": b.nfs, "mounted": b.mounted, // the last is for nfs, in a machine
		"capture": b.capture, "smallest": b.smallest, // in machines that crash
	}
}

// outDir returns a directory in memory, if there is one, so that what is
// measured is not the disk.
func outDir() string {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		return "/dev/shm"
	}
	return os.TempDir()
}

// realCore returns the core of a crash of Debian 12's kernel.
func realCore() (string, error) {
	k, err := vmtest.FindKernel("bookworm")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(k.Core()); err != nil {
		return "", fmt.Errorf("%w: run make cores", err)
	}
	return k.Core(), nil
}

// real measures a core of a machine with 2 GiB.
func (b *bench) real() ([]*table, error) {
	core, err := realCore()
	if err != nil {
		return nil, err
	}
	filter, err := b.filterTable("Filter alone, real core of 2 GiB", core)
	if err != nil {
		return nil, err
	}
	dumps, err := b.dumps("Level-31 dumps of a real core of 2 GiB", core, codecs)
	return []*table{filter, dumps}, err
}

// terabyte measures a made-up core of a machine with 1 TiB.
func (b *bench) terabyte() ([]*table, error) {
	path, err := synthetic(1 << 40)
	if err != nil {
		return nil, err
	}
	filter, err := b.filterTable("Filter alone, made-up core of 1 TiB", path)
	if err != nil {
		return nil, err
	}
	few := *b
	few.runs = min(b.runs, 3)
	dumps, err := few.dumps("Level-31 dumps of a made-up core of 1 TiB", path, []codec{{"lzo", "-l"}})
	return []*table{filter, dumps}, err
}

// synthetic returns the made-up core of a machine with size bytes of memory.
func synthetic(size uint64) (path string, err error) {
	core, err := realCore()
	if err != nil {
		return "", err
	}
	path = filepath.Join(vmtest.Build, "bench", fmt.Sprintf("%dGiB.core", size>>30))
	return path, makeSynthetic(path, size, core)
}
