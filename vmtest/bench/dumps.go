// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ukdump/ukdump/vmtest"
)

// codecs are what both programs can compress with: the option, and the name that
// makedumpfile -v has for it; zlib is always there.
var codecs = []codec{
	{"zlib", "-c"}, {"zstd", "-z"}, {"lzo", "-l"}, {"snappy", "-p"},
}

type codec struct{ name, option string }

// program is a core collector.
type program struct {
	name    string
	command []string
	codecs  string // of makedumpfile: what -v says
}

func (p program) has(codec string) bool {
	return codec == "zlib" || strings.Contains(p.codecs, codec+"\tenabled")
}

// ours is what is measured: the program that runs in the capture kernel.
func ours() program {
	return program{name: "ukdump", command: []string{filepath.Join(vmtest.Build, "ukdump-image"), "makedumpfile"}}
}

var version = regexp.MustCompile(`version (\S+)`)

// makedumpfiles returns those that are there of the programs: names or paths.
func makedumpfiles(names []string) ([]program, error) {
	var found []program
	for _, name := range names {
		said, err := exec.Command(name, "-v").CombinedOutput()
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			continue
		}
		v := version.FindSubmatch(said)
		if err != nil || v == nil {
			return nil, fmt.Errorf("%s -v: %w\n%s", name, err, said)
		}
		found = append(found, program{"makedumpfile " + string(v[1]), []string{name}, string(said)})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("none of %s is there: run vmtest/fetch tools bookworm", strings.Join(names, ", "))
	}
	return found, nil
}

// with returns the first of the programs that has the codec.
func with(programs []program, codec string) (program, bool) {
	for _, p := range programs {
		if p.has(codec) {
			return p, true
		}
	}
	return program{}, false
}

// entry is one of several ways to the same dump.
type entry struct {
	label   string
	program program
	args    []string
	once    bool // as it takes long, and may fail
	failed  error
	samples []sample
}

// compete runs the entries in turn, so that whatever else the machine does
// meets all of them.
func (b *bench) compete(core string, entries []*entry) error {
	for round := range b.runs + 1 {
		for _, e := range entries {
			if e.once && round != 1 {
				continue
			}
			s, err := b.run(core, e)
			switch {
			case err != nil && e.once:
				e.failed = err
			case err != nil:
				return fmt.Errorf("%s %s %s: %w", e.label, strings.Join(e.args, " "), core, err)
			case round > 0: // nobody is the one who has to read the disk
				e.samples = append(e.samples, s)
			}
		}
	}
	return nil
}

// run writes a dump once.
func (b *bench) run(core string, e *entry) (sample, error) {
	out := filepath.Join(b.out, "ukdump-bench.dump")
	defer os.Remove(out)
	command := append(slices.Clone(e.program.command), e.args...)
	s, err := measure(append(command, "-f", "--message-level", "0", "-d", "31", core, out), "")
	if err != nil {
		return s, err
	}
	info, err := os.Stat(out)
	if err != nil {
		return s, err
	}
	s.Size = float64(info.Size()) / 1e6
	return s, nil
}

// dumpFigures are the columns of tables about dumps.
var dumpFigures = figures{wall, cpu, rss, output}

// dumps compares level-31 dumps of a core, for each of the codecs.
func (b *bench) dumps(title, core string, codecs []codec) (*table, error) {
	t := &table{Title: title, Columns: dumpFigures.names()}
	programs, err := makedumpfiles(b.programs)
	if err != nil {
		return nil, err
	}
	for _, c := range codecs {
		if err := b.addDumps(t, core, c, programs); err != nil {
			return nil, err
		}
	}
	return t, nil
}

func (b *bench) addDumps(t *table, core string, c codec, programs []program) error {
	ours := ours()
	one, two := []string{c.option, "--num-threads", "1"}, []string{c.option, "--num-threads", "2"}
	ours1 := &entry{label: ours.name, program: ours, args: one}
	ours2 := &entry{label: ours.name + ", 2 threads", program: ours, args: two}
	entries := []*entry{ours1, ours2}
	theirs, found := with(programs, c.name)
	theirs1 := &entry{label: theirs.name, program: theirs, args: one[:1]}
	// Its threads wait for each other by spinning, which takes long enough once.
	theirs2 := &entry{label: theirs.name + ", 2 threads", program: theirs, args: two, once: true}
	if found {
		entries = []*entry{ours1, theirs1, ours2, theirs2}
	} else {
		t.note("no makedumpfile at hand has %s", c.name)
	}
	if err := b.compete(core, entries); err != nil {
		return err
	}
	for _, e := range entries {
		if e.failed != nil {
			t.note("%s: %s: %v", c.name, e.label, e.failed)
			continue
		}
		t.add(c.name+": "+e.label, dumpFigures.row(e.samples))
	}
	if !found {
		return nil
	}
	t.add(c.name+": ratio, 1 thread", dumpFigures.ratios(ours1.samples, theirs1.samples))
	best := theirs1
	median := func(e *entry) float64 { return figures{wall}.row(e.samples)[0].Median }
	if theirs2.failed == nil && median(theirs2) < median(theirs1) {
		best = theirs2
	}
	t.add(c.name+": ratio, 2 threads to its best", dumpFigures.ratios(ours2.samples, best.samples))
	return nil
}
