// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package watchdog opens and feeds watchdogs: devices, or timers of the kernel,
// that reset the machine unless they hear from us in time. They are the answer
// to what no deadline in our own process can end: a kernel that stands still,
// and a process that does not run any more.
//
// A watchdog that the crashed kernel had running counts on across the crash.
// Opening it takes it over. Nothing here stops one again but Disarm: if the
// process ends, the machine is reset.
//
// The interface is that of Documentation/watchdog/watchdog-api.rst in Linux.
package watchdog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Device is an open watchdog. It runs.
type Device struct {
	// Path is its device node.
	Path string
	// Name is what its driver calls it, for example "i6300ESB timer".
	Name string
	// Timeout is after how long without food it resets the machine; 0 if it
	// does not say.
	Timeout time.Duration
	// WasRunning reports whether it ran before it was opened, as far as the
	// kernel tells.
	WasRunning bool

	mu sync.Mutex // for f
	f  *os.File
}

// OpenAll opens the watchdogs that are not open yet, and has each wait for timeout, or
// as long as it can if that is less. What does not work it reports to warn. The
// arguments sys and dev are the mount points of sysfs and devtmpfs.
//
// All of them, since one that nobody opens may be one that was left running.
func OpenAll(sys, dev string, timeout time.Duration, warn func(error)) []*Device {
	// The first of them has a second node without a number, which is the only one of
	// drivers from before there was a class.
	nodes := []string{filepath.Join(dev, "watchdog")}
	classes, _ := os.ReadDir(filepath.Join(sys, "class/watchdog"))
	for _, c := range classes {
		nodes = append(nodes, filepath.Join(dev, c.Name()))
	}
	var devices []*Device
	for _, node := range nodes {
		d, err := open(sys, node, timeout)
		if errors.Is(err, unix.EBUSY) || errors.Is(err, os.ErrNotExist) {
			continue // open already, perhaps by its other name, or not there
		}
		if err != nil {
			warn(err)
			continue
		}
		devices = append(devices, d)
	}
	return devices
}

func open(sys, node string, timeout time.Duration) (*Device, error) {
	// Opening starts it, so this has to be asked before.
	state, _ := os.ReadFile(filepath.Join(sys, "class/watchdog", class(node), "state"))
	f, err := os.OpenFile(node, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	d := &Device{Path: node, f: f, WasRunning: strings.TrimSpace(string(state)) == "active"}
	info, err := unix.IoctlGetWatchdogInfo(d.fd())
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is no watchdog: %w", node, err)
	}
	d.Name = unix.ByteSliceToString(info.Identity[:])
	d.setTimeout(timeout)
	return d, nil
}

// class returns the name in /sys/class/watchdog that belongs to a device node.
func class(node string) string {
	name := filepath.Base(node)
	if name == "watchdog" {
		return "watchdog0"
	}
	return name
}

// setTimeout sets the longest time up to limit that the watchdog takes, and
// notes what it is now.
func (d *Device) setTimeout(limit time.Duration) {
	// Drivers have a largest value, and refuse what is larger instead of taking
	// that (watchdog_timeout_invalid in include/linux/watchdog.h).
	for seconds := int(limit / time.Second); seconds > 0; seconds /= 2 {
		if unix.IoctlSetPointerInt(d.fd(), unix.WDIOC_SETTIMEOUT, seconds) == nil {
			break
		}
	}
	if seconds, err := unix.IoctlGetUint32(d.fd(), unix.WDIOC_GETTIMEOUT); err == nil {
		d.Timeout = time.Duration(seconds) * time.Second
	}
}

// feed has the watchdog start its time anew. Every driver takes a write for
// that, and not every one the ioctl.
func (d *Device) feed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.f.Write([]byte{0})
	return err
}

// Disarm stops the watchdog, if its driver allows it, and closes it.
func (d *Device) Disarm() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	// The first is for drivers that stop when told, the second for those that
	// stop when closed after this letter. Few do not know both.
	unix.IoctlSetPointerInt(d.fd(), unix.WDIOC_SETOPTIONS, unix.WDIOS_DISABLECARD)
	_, err := d.f.WriteString("V")
	return errors.Join(err, d.f.Close())
}

func (d *Device) fd() int { return int(d.f.Fd()) }

func (d *Device) String() string {
	s := d.Path
	if d.Name != "" {
		s += " (" + d.Name + ")"
	}
	if d.Timeout > 0 {
		s += fmt.Sprintf(", resets after %v", d.Timeout)
	}
	if d.WasRunning {
		s += ", was running"
	}
	return s
}
