// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/config"
)

// The run is a process of its own, and PID 1 only waits for it. The Go runtime ends
// a process for what no program can catch, such as memory that it is refused, and the
// kernel kills one when memory is short; if that were PID 1, the kernel would panic.
// So another process takes over. It tries less, as it may meet the same.

const (
	// maxRuns is how many processes are started: one for each effort.
	maxRuns = int(nothing)
	// exitStuck is the exit status of a run that could not reboot the machine.
	exitStuck = 1
	// detachTime is how long it may take to let go of what a dead process has mounted.
	detachTime = 10 * time.Second
)

// predecessors is what a run knows of those before it in the same capture kernel.
type predecessors struct {
	count int           // how many there were
	took  time.Duration // since the start of PID 1
	why   string        // how the last one ended
}

// args returns the arguments that tell a process about its predecessors.
func (p predecessors) args() []string {
	return []string{strconv.Itoa(p.count), p.took.String(), p.why}
}

// parsePredecessors is the inverse of args. What it does not understand it takes for
// no predecessor.
func parsePredecessors(args []string) (p predecessors) {
	if len(args) != len(p.args()) {
		return p
	}
	count, err1 := strconv.Atoi(args[0])
	took, err2 := time.ParseDuration(args[1])
	if err1 != nil || err2 != nil || count < 0 || count > maxRuns || took < 0 {
		return p
	}
	return predecessors{count, took, args[2]}
}

// Supervise is PID 1 of the capture kernel: it starts the process of the run, and
// another one if that does not get to its end, which is the reboot. It returns only if
// this machine cannot be rebooted; its caller then has nothing left to do but to end.
// Check tells whether it may be called.
func Supervise() {
	ignoreSignals()
	began := time.Now()
	m := captureKernel()
	log := &runLog{start: began}
	var before predecessors
	for before.count < maxRuns {
		err := m.superviseRun(before)
		if err == nil {
			return
		}
		log.openConsole(m.dev)
		log.printf("process: %v", err)
		attempt(detachTime, m.detach)
		before = predecessors{before.count + 1, time.Since(began), err.Error()}
	}
	newRun(m, log).finish(config.Reboot)
}

// superviseRun starts the process of a run and waits for its end. The error says how it
// ended; there is none if it did what it could and the machine cannot be rebooted.
func (m machine) superviseRun(before predecessors) error {
	// A file, which the root file system keeps in memory, not a pipe: that would have to
	// be read while the process runs.
	said, err := unix.Open("/", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		said = unix.Stderr // the console has the words then
	} else {
		defer unix.Close(said)
	}
	// Not os.StartProcess, which starts two processes before, to see whether the
	// kernel has pidfds.
	pid, err := syscall.ForkExec(m.proc+"/self/exe", append([]string{"kdumpinit"}, before.args()...), &syscall.ProcAttr{
		Dir: "/", Env: os.Environ(), Files: []uintptr{uintptr(unix.Stdin), uintptr(unix.Stdout), uintptr(said)},
	})
	if err != nil {
		return fmt.Errorf("starting a process: %w", err)
	}
	status, err := reap(pid)
	if err != nil {
		return err
	}
	if status.Exited() && status.ExitStatus() == exitStuck {
		return nil
	}
	why := "ended with status " + strconv.Itoa(status.ExitStatus())
	if status.Signaled() {
		why = "ended by " + status.Signal().String()
	}
	if words := lastWords(said); words != "" {
		why += ": " + words
	}
	return errors.New(why)
}

// lastWords returns the beginning of what a process has said on its standard error, the
// file with this descriptor, which is about its end: nobody else writes there.
func lastWords(said int) string {
	const most = 3
	words := make([]byte, 1024)
	n, _ := unix.Pread(said, words, 0)
	lines := strings.FieldsFunc(string(words[:max(n, 0)]), func(r rune) bool { return r == '\n' })
	return strings.Join(lines[:min(most, len(lines))], "; ")
}

// reap waits for the process, and for the orphans that PID 1 inherits meanwhile.
func reap(pid int) (unix.WaitStatus, error) {
	for {
		var status unix.WaitStatus
		ended, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case ended == pid:
			return status, nil
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("waiting for process %d: %w", pid, err)
		}
	}
}

// detach lets go of the file systems that a dead process has mounted for its targets,
// so that the next one can mount them.
func (m machine) detach() {
	mounts, err := os.ReadFile(m.proc + "/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 1 && strings.HasPrefix(fields[1], m.mount) {
			unix.Unmount(fields[1], unix.MNT_DETACH)
		}
	}
}

// ignoreSignals keeps the process from ending for a signal other than SIGKILL and
// those of its own faults: the Go runtime would end it for most. Caught, and read by
// nobody, they do nothing.
func ignoreSignals() { signal.Notify(make(chan os.Signal, 1)) }
