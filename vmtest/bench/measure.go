// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// sample is what one run of a program took.
type sample struct {
	Wall float64 // seconds
	CPU  float64 // seconds in user space and in the kernel
	RSS  float64 // MiB, the largest resident size
	Size float64 // MB of output
	Log  float64 // seconds until a capture has saved the kernel log, 0 if it does not
}

// limit is when a program is taken for one that never ends.
const limit = 5 * time.Minute

// measure runs a command and returns what it took, but for the size of its
// output. It reads the input; what it says to standard output is thrown away.
//
// The process is traced for nothing but a look at it when it ends: the largest
// size that wait4 tells is not less than that of the process which started it.
func measure(command []string, input string) (sample, error) {
	runtime.LockOSThread() // tracing is between threads
	defer runtime.UnlockOSThread()
	var said bytes.Buffer
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(input), &said
	cmd.SysProcAttr = &unix.SysProcAttr{Ptrace: true}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return sample{}, err
	}
	stop := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	rss, usage, status, err := trace(cmd.Process.Pid)
	wall := time.Since(start)
	stop.Stop()
	cmd.Wait() // fails, as the process is gone, but waits for the last of what it said
	switch {
	case err != nil:
	case wall >= limit:
		err = fmt.Errorf("not done after %v", limit)
	case !status.Exited() || status.ExitStatus() != 0:
		err = fmt.Errorf("ended with status %#x", status)
	}
	if err != nil {
		return sample{}, fmt.Errorf("%w: %s", err, strings.Join(strings.Fields(said.String()), " "))
	}
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	return sample{Wall: wall.Seconds(), CPU: cpu.Seconds(), RSS: rss}, nil
}

// trace waits for the end of a traced process, which stands at its start.
func trace(pid int) (rss float64, usage unix.Rusage, status unix.WaitStatus, err error) {
	if _, err := unix.Wait4(pid, &status, 0, nil); err != nil {
		return 0, usage, status, err
	}
	if err := unix.PtraceSetOptions(pid, unix.PTRACE_O_TRACEEXIT|unix.PTRACE_O_TRACEEXEC|unix.PTRACE_O_EXITKILL); err != nil {
		return 0, usage, status, err
	}
	for signal := 0; ; {
		if err := unix.PtraceCont(pid, signal); err != nil && err != unix.ESRCH {
			return 0, usage, status, err
		}
		if _, err := unix.Wait4(pid, &status, unix.WALL, &usage); err != nil {
			return 0, usage, status, err
		}
		if !status.Stopped() {
			return rss, usage, status, nil
		}
		signal = int(status.StopSignal())
		switch status.TrapCause() {
		case unix.PTRACE_EVENT_EXIT:
			rss, signal = peakRSS(pid), 0
		case unix.PTRACE_EVENT_EXEC: // some are started by a script
			signal = 0
		}
	}
}

// peakRSS returns the largest resident size of a process in MiB.
func peakRSS(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseFloat(fields[0], 64)
	if err != nil {
		return 0
	}
	return kib / 1024
}
