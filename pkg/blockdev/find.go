// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package blockdev

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// ErrNotFound says that no device answers to a name.
var ErrNotFound = errors.New("no such block device")

// lookAgain is how long Find waits for an event before it looks at all devices
// again. Events should never be lost; this is for kernels without netlink.
const lookAgain = 2 * time.Second

// maxProbing bounds how many devices are read at the same time, so that a few
// that do not answer hold up nobody, and hundreds take no hundreds of threads.
const maxProbing = 8

// Found is a device and what is on it.
type Found struct {
	Device
	Superblock
}

// Find returns the device that spec names: "UUID=…" and "LABEL=…" in the
// spelling of blkid(8), upper or lower case being the same in a UUID; "TYPE=…" is
// the first device with such a file system; else the path of its node, not of a
// link to it. If it is not there, Find waits for it until ctx ends; the error then
// wraps ErrNotFound and lists what was there instead. A device that cannot be read,
// or does not answer, is passed over.
//
// For a device that is named by its path, the superblock is what Probe finds,
// and all empty if it finds none.
//
// The arguments sys and dev are the mount points of sysfs and devtmpfs. If log
// is not nil, it is called with a line for what is odd, from the calling
// goroutine.
func Find(ctx context.Context, sys, dev, spec string, log func(string)) (Found, error) {
	matches, err := matcher(dev, spec)
	if err != nil {
		return Found{}, err
	}
	if log == nil {
		log = func(string) {}
	}
	events, stop, err := listen()
	if err != nil {
		log(err.Error() + "; looking every " + lookAgain.String() + " instead")
		stop = func() {}
	}
	defer stop()
	s := search{
		sys: sys, dev: dev, matches: matches, log: log, seen: map[string]sighting{},
		results: make(chan result), abandoned: make(chan struct{}),
	}
	defer close(s.abandoned)
	found, err := s.run(ctx, events)
	if err != nil {
		return Found{}, fmt.Errorf("%s: %w", spec, err)
	}
	return found, nil
}

// matcher returns the function that tells the device that spec names.
func matcher(dev, spec string) (func(Found) bool, error) {
	tag, value, tagged := strings.Cut(spec, "=")
	switch {
	case tagged && value != "" && tag == "UUID":
		return func(f Found) bool { return strings.EqualFold(f.UUID, value) }, nil
	case tagged && value != "" && tag == "LABEL":
		return func(f Found) bool { return f.Label == value }, nil
	case tagged && value != "" && tag == "TYPE":
		return func(f Found) bool { return f.Type == value }, nil
	case strings.HasPrefix(spec, "/dev/"):
		path := dev + strings.TrimPrefix(spec, "/dev")
		return func(f Found) bool { return f.Path == path }, nil
	}
	return nil, fmt.Errorf("%.60q: %w: neither UUID=…, LABEL=… nor a path below /dev", spec, ErrNotFound)
}

// search is the state of Find. All but the channels is touched only by the
// goroutine that called Find, so that a read that never returns can be left
// behind.
type search struct {
	sys, dev string
	matches  func(Found) bool
	log      func(string)

	seen    map[string]sighting // by name
	waiting []Device            // to be probed
	probing int                 // how many are

	results   chan result
	abandoned chan struct{} // closed when nobody takes results any more
}

// sighting is what is known of a device.
type sighting struct {
	probed bool // else it is waiting or has not answered
	Superblock
	err error
}

// result is what came of probing a device.
type result struct {
	Found
	err error
}

// run looks at all devices that are there, then at those that appear.
func (s *search) run(ctx context.Context, events <-chan event) (Found, error) {
	again := time.NewTicker(lookAgain)
	defer again.Stop()
	s.list()
	for {
		s.startProbing()
		select {
		case r := <-s.results:
			s.probing--
			s.seen[r.Name] = sighting{probed: true, Superblock: r.Superblock, err: r.err}
			if s.matches(r.Found) && usable(r) {
				return r.Found, nil
			}
		case e, open := <-events:
			if !open {
				events = nil // the ticker goes on
			}
			s.forget(e.name)
			s.list()
		case <-again.C:
			s.forgetErrors()
			s.list()
		case <-ctx.Done():
			return Found{}, fmt.Errorf("%w (%s)", ErrNotFound, s.whatIsThere())
		}
	}
}

// usable reports whether a device that matches can be handed out: it could be
// read, or at least opened.
func usable(r result) bool { return r.err == nil || errors.Is(r.err, ErrUnknown) }

// list queues the devices that have not been seen.
func (s *search) list() {
	devices, err := List(s.sys, s.dev)
	if err != nil {
		s.log(err.Error())
	}
	for _, d := range devices {
		if _, ok := s.seen[d.Name]; !ok {
			s.seen[d.Name] = sighting{}
			s.waiting = append(s.waiting, d)
		}
	}
}

// forget has a device probed once more: its contents may have changed. No name
// means all devices.
func (s *search) forget(name string) {
	for seen, sighting := range s.seen {
		if (seen == name || name == "") && sighting.probed {
			delete(s.seen, seen)
		}
	}
}

// forgetErrors has the devices that could not be read probed once more.
func (s *search) forgetErrors() {
	for name, sighting := range s.seen {
		if sighting.err != nil && !errors.Is(sighting.err, ErrUnknown) {
			delete(s.seen, name)
		}
	}
}

func (s *search) startProbing() {
	for ; s.probing < maxProbing && len(s.waiting) > 0; s.probing++ {
		go probeDevice(s.waiting[0], s.results, s.abandoned)
		s.waiting = s.waiting[1:]
	}
}

// probeDevice sends what is on the device, unless nobody waits for it any more.
func probeDevice(d Device, results chan<- result, abandoned <-chan struct{}) {
	r := result{Found: Found{Device: d}}
	defer func() {
		if p := recover(); p != nil {
			r.err = fmt.Errorf("panic: %v", p)
		}
		select {
		case results <- r:
		case <-abandoned:
		}
	}()
	f, err := os.Open(d.Path)
	if err != nil {
		r.err = err
		return
	}
	defer f.Close()
	r.Superblock, r.err = Probe(f)
}

// whatIsThere describes the devices that were seen, for the message that none
// of them was the right one.
func (s *search) whatIsThere() string {
	devices, err := List(s.sys, s.dev)
	if err != nil {
		return err.Error()
	}
	if len(devices) == 0 {
		return "there are no disks: is the driver in the image?"
	}
	const most = 20
	var lines []string
	for _, d := range devices[:min(len(devices), most)] {
		lines = append(lines, d.Name+": "+s.seen[d.Name].String())
	}
	if len(devices) > most {
		lines = append(lines, fmt.Sprintf("and %d more", len(devices)-most))
	}
	return "there are " + strings.Join(lines, ", ")
}

func (s sighting) String() string {
	switch {
	case !s.probed:
		return "does not answer"
	case errors.Is(s.err, ErrUnknown):
		return "no file system"
	case errors.Is(s.err, fs.ErrNotExist):
		return "no node"
	case s.err != nil:
		return s.err.Error()
	case s.Label != "":
		return fmt.Sprintf("%s UUID=%s LABEL=%s", s.Type, s.UUID, s.Label)
	}
	return fmt.Sprintf("%s UUID=%s", s.Type, s.UUID)
}
