// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"context"
	"errors"
	"sync"
	"time"
)

// requests has places for requests under way. A machine gets a few of them only, so
// that those that are slow, or want to be, leave room for others.
type requests struct {
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

func newRequests(all, perMachine int) *requests {
	return &requests{all: make(chan struct{}, all), perMachine: perMachine, patience: handover, machines: map[string]int{}}
}

// enter gets a request of the machine a place. Who waits gets one in turn.
func (r *requests) enter(ctx context.Context, machine string) error {
	r.mu.Lock()
	if r.machines[machine] >= r.perMachine {
		r.mu.Unlock()
		return errManyRequests
	}
	r.machines[machine]++
	r.mu.Unlock()
	timer := time.NewTimer(r.patience)
	defer timer.Stop()
	select {
	case r.all <- struct{}{}:
		return nil
	case <-timer.C:
	case <-ctx.Done():
	}
	r.forget(machine)
	return errNoPlace
}

func (r *requests) leave(machine string) {
	<-r.all
	r.forget(machine)
}

func (r *requests) forget(machine string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.machines[machine]--; r.machines[machine] == 0 {
		delete(r.machines, machine)
	}
}
