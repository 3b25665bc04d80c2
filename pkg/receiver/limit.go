// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"context"
	"errors"
	"sync"
	"time"
)

// slots are places for requests under way. A machine gets a few of them only, so
// that those that are slow, or want to be, leave room for others.
type slots struct {
	all        chan struct{}
	perMachine int
	patience   time.Duration // with which a request waits for a place

	mu       sync.Mutex
	machines map[string]int
}

var (
	errManyRequests = errors.New("too many requests of this machine at a time")
	errNoPlace      = errors.New("too many requests at a time")
)

func newSlots(all, perMachine int) *slots {
	return &slots{all: make(chan struct{}, all), perMachine: perMachine, patience: handover, machines: map[string]int{}}
}

// enter gets a request of the machine a place. Who waits gets one in turn.
func (s *slots) enter(ctx context.Context, machine string) error {
	s.mu.Lock()
	if s.machines[machine] >= s.perMachine {
		s.mu.Unlock()
		return errManyRequests
	}
	s.machines[machine]++
	s.mu.Unlock()
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	select {
	case s.all <- struct{}{}:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	s.forget(machine)
	return errNoPlace
}

func (s *slots) leave(machine string) {
	<-s.all
	s.forget(machine)
}

func (s *slots) forget(machine string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machines[machine]--; s.machines[machine] == 0 {
		delete(s.machines, machine)
	}
}
