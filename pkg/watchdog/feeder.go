// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package watchdog

import (
	"sync"
	"time"
)

// Feeder feeds watchdogs for as long as it was told to. It may be used from
// several goroutines.
type Feeder struct {
	mu      sync.Mutex
	devices []*Device
	until   time.Time
}

// meal is how often a watchdog is fed in the time that it waits: often enough
// that a feeder that is held up now and then does not matter.
const meal = 6

// defaultTimeout is assumed of watchdogs that do not say how long they wait.
const defaultTimeout = 30 * time.Second

// Add has the feeder feed the watchdog as well, from now on.
func (f *Feeder) Add(d *Device) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices = append(f.devices, d)
	wait := d.Timeout
	if wait <= 0 {
		wait = defaultTimeout
	}
	go f.feed(d, wait/meal)
}

// Until has the watchdogs be fed until the time t, and not after.
func (f *Feeder) Until(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = t
}

// Empty reports whether there is no watchdog to feed.
func (f *Feeder) Empty() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.devices) == 0
}

// Disarm stops all watchdogs that can be stopped. It hangs if a driver does.
func (f *Feeder) Disarm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.devices {
		// One that cannot be stopped resets the machine, which nobody can help.
		_ = d.Disarm()
	}
	f.devices = nil
}

// feed feeds one watchdog, on a goroutine of its own: a driver that hangs must
// not starve the others.
func (f *Feeder) feed(d *Device, every time.Duration) {
	defer func() { _ = recover() }() // a starved watchdog resets; the process must not end for it
	for now := range time.Tick(every) {
		f.mu.Lock()
		due := now.Before(f.until)
		f.mu.Unlock()
		if due {
			// It either works again the next time, or the machine is reset.
			_ = d.feed()
		}
	}
}
