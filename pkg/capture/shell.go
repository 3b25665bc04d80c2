// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/config"
)

// wantsShell reports whether the run has failed and is to offer a shell then.
func wantsShell(s state) bool {
	return !s.refused && !s.outcome().dump.complete && s.config.FailureAction == config.Shell && s.effort < nothing
}

func shellTimeout(s state) time.Duration { return s.config.ShellTimeout }

// openShell runs the rescue shell on the console until it or the time ends. The
// target is still mounted.
func openShell(ctx context.Context, r *run, s state) (state, error) {
	console, err := os.OpenFile(r.machine.dev+"/console", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return s, err
	}
	defer console.Close()
	shell, err := os.StartProcess(r.machine.shell, []string{r.machine.shell}, &os.ProcAttr{
		Dir:   "/",
		Env:   []string{"PATH=/bbin", "HOME=/", "TERM=linux"},
		Files: []*os.File{console, console, console},
		Sys:   &unix.SysProcAttr{Setsid: true, Setctty: true},
	})
	if errors.Is(err, os.ErrNotExist) {
		return s, fmt.Errorf("the image has no rescue shell: %w", err)
	}
	if err != nil {
		return s, err
	}
	r.log.printf("shell: open for %v, the target is at %s", s.config.ShellTimeout, r.mountPoint(s))
	// Setsid made it the leader of a process group of its own.
	stop := context.AfterFunc(ctx, func() { unix.Kill(-shell.Pid, unix.SIGKILL) })
	defer stop()
	return s, reap(ctx, shell.Pid)
}

// reap waits for the process, and for the orphans that PID 1 inherits meanwhile.
func reap(ctx context.Context, pid int) error {
	for {
		ended, err := unix.Wait4(-1, nil, 0, nil)
		switch {
		case ended == pid:
			return context.Cause(ctx)
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for the shell: %w", err)
		}
	}
}
