// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal is the path of a terminal where somebody may sit.
type terminal string

func (t terminal) open() (*os.File, error) {
	return os.OpenFile(string(t), os.O_RDWR|unix.O_NOCTTY, 0)
}

// there reports whether there is such a terminal.
func (t terminal) there() bool {
	f, err := t.open()
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// ask asks a question, and returns the line that was typed. If that is secret, it
// is not shown.
func (t terminal) ask(ctx context.Context, question string, secret bool) (string, error) {
	f, err := t.open()
	if err != nil {
		return "", err
	}
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		f.Close()
		return "", fmt.Errorf("%s: %w", t, err)
	}
	if secret {
		// Before the question: who is quick would be seen.
		err = hide(fd)
	}
	if err != nil {
		f.Close()
		return "", fmt.Errorf("%s: %w", t, err)
	}
	fmt.Fprint(f, question)
	type typed struct {
		text string
		err  error
	}
	done := make(chan typed, 1)
	go func() {
		defer f.Close()
		if secret {
			password, err := term.ReadPassword(fd)
			_ = term.Restore(fd, before)
			fmt.Fprintln(f)
			done <- typed{string(password), err}
			return
		}
		line, err := bufio.NewReader(f).ReadString('\n')
		done <- typed{strings.TrimSpace(line), err}
	}()
	select {
	case answer := <-done:
		return answer.text, answer.err
	case <-ctx.Done():
		// Whoever pressed ^C wants to see again what they type.
		_ = term.Restore(fd, before)
		return "", context.Cause(ctx)
	}
}

// hide has a terminal not show what is typed.
func hide(fd int) error {
	state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	state.Lflag &^= unix.ECHO
	return unix.IoctlSetTermios(fd, unix.TCSETS, state)
}
