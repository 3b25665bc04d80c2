// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/vmcore"
)

// filterTable measures how long it takes to find and sort all struct pages of
// the core, in this process: without its start and without a dump.
func (b *bench) filterTable(title, path string) (*table, error) {
	core, err := vmcore.Open(path)
	if err != nil {
		return nil, err
	}
	defer core.Close()
	t := &table{Title: title, Columns: []string{"wall s", "CPU s", "CPU ns a page"}}
	for i, label := range []string{"ukdump", "ukdump, 2 threads"} {
		samples, pages, err := filterRuns(core, i+1, b.runs)
		if err != nil {
			return nil, err
		}
		row := figures{wall, cpu}.row(samples)
		t.add(label, append(row, row[1].by(float64(pages)/1e9)))
	}
	return t, nil
}

// filterRuns filters the core, once to have it read from the disk and then that
// many times, and returns what the latter took and how many pages the core has.
func filterRuns(core *vmcore.Core, threads, runs int) (samples []sample, pages uint64, err error) {
	for round := range runs + 1 {
		start, before := time.Now(), cpuTime()
		selection, err := filter(core, threads)
		if err != nil {
			return nil, 0, err
		}
		s := sample{Wall: time.Since(start).Seconds(), CPU: (cpuTime() - before).Seconds()}
		if round > 0 {
			samples = append(samples, s)
		}
		pages = selection.RAM.Count()
	}
	return samples, pages, nil
}

// cpuTime returns the CPU time that this process has had.
func cpuTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
