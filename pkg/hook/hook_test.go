// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// script makes a program of the text, to be run by the shell.
func script(t *testing.T, text string) Program {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip(err)
	}
	path := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return Program{Path: path, Env: []string{"PATH=/usr/bin:/bin", "KIND=test"}}
}

// long is longer than any of these tests takes, even on a machine that is busy.
const long = 2 * time.Minute

func run(t *testing.T, p Program, timeout time.Duration) ([]string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	lines := make(chan string, 10000)
	err := Run(ctx, p, func(line string) { lines <- line })
	var said []string
	for len(lines) > 0 {
		said = append(said, <-lines)
	}
	return said, err
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		name, script string
		args         []string
		lines        []string
		err          string // "" for none
	}{
		{"quiet", "", nil, nil, ""},
		{"both outputs", "echo one; echo two >&2; printf three", nil, []string{"one", "two", "three"}, ""},
		{"arguments", `echo "$#" "$1" "$2" $KIND`, []string{"0", "a b"}, []string{"2 0 a b test"}, ""},
		{"status", "echo no; exit 3", nil, []string{"no"}, "exit status 3"},
		{"signal", "kill -TERM $$", nil, nil, "signal: terminated"},
		{"no input", "read line && echo $line; echo none", nil, []string{"none"}, ""},
		{"directory", "pwd", nil, []string{"/"}, ""},
		{"session", "read pid comm state ppid pgrp session rest </proc/self/stat; [ $session = $$ ] && echo own", nil, []string{"own"}, ""},
		{"controls", `printf 'a\033[2Jb\tc\r\n\377\n\n'`, nil, []string{"a [2Jb c", "?"}, ""},
		{"long line", "head -c 1000 /dev/zero | tr '\\0' x", nil,
			[]string{strings.Repeat("x", maxLine), strings.Repeat("x", maxLine), strings.Repeat("x", 1000-2*maxLine)}, ""},
	} {
		p := script(t, test.script)
		p.Args = test.args
		lines, err := run(t, p, long)
		if !slices.Equal(lines, test.lines) || (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
			t.Errorf("%s: Run = %q, %v, want %q, %q", test.name, lines, err, test.lines, test.err)
		}
	}
	var status Status
	if _, err := run(t, script(t, "exit 77"), long); !errors.As(err, &status) || status != 77 {
		t.Errorf("Run = %v, want status 77", err)
	}
}

func TestRunErrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct{ path, want string }{
		{"/nowhere/hook", "no such file or directory"},
		{write("plain", "#!/bin/sh\n", 0o644), "permission denied"},
		{write("orphan", "#!/nowhere/sh\n", 0o755), "its interpreter or the dynamic linker"},
		{write("noise", "\x00\x01", 0o755), "exec format error"},
	} {
		if lines, err := run(t, Program{Path: test.path}, long); err == nil || !strings.Contains(err.Error(), test.want) || lines != nil {
			t.Errorf("Run of %s = %q, %v, want an error with %q", test.path, lines, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, script(t, "exit 0"), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Run after the end = %v, want %v", err, context.Canceled)
	}
}

// state returns the letter by which the kernel calls what the process does, "" if
// there is none of that number.
func state(pid string) string {
	stat, _ := os.ReadFile("/proc/" + pid + "/stat")
	_, state, _ := strings.Cut(string(stat), ") ")
	return state[:min(len(state), 1)]
}

// alive reports whether a process that is no zombie has the number.
func alive(pid string) bool { return state(pid) != "" && state(pid) != "Z" }

// TestTimeout has programs killed, with what they have started.
func TestTimeout(t *testing.T) {
	// The child would keep the output open for much longer than the test waits.
	p := script(t, "trap '' TERM INT HUP\nsleep 10000 &\necho $! $$\nwait\n")
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("time is over")
	var said string
	err := Run(ctx, p, func(line string) {
		said += line
		cancel(over) // it has started what it starts
	})
	if err == nil || !errors.Is(err, over) || !strings.HasSuffix(err.Error(), ": killed") {
		t.Errorf("Run = %v, want %v, and that the program was killed", err, over)
	}
	for pid := range strings.FieldsSeq(said) {
		for deadline := time.Now().Add(long); alive(pid); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("process %s of %q is still there", pid, said)
			}
		}
	}
	if len(strings.Fields(said)) != 2 {
		t.Errorf("the program said %q, want the numbers of two processes", said)
	}
}

// TestLeftRunning checks that nobody waits for what a program leaves running, and
// that it is heard, and left alone.
func TestLeftRunning(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "go")
	p := script(t, fmt.Sprintf("while ! [ -e %s ]; do sleep 0.05; done >/dev/null && echo child &\necho parent\n", fifo))
	lines := make(chan string, 10)
	if err := Run(t.Context(), p, func(line string) { lines <- line }); err != nil {
		t.Errorf("Run = %v", err)
	}
	if got := <-lines; got != "parent" {
		t.Errorf("the first line is %q, want %q", got, "parent")
	}
	if err := os.WriteFile(fifo, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := <-lines; got != "child" {
		t.Errorf("the second line is %q, want %q", got, "child")
	}
}

// TestTalkative checks that a program that says too much can go on.
func TestTalkative(t *testing.T) {
	lines, err := run(t, script(t, "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; exit 5"), long)
	total := 0
	for _, line := range lines {
		total += len(line) + 1
	}
	if err == nil || err.Error() != "exit status 5" || total < maxSaid || total > maxSaid+2*maxLine || lines[0] != "line 0" {
		t.Errorf("Run = %d bytes, %v, want about %d, exit status 5", total, err, maxSaid)
	}
	if last := lines[len(lines)-1]; last != "(says more, which is not shown)" {
		t.Errorf("the last line is %q", last)
	}
}

// TestStuck has a program wait for a file system that does not move, in which it
// cannot even be killed: it is left behind.
func TestStuck(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount")
	}
	dir := t.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 4<<20), os.Mkdir(mount, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, mount}, {"fsfreeze", "-f", mount}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%q: %v\n%s", command, err, out)
		}
		switch command[0] {
		case "mount":
			t.Cleanup(func() { exec.Command("umount", "-l", mount).Run() })
		case "fsfreeze":
			t.Cleanup(func() { exec.Command("fsfreeze", "-u", mount).Run() })
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := Run(ctx, script(t, "echo $$\necho x >"+mount+"/file\n"), func(pid string) {
		for deadline := time.Now().Add(long); state(pid) != "D" && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "left behind") {
		t.Errorf("Run = %v, want that the program was left behind", err)
	}
}
