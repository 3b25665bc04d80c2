// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readerDumps are the dumps that the readers are given: each codec, at the
// level that people use and at the one that leaves everything in.
var readerDumps = []struct{ codec, level string }{
	{"-z", "31"}, {"-c", "31"}, {"-p", "1"},
}

// makeDump makes our dump of the suite's core and returns its path.
func makeDump(t *testing.T, core, codec, level string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vmcore")
	output(t, ukdump(t), "makedumpfile", codec, "-d", level, core, path)
	return path
}

// crashSays returns what crash says of a core or dump, which may be in several
// files.
func crashSays(t *testing.T, k Kernel, files ...string) string {
	t.Helper()
	commands := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(commands, []byte("sys\nbt\nbt -a\nps\nlog\nkmem -i\nquit\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := append([]string{"-s", needVmlinux(t, k)}, files...)
	out := output(t, needTool(t, "crash", k.Suite), append(args, "-i", commands)...)
	return dumpLine.ReplaceAllString(out, "")
}

// dumpLine is the line that differs: in the name, and it says [PARTIAL DUMP], as
// it should. The names of a split dump are in lines of their own.
var dumpLine = regexp.MustCompile(`(?m)^ *DUMPFILES?: .*\n(^ {10,}/.*\n)*`)

// drgnSays does the same with drgn.
func drgnSays(t *testing.T, k Kernel, file string) string {
	t.Helper()
	script := filepath.Join(Build, "..", "vmtest", "report.py")
	return output(t, needTool(t, "drgn", k.Suite), "-q", "-c", file, "-s", needVmlinux(t, k), script)
}

// TestCrash compares what crash says of our dumps with what it says of the core.
func TestCrash(t *testing.T) {
	begin(t)
	sameFromDumps(t, []string{"PANIC: ", "sysrq_handle_crash", "guest: memory filled", "TOTAL MEM"},
		func(t *testing.T, k Kernel, path string) string {
			if !crashKnows(k) {
				t.Skipf("crash does not know Linux %s", k.Release)
			}
			return crashSays(t, k, path)
		})
}

// TestDrgn does the same with drgn.
func TestDrgn(t *testing.T) {
	begin(t)
	sameFromDumps(t, []string{"crashed thread", "sysrq_handle_crash", "guest: memory filled"},
		func(t *testing.T, k Kernel, path string) string { return drgnSays(t, k, path) })
}

// sameFromDumps requires that read says the same of the core and of all dumps,
// and that it says all of want.
func sameFromDumps(t *testing.T, want []string, read func(t *testing.T, k Kernel, path string) string) {
	for _, suite := range suites() {
		t.Run(suite, func(t *testing.T) {
			k, core := needCore(t, suite)
			fromCore := read(t, k, core)
			for _, text := range want {
				if !strings.Contains(fromCore, text) {
					t.Errorf("of the core itself, the reader does not say %q", text)
				}
			}
			for _, dump := range readerDumps {
				t.Run(dump.codec+dump.level, func(t *testing.T) {
					sameLines(t, read(t, k, makeDump(t, core, dump.codec, dump.level)), fromCore)
				})
			}
			t.Logf("the reader says %d lines, the same of all", strings.Count(fromCore, "\n"))
		})
	}
}

// sameLines fails the test with the first lines that differ.
func sameLines(t *testing.T, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	if len(gotLines) != len(wantLines) {
		t.Errorf("%d lines, want %d", len(gotLines), len(wantLines))
	}
	shown := 0
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] && shown < 10 {
			shown++
			t.Errorf("line %d\n got %s\nwant %s", i+1, gotLines[i], wantLines[i])
		}
	}
}

// TestMakedumpfileReads lets makedumpfile filter our dump further and read the
// log out of it: it must come to what it makes of the core.
func TestMakedumpfileReads(t *testing.T) {
	begin(t)
	for _, suite := range suites() {
		t.Run(suite, func(t *testing.T) {
			_, core := needCore(t, suite)
			theirs := needTool(t, "makedumpfile", suite)
			dir := t.TempDir()
			path := func(name string) string { return filepath.Join(dir, name) }

			output(t, theirs, "-l", "-d", "31", core, path("from-core"))
			want := openDump(t, path("from-core"))
			var ours string
			for _, codec := range []string{"-c", "-l"} { // the ones that bookworm's knows
				ours = makeDump(t, core, codec, "1")
				output(t, theirs, "-f", "-l", "-d", "31", ours, path("from-dump"))
				got := openDump(t, path("from-dump"))
				if !bytes.Equal(got.ram, want.ram) || !bytes.Equal(got.kept, want.kept) {
					t.Errorf("filtered from our dump with %s, makedumpfile's bitmaps are not what they are from the core", codec)
				}
			}

			output(t, theirs, "--dump-dmesg", core, path("log-from-core"))
			output(t, theirs, "--dump-dmesg", ours, path("log-from-dump"))
			sameLines(t, readFile(t, path("log-from-dump")), readFile(t, path("log-from-core")))
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
