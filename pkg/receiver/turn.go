// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// turns has the requests for a file take turns. Who waits has a right to: a request
// that has the file already, most likely over a connection whose other end is long
// gone, is ended.
type turns struct {
	mu     sync.Mutex
	places map[string]*place // by slots
}

// place is where requests for one file wait.
type place struct {
	busy    chan struct{} // has a value while a request has the file
	holder  *turn
	waiting int
}

// turn is a request's turn at a file.
type turn struct {
	turns *turns
	slot  string

	mu     sync.Mutex
	wanted bool
	wake   func() // ends the request's reading
}

// handover is how long a request may take to end when another one wants its file.
const handover = 10 * time.Second

// errTakenOver is why a request ends that another one has been made for.
var errTakenOver = fmt.Errorf("%w: another request goes on with the upload", errBusy)

// acquire gets a request its turn, or fails if another one does not end.
func (ts *turns) acquire(slot string) (*turn, error) {
	p := ts.wait(slot)
	timer := time.NewTimer(handover)
	defer timer.Stop()
	var t *turn
	select {
	case p.busy <- struct{}{}:
		t = &turn{turns: ts, slot: slot}
	case <-timer.C:
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	p.waiting--
	if t == nil {
		ts.tidy(slot, p)
		return nil, fmt.Errorf("%w: another request writes to this file", errBusy)
	}
	p.holder = t
	if p.waiting > 0 {
		t.want()
	}
	return t, nil
}

// wait announces a request.
func (ts *turns) wait(slot string) *place {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	p := ts.places[slot]
	if p == nil {
		p = &place{busy: make(chan struct{}, 1)}
		ts.places[slot] = p
	}
	p.waiting++
	if p.holder != nil {
		p.holder.want()
	}
	return p
}

// end lets the next one have the file.
func (t *turn) end() {
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	p := t.turns.places[t.slot]
	p.holder = nil
	<-p.busy
	t.turns.tidy(t.slot, p)
}

func (ts *turns) tidy(slot string, p *place) {
	if p.waiting == 0 && p.holder == nil {
		delete(ts.places, slot)
	}
}

// want tells the request that another one waits.
func (t *turn) want() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted = true
	if t.wake != nil {
		t.wake()
	}
}

func (t *turn) isWanted() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wanted
}

// extend gives the request more time to read in, unless another one wants its file.
func (t *turn) extend(control *http.ResponseController, idle time.Duration) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.wanted {
		return errTakenOver
	}
	t.wake = func() { _ = control.SetReadDeadline(time.Now()) }
	err := control.SetReadDeadline(time.Now().Add(idle))
	if errors.Is(err, http.ErrNotSupported) { // a server in a test has none
		return nil
	}
	return err
}

// finished says that the request has read what it wants.
func (t *turn) finished(control *http.ResponseController) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wake = nil
	if !t.wanted {
		_ = control.SetReadDeadline(time.Time{})
	}
}
