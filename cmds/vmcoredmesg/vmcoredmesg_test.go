// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmcoredmesg

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		name string
		args []string
		want string // part of the message
	}{
		{"no argument", nil, "name one core"},
		{"two cores", []string{"a", "b"}, "name one core"},
		{"unknown option", []string{"-x", "a"}, "-x"},
		{"missing", []string{filepath.Join(dir, "none")}, filepath.Join(dir, "none")},
		{"empty", []string{file("empty", "")}, filepath.Join(dir, "empty")},
		{"text", []string{file("text", "Hello, hello, hello\n")}, filepath.Join(dir, "text")},
		{"no core", []string{"/proc/self/exe"}, "/proc/self/exe"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			status := Run(test.args, nil, &stdout, &stderr)
			msg := stderr.String()
			if status != 1 || stdout.Len() != 0 {
				t.Errorf("Run = %d with output %q, want 1 and none", status, &stdout)
			}
			if !strings.HasPrefix(msg, "vmcore-dmesg: ") || strings.Count(msg, "\n") != 1 || !strings.Contains(msg, test.want) {
				t.Errorf("message %q, want one line with %q", msg, test.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := Run([]string{"-h"}, nil, &stdout, &stderr); status != 0 || stdout.String() != help || stderr.Len() != 0 {
		t.Errorf("Run(-h) = %d, %q, %q, want 0 and the help on standard output", status, &stdout, &stderr)
	}
}

// TestAgainstMakedumpfile compares the logs of real cores with what every
// makedumpfile at hand makes of them.
func TestAgainstMakedumpfile(t *testing.T) {
	for _, core := range realCores(t) {
		for _, tool := range makedumpfiles(t) {
			t.Run(filepath.Base(core)+"/"+filepath.Base(tool), func(t *testing.T) {
				want := theirLog(t, tool, core)
				args := []string{core}
				if hasCallers.Match(want) {
					args = []string{"-caller", core}
				}
				var stdout, stderr bytes.Buffer
				if status := Run(args, nil, &stdout, &stderr); status != 0 || stderr.Len() != 0 {
					t.Fatalf("Run(%q) = %d, %q, want 0 and no message", args, status, &stderr)
				}
				got := stdout.Bytes()
				// The one difference that is meant and occurs in healthy logs.
				if !emptyLine.Match(want) {
					got = emptyLine.ReplaceAll(got, nil)
				}
				compareLines(t, got, want)
			})
		}
	}
}

var (
	hasCallers = regexp.MustCompile(`(?m)^\[ *\d+\.\d{6}\] \[ *[TC]\d+\] `)
	emptyLine  = regexp.MustCompile(`(?m)^\[ *\d+\.\d{6}\] (\[ *[TC]\d+\] )?\n`)
)

// realCores lists the cores of $UKDUMP_CORES, or of where "make cores" puts them.
func realCores(t *testing.T) []string {
	t.Helper()
	dir := os.Getenv("UKDUMP_CORES")
	if dir == "" {
		dir = "../../build/cores"
	}
	cores, err := filepath.Glob(filepath.Join(dir, "*.elf"))
	if err != nil {
		t.Fatal(err)
	}
	if len(cores) == 0 {
		t.Skipf("no real cores in %s (set UKDUMP_CORES)", dir)
	}
	return cores
}

// makedumpfiles lists the installed makedumpfile and those of other releases.
func makedumpfiles(t *testing.T) []string {
	t.Helper()
	tools, err := filepath.Glob("../../build/tools/makedumpfile-*")
	if err != nil {
		t.Fatal(err)
	}
	if tool, err := exec.LookPath("makedumpfile"); err == nil {
		tools = append(tools, tool)
	}
	if len(tools) == 0 {
		t.Skip("no makedumpfile to compare with")
	}
	return tools
}

func theirLog(t *testing.T, tool, core string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	if msg, err := exec.Command(tool, "--dump-dmesg", core, path).CombinedOutput(); err != nil {
		t.Skipf("%s cannot read this core: %v\n%s", tool, err, msg)
	}
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(log) == 0 {
		t.Fatalf("%s found an empty log", tool)
	}
	return log
}

// compareLines fails the test at the first line that differs.
func compareLines(t *testing.T, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			t.Fatalf("line %d = %q, want %q", i+1, g[i], w[i])
		}
	}
	t.Fatalf("%d lines, want %d", len(g), len(w))
}
