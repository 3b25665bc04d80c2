// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// formats are the forms that a dump can have, beyond readerDumps: the options
// that make one, how many files it is in, and whether crash and drgn know it. A
// flattened ELF core is not among them: crash takes the size of the flattened
// file for that of the core, and warns where pages of zeros made it smaller.
var formats = []struct {
	name        string
	options     []string
	parts       int
	crash, drgn bool
}{
	{name: "lzo", options: []string{"-l"}, parts: 1, crash: true, drgn: true},
	{name: "uncompressed", parts: 1, crash: true, drgn: true},
	{name: "without struct pages", options: []string{"-z", "-e"}, parts: 1, drgn: true},
	{name: "elf", options: []string{"-E"}, parts: 1, crash: true, drgn: true},
	{name: "flattened", options: []string{"-z", "-F"}, parts: 1, crash: true},
	{name: "split", options: []string{"-z", "--split"}, parts: 3, crash: true},
}

// makeFormat makes a dump of the core and returns the files that it is in.
func makeFormat(t *testing.T, core string, options []string, parts int) []string {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for i := range parts {
		files = append(files, filepath.Join(dir, "vmcore"+string(rune('1'+i))))
	}
	args := append([]string{"makedumpfile", "-d", "31"}, options...)
	args = append(args, core)
	if options == nil || options[len(options)-1] != "-F" {
		output(t, ukdump(t), append(args, files...)...)
		return files
	}
	out, err := os.Create(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(ukdump(t), args...)
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v: %s", cmd, err, &stderr)
	}
	return files
}

// TestFormatsCrash compares what crash says of our dumps of every form with what
// it says of the core.
func TestFormatsCrash(t *testing.T) {
	begin(t)
	for _, suite := range suites() {
		k, core := needCore(t, suite)
		if !crashKnows(k) {
			t.Logf("crash does not know Linux %s", k.Release)
			continue
		}
		want := crashSays(t, k, core)
		for _, f := range formats {
			if !f.crash {
				continue
			}
			t.Run(suite+"/"+f.name, func(t *testing.T) {
				sameLines(t, crashSays(t, k, makeFormat(t, core, f.options, f.parts)...), want)
			})
		}
	}
}

// TestFormatsDrgn does the same with drgn.
func TestFormatsDrgn(t *testing.T) {
	begin(t)
	for _, suite := range suites() {
		k, core := needCore(t, suite)
		want := drgnSays(t, k, core)
		for _, f := range formats {
			if !f.drgn {
				continue
			}
			t.Run(suite+"/"+f.name, func(t *testing.T) {
				sameLines(t, drgnSays(t, k, makeFormat(t, core, f.options, f.parts)[0]), want)
			})
		}
	}
}

// TestFormatsMakedumpfile lets makedumpfile put together what we took apart, and
// the other way round.
func TestFormatsMakedumpfile(t *testing.T) {
	begin(t)
	for _, suite := range suites() {
		t.Run(suite, func(t *testing.T) {
			_, core := needCore(t, suite)
			theirs := needTool(t, "makedumpfile", suite)
			whole := makeDump(t, core, "-c", "31")
			dir := t.TempDir()
			path := func(name string) string { return filepath.Join(dir, name) }
			same := func(name string) {
				t.Helper()
				want, got := openDump(t, whole), openDump(t, path(name))
				if !bytes.Equal(got.ram, want.ram) || !bytes.Equal(got.kept, want.kept) {
					t.Errorf("%s: the bitmaps are not those of a dump made at once", name)
				}
				comparePages(t, openRawCore(t, core), got)
			}

			parts := makeFormat(t, core, []string{"-c", "--split"}, 3)
			output(t, theirs, append(append([]string{"--reassemble"}, parts...), path("theirs of our parts"))...)
			same("theirs of our parts")

			parts = []string{path("1"), path("2"), path("3")}
			output(t, theirs, append([]string{"-c", "-d", "31", "--split", core}, parts...)...)
			output(t, ukdump(t), append(append([]string{"makedumpfile", "--reassemble"}, parts...), path("ours of their parts"))...)
			same("ours of their parts")

			flat := makeFormat(t, core, []string{"-c", "-F"}, 1)[0]
			for _, r := range []struct{ name, program, applet string }{
				{"theirs of our flat", theirs, "-R"}, {"ours of our flat", ukdump(t), "makedumpfile"},
			} {
				args := []string{r.applet, path(r.name)}
				if r.applet != "-R" {
					args = []string{r.applet, "-R", path(r.name)}
				}
				cmd := exec.Command(r.program, args...)
				in, err := os.Open(flat)
				if err != nil {
					t.Fatal(err)
				}
				cmd.Stdin = in
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %v: %s", cmd, err, out)
				}
				in.Close()
				same(r.name)
			}
		})
	}
}
