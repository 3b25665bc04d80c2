// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package hook runs programs of the administrator's in the capture kernel. PID 1
// must get on, whatever such a program does: it has its time and is killed after
// that, with all that it has started in its session, and is left behind if not even
// that helps, as when it waits for a device that is dead. What it says goes to the
// log, line by line, within bounds.
package hook

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// Program is a program to run.
type Program struct {
	Path string   // absolute
	Args []string // what follows its name
	Env  []string // KEY=VALUE
}

// Status is the error of a program that ended by itself with another exit status
// than 0.
type Status int

func (s Status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// Path returns the directories in which programs are looked up that are called by
// their names, on the host for packing and in the capture kernel.
func Path() []string {
	return []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
}

const (
	// killTime is how long a program may take to die.
	killTime = 2 * time.Second
	// lastWords is how long what a program has said may take to arrive after its
	// end. Processes that it has left running may speak for as long as they live.
	lastWords = time.Second
	// maxLine and maxSaid bound what is heard of a program, in bytes: a line is
	// split, and what goes on is not heard at all.
	maxLine = 400
	maxSaid = 32 << 10
)

// Run runs a program until it ends, or ctx does. It has no standard input. The
// lines that it writes are handed to say, which may be called after Run returns, too,
// but never at the same time. Run itself returns no later than a few seconds after
// the end of ctx.
func Run(ctx context.Context, p Program, say func(line string)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	process, output, err := start(p)
	if err != nil {
		return err
	}
	heard := make(chan struct{})
	go relay(output, say, heard)
	ended := make(chan error, 1)
	go func() {
		state, err := process.Wait()
		if err == nil {
			err = result(state)
		}
		ended <- err
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = kill(process.Pid, ended)
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	timer := time.NewTimer(lastWords)
	defer timer.Stop()
	select {
	case <-heard:
	case <-timer.C:
	}
	return err
}

// start starts the program as the leader of a session of its own, and returns where
// its output can be read.
func start(p Program) (*os.Process, *os.File, error) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, nil, err
	}
	defer null.Close()
	output, input, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	defer input.Close()
	process, err := os.StartProcess(p.Path, append([]string{p.Path}, p.Args...), &os.ProcAttr{
		Dir: "/", Env: p.Env, Files: []*os.File{null, input, input}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		output.Close()
		if _, missing := os.Stat(p.Path); missing == nil && errors.Is(err, os.ErrNotExist) {
			err = fmt.Errorf("%w: it is there, but what would run it is not, its interpreter or the dynamic linker", err)
		}
		return nil, nil, err
	}
	return process, output, nil
}

// kill ends a program and all that is in its process group.
func kill(pid int, ended <-chan error) error {
	unix.Kill(-pid, unix.SIGKILL)
	timer := time.NewTimer(killTime)
	defer timer.Stop()
	select {
	case <-ended:
		return errors.New("killed")
	case <-timer.C:
		return errors.New("does not even die when killed, left behind")
	}
}

// result returns how a program ended.
func result(state *os.ProcessState) error {
	switch code := state.ExitCode(); {
	case code == 0:
		return nil
	case code > 0:
		return Status(code)
	}
	return errors.New(state.String())
}

// relay hands the lines of the output to say, and closes heard after the last one.
func relay(output io.ReadCloser, say func(string), heard chan<- struct{}) {
	defer close(heard)
	defer output.Close()
	defer func() { _ = recover() }()
	lines := bufio.NewReaderSize(output, maxLine)
	for said := 0; ; {
		line, err := lines.ReadSlice('\n')
		if text := printable(string(line)); text != "" {
			say(text)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
		if said += len(line); said >= maxSaid {
			say("(says more, which is not shown)")
			io.Copy(io.Discard, lines) // a program that nobody listens to would wait
			return
		}
	}
}

// printable returns the line without what terminals or the kernel's log could take
// for more than text.
func printable(line string) string {
	line = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
	return strings.TrimRight(line, " ")
}
