// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"path/filepath"
	"slices"

	"github.com/ukdump/ukdump/vmtest"
)

// emulator runs one program as QEMU runs whole machines: what it takes is what of a
// capture run in a machine is the program's own, without the kernel's part.
var emulator = []string{"qemu-x86_64", "-cpu", "max"}

// emulated compares dumps of emulated programs.
func (b *bench) emulated() ([]*table, error) {
	core, err := realCore()
	if err != nil {
		return nil, err
	}
	t := &table{Title: "Level-31 dumps of the same core, both programs emulated, 1 thread", Columns: dumpFigures.names()}
	ours := ours()
	ours.command = slices.Concat(emulator, ours.command)
	theirs := emulatedMakedumpfile()
	for _, c := range codecs[:3] { // Debian's has no snappy
		one := &entry{label: ours.name, program: ours, args: []string{c.option, "--num-threads", "1"}}
		other := &entry{label: theirs.name, program: theirs, args: []string{c.option}}
		if err := b.compete(core, []*entry{one, other}); err != nil {
			return nil, err
		}
		t.add(c.name+": "+one.label, dumpFigures.row(one.samples))
		t.add(c.name+": "+other.label, dumpFigures.row(other.samples))
		t.add(c.name+": ratio", dumpFigures.ratios(one.samples, other.samples))
	}
	return []*table{t}, nil
}

// emulatedMakedumpfile is forky's, which vmtest/fetch has unpacked, started by the
// loader of its release: its name in build/tools is that of a script.
func emulatedMakedumpfile() program {
	tools := filepath.Join(vmtest.Build, "tools/forky/usr")
	libraries := filepath.Join(tools, "lib/x86_64-linux-gnu")
	return program{name: "makedumpfile", command: slices.Concat(emulator, []string{
		filepath.Join(libraries, "ld-linux-x86-64.so.2"), "--library-path", libraries, filepath.Join(tools, "bin/makedumpfile")})}
}
