// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package raw

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

// shared is a device that several machines see, each of which takes its time.
type shared struct {
	*memory
	mu    *sync.Mutex
	delay time.Duration // of a read or write, at the most
}

func (s shared) ReadAt(p []byte, off int64) (int, error) {
	time.Sleep(rand.N(s.delay))
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.memory.ReadAt(p, off)
}

func (s shared) WriteAt(p []byte, off int64) (int, error) {
	time.Sleep(rand.N(s.delay))
	s.mu.Lock()
	defer s.mu.Unlock()
	return copy(s.image[off:], p), nil
}

func (s shared) Sync() error { return nil }

// newShared formats a device.
func newShared(t *testing.T, slots int) shared {
	t.Helper()
	m := &memory{image: make([]byte, (1+4*slots)<<20)}
	if err := format(m, slots, false); err != nil {
		t.Fatal(err)
	}
	return shared{m, new(sync.Mutex), time.Millisecond}
}

func (s shared) open(t *testing.T, owner string) (*Store, error) {
	return open(t.Context(), s, owner, settleTime)
}

func (s shared) mustOpen(t *testing.T, owner string) *Store {
	t.Helper()
	store, err := s.open(t, owner)
	if err != nil {
		t.Fatalf("%s: %v", owner, err)
	}
	return store
}

// TestRace has as many machines as there are slots crash at the same time.
func TestRace(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			const machines = 12
			d := newShared(t, machines)
			d.delay = settleTime / 40
			var mu sync.Mutex
			owners := map[int]string{}
			var all sync.WaitGroup
			for i := range machines {
				all.Go(func() {
					owner := fmt.Sprint("machine ", i)
					s, err := d.open(t, owner)
					if err != nil {
						t.Errorf("%s: %v", owner, err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					if other := owners[s.h.slot]; other != "" {
						t.Errorf("%s and %s share %v", owner, other, s)
					}
					owners[s.h.slot] = owner
				})
			}
			all.Wait()
		})
	}
}

// TestLease has a machine find all slots in use.
func TestLease(t *testing.T) {
	for _, test := range []struct {
		name string
		// leave is what the first machine does before it stops.
		leave func(t *testing.T, s *Store)
		// free says whether another one may take the slot after an hour.
		free bool
	}{
		{"nothing", func(*testing.T, *Store) {}, true},
		{"half a dump", func(t *testing.T, s *Store) {
			f := mustCreate(t, mustMake(t, s, "dump"), "vmcore")
			if _, err := f.Write([]byte("half")); err != nil {
				t.Error(err)
			}
			if err := f.Abort(); err != nil {
				t.Error(err)
			}
		}, true},
		{"the kernel log", func(t *testing.T, s *Store) {
			if err := mustCreate(t, mustMake(t, s, "dump"), "dmesg").Commit(); err != nil {
				t.Error(err)
			}
		}, false},
		{"half a dump, closed", func(t *testing.T, s *Store) {
			f := mustCreate(t, mustMake(t, s, "dump"), "vmcore")
			_, err := f.Write([]byte("half"))
			if err := errors.Join(err, f.Abort(), s.Close()); err != nil {
				t.Error(err)
			}
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newShared(t, 2)
				d.mustOpen(t, "other")
				test.leave(t, d.mustOpen(t, "first"))
				// The other machine is alive.
				for range 3 {
					if s, err := d.open(t, "second"); !errors.Is(err, target.ErrNoSpace) {
						t.Fatalf("the second machine got %v, %v, want ErrNoSpace", s, err)
					}
					time.Sleep(leaseTime / 4)
				}
				other := d.mustOpen(t, "other")
				time.Sleep(leaseTime / 2)
				s, err := d.open(t, "second")
				if test.free != (err == nil) {
					t.Errorf("after an hour the second machine got %v, %v, want a slot: %v", s, err, test.free)
				}
				if err == nil && s.h.slot == other.h.slot {
					t.Errorf("the second machine took the slot of one that has just written")
				}
				// The owner gets its own in any case.
				if s, err := d.open(t, "first"); (err == nil) == test.free {
					t.Errorf("the first machine got %v, %v, its slot being another's: %v", s, err, test.free)
				}
			})
		})
	}
}

// TestTaken has a machine be so slow that another one takes its slot: it must
// notice instead of writing over the other's header.
func TestTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newShared(t, 2)
		slow := d.mustOpen(t, "slow")
		d.mustOpen(t, "other")
		f := mustCreate(t, mustMake(t, slow, "dump"), "vmcore")
		time.Sleep(leaseTime + time.Minute)
		d.mustOpen(t, "other")
		fast := d.mustOpen(t, "fast")
		if fast.h.slot != slow.h.slot {
			t.Fatalf("fast has %v, slow has %v", fast, slow)
		}
		if err := mustCreate(t, mustMake(t, fast, "dump"), "vmcore").Commit(); err != nil {
			t.Error(err)
		}
		if err := f.Commit(); !errors.Is(err, errTaken) {
			t.Errorf("Commit of the slow machine = %v, want %v", err, errTaken)
		}
		if h, err := slow.vol.readHeader(slow.h.slot); err != nil || h.owner != "fast" || !h.files[0].complete {
			t.Errorf("the header is %+v, %v, want fast's with its file", h, err)
		}
	})
}

// TestNoteMoves has a machine whose slot was taken by another, or is full, find
// its note again.
func TestNoteMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newShared(t, 2)
		s := d.mustOpen(t, "me")
		if err := s.WriteNote("note", []byte("text")); err != nil {
			t.Fatal(err)
		}
		if _, err := mustMake(t, s, "dump").Create(t.Context(), "file", 2<<20); err != nil {
			t.Fatal(err)
		}
		for i := range s.h.files {
			if s.h.files[i].name != "" {
				s.h.files[i].complete = true
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		next := d.mustOpen(t, "me")
		if next.h.slot == s.h.slot {
			t.Fatalf("the second run has %v again, which has a dump", next)
		}
		if note, err := next.ReadNote("note"); err != nil || string(note) != "text" {
			t.Errorf("the note is %q, %v, want it in %v, too", note, err, next)
		}
		if old, err := next.vol.readHeader(s.h.slot); err != nil || len(old.note) > 0 {
			t.Errorf("the old slot has the note %q, %v, still", old.note, err)
		}
	})
}

// TestClaimEnds has the time be over while a machine waits for its claim.
func TestClaimEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newShared(t, 2)
		ctx, cancel := context.WithTimeout(t.Context(), settleTime/2)
		defer cancel()
		if s, err := open(ctx, d, "me", settleTime); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("open = %v, %v, want the deadline", s, err)
		}
	})
}
