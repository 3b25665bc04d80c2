// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

// held is an upload in the hands of a request, which has its turn at it.
type held struct {
	upload
	turn *turn
}

// release implements upload, and ends the turn.
func (h *held) release() {
	h.upload.release()
	h.turn.end()
}

// begin begins a file. What cannot fit need not begin.
func (r *Receiver) begin(machine, dump, name string, length int64) (*held, error) {
	f, err := newFile(machine, dump, name)
	if err != nil {
		return nil, err
	}
	return r.hold(f.slot(), func() (upload, error) {
		if length > 0 {
			if err := r.quota.fits(machine, length); err != nil {
				return nil, err
			}
		}
		return r.store.begin(f, length)
	})
}

// resume goes on with the upload of that ID, see store.
func (r *Receiver) resume(machine, id string, offset int64) (*held, error) {
	slot, err := slotOf(id)
	if err != nil {
		return nil, err
	}
	return r.hold(slot, func() (upload, error) { return r.store.resume(machine, id, offset) })
}

// hold gets a request its turn at the slot, and then its upload.
func (r *Receiver) hold(slot string, get func() (upload, error)) (*held, error) {
	t, err := r.turns.acquire(slot)
	if err != nil {
		return nil, err
	}
	u, err := get()
	if err != nil {
		t.end()
		return nil, err
	}
	return &held{u, t}, nil
}
