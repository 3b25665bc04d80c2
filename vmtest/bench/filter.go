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
	t := &table{Title: title, Columns: []string{"wall s", "CPU s", "CPU ns a page"}}
	core, err := vmcore.Open(path)
	if err != nil {
		return nil, err
	}
	defer core.Close()
	for _, threads := range []int{1, 2} {
		var wall, cpu, each []float64
		for round := range b.runs + 1 {
			start, before := time.Now(), cpuTime()
			pages, err := filter(core, threads)
			if err != nil {
				return nil, err
			}
			took, used := time.Since(start).Seconds(), (cpuTime() - before).Seconds()
			if round == 0 {
				continue // it reads the disk
			}
			wall, cpu = append(wall, took), append(cpu, used)
			each = append(each, used*1e9/float64(pages.RAM.Count()))
		}
		t.add([...]string{1: "ukdump", 2: "ukdump, 2 threads"}[threads], []spread{spreadOf(wall), spreadOf(cpu), spreadOf(each)})
	}
	return t, nil
}

// cpuTime returns the CPU time that this process has had.
func cpuTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
