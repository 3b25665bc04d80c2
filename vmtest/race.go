// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Capture is what a rival did after a crash.
type Capture struct {
	// User is how long it took from the start of the capture kernel's user space
	// to the reboot, Log until the kernel log was saved, 0 if it is not.
	User, Log time.Duration
	// CPU is what the emulator used of the host's CPUs in User. What else the
	// host does matters less to it.
	CPU time.Duration
	// Bytes is how long the dump is.
	Bytes int64
	// Phases are what ukdump's run spent its time with, in its order.
	Phases []Phase
	// Build is how long kdumpctl build took, 0 for others.
	Build time.Duration
}

// Phase is a phase of ukdump's run and how long it took.
type Phase struct {
	Name string
	Took time.Duration
}

// keepFree has the kernel count free pages as free. Those in the lists of its
// CPUs do not look free, and how many they are differs by megabytes from crash to
// crash.
const keepFree = "write /proc/sys/vm/percpu_pagelist_high_fraction 100000"

// Race crashes a machine with the rival armed and that much memory for the
// capture kernel, and returns what was measured. The root is MakeVersusRoot's.
// Something else than a complete dump is an error that says how far it came.
func (r Rival) Race(k Kernel, root, crashkernel string) (*Capture, error) {
	dir, err := os.MkdirTemp("", "versus-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	disk, files := filepath.Join(dir, "disk"), filepath.Join(dir, "files")
	if err := errors.Join(MakeDisk(disk, "ext4", "1G", "-q", "-U", TargetUUID), os.Mkdir(files, 0o700)); err != nil {
		return nil, err
	}
	// The kernel says at this level when it starts user space.
	m := Machine{Kernel: k, Root: root, Virtio: []string{disk}, Crashkernel: crashkernel, Append: "loglevel=7", Deadline: 3 * time.Minute}
	m.Steps = slices.Concat(AttachVirtio("ext4"), r.Arm, []string{keepFree, "fill 768", "crash"})
	pid := filepath.Join(dir, "pid")
	m.Args = []string{"-pidfile", pid}
	var used []time.Duration // by the emulator when each line came
	m.Print = func(string) { used = append(used, cpuTime(pid)) }
	console, err := m.Run()
	if err != nil {
		return nil, fmt.Errorf("%s (%w)", console.lastWords(), err)
	}
	used = used[len(used)-len(console.Lines):] // the machine may have been started before
	c, err := r.times(console, used)
	if err != nil {
		return nil, err
	}
	if err := readExt4(disk, files); err != nil {
		return nil, err
	}
	if c.Bytes, err = r.checkDump(files); err != nil {
		return nil, fmt.Errorf("%s: %w", console.lastWords(), err)
	}
	return c, nil
}

// cpuTime returns the CPU time that a process has used, 0 once it has ended.
func cpuTime(pidFile string) time.Duration {
	pid, _ := os.ReadFile(pidFile)
	text, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
	_, text, _ = bytes.Cut(text, []byte(") ")) // behind the name, which may have anything
	var ticks time.Duration
	if fields := strings.Fields(string(text)); len(fields) > 12 {
		for _, field := range fields[11:13] { // in user mode, and in the kernel
			n, _ := strconv.Atoi(field)
			ticks += time.Duration(n)
		}
	}
	return ticks * time.Second / 100
}

// times returns what the console tells of a run.
func (r Rival) times(console *Console, used []time.Duration) (*Capture, error) {
	start, started := console.Find("Run /init as init process")
	end, ended := console.Find("reboot: Restarting system")
	if !started || !ended {
		return nil, errors.New(console.lastWords())
	}
	c := &Capture{User: since(start, end)}
	c.CPU = slices.Max(used) - used[slices.Index(console.Lines, start)]
	if r.LogSaved != "" {
		saved, found := console.Find(r.LogSaved)
		if !found {
			return nil, fmt.Errorf("the kernel log was not saved: %s", console.lastWords())
		}
		c.Log = since(start, saved)
	}
	if ours, found := console.Find("ukdump: start "); found {
		c.Phases = phases(console, since(start, ours))
		c.Build, _ = stepTook(console, kdumpctl+"build")
	}
	return c, nil
}

// checkDump reads the rival's dump, which has to be the only one among the files
// of the disk and complete, and returns how long it is.
func (r Rival) checkDump(files string) (int64, error) {
	dumps, err := filepath.Glob(filepath.Join(files, r.Dump))
	if err != nil || len(dumps) != 1 {
		return 0, fmt.Errorf("there are %d dumps on the disk, want one (%v)", len(dumps), err)
	}
	info, err := os.Stat(dumps[0])
	if err != nil {
		return 0, err
	}
	return info.Size(), run(filepath.Join(Build, "ukdump"), "dumpinfo", "--verify", dumps[0])
}

// stages are how far a machine comes, by what it says then.
var stages = []struct{ said, means string }{
	{"", "the machine did not crash"},
	{"sysrq triggered crash", "the capture kernel did not get to PID 1"},
	{"Run /init as init process", "the capture kernel did not get from PID 1 to its reboot"},
	{"reboot: Restarting system", "the capture kernel rebooted"},
}

// saidTrouble is what a kernel and what it runs say of what went wrong.
var saidTrouble = regexp.MustCompile(`Kernel panic - not syncing: [^\]]*[^\] ]|Out of memory: Killed process \d+ \(.*?\)|ukdump: result=.*|` + rivalFailed)

// lastWords says how far the machine came, and what it said last of trouble.
func (c *Console) lastWords() string {
	stage, trouble := 0, ""
	for _, line := range c.Lines {
		if stage+1 < len(stages) && strings.Contains(line.Text, stages[stage+1].said) {
			stage++
		} else if said := saidTrouble.FindString(line.Text); said != "" {
			trouble = ": " + said
		}
	}
	return stages[stage].means + trouble
}

var saidWhen = regexp.MustCompile(`^\[ *([0-9.]+)\]`)

// since returns the time between two lines of the same kernel, by its own clock:
// the console is behind when much is said.
func since(a, b Line) time.Duration {
	var at [2]float64
	for i, line := range []Line{a, b} {
		if said := saidWhen.FindStringSubmatch(line.Text); said != nil {
			at[i], _ = strconv.ParseFloat(said[1], 64)
		}
	}
	return time.Duration((at[1] - at[0]) * float64(time.Second))
}

var saidPhase = regexp.MustCompile(`ukdump: ([a-z]+): done in ([0-9.]+)s`)

// phases returns the phases that ukdump says, after what came before the first.
func phases(console *Console, before time.Duration) []Phase {
	all := []Phase{{"start", before}}
	for _, line := range console.Lines {
		if said := saidPhase.FindStringSubmatch(line.Text); said != nil {
			seconds, _ := strconv.ParseFloat(said[2], 64)
			all = append(all, Phase{said[1], time.Duration(seconds * float64(time.Second))})
		}
	}
	return all
}

var saidTook = regexp.MustCompile(`took ([0-9.]+) s$`)

// stepTook returns how long the machine says that a program, with the beginning
// of its arguments, took.
func stepTook(console *Console, step string) (time.Duration, error) {
	line, found := console.Find("guest: $ " + step)
	took := saidTook.FindStringSubmatch(line.Text)
	if !found || took == nil {
		return 0, fmt.Errorf("the machine does not say how long %s took", step)
	}
	return time.ParseDuration(took[1] + "s")
}
