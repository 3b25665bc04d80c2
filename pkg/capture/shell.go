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
	_, err = shell.Wait()
	return s, errors.Join(context.Cause(ctx), err)
}
