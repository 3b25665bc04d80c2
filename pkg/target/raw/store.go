// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package raw

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

const (
	// leaseTime is how long a busy slot is taken to be in use after its last
	// header.
	leaseTime = time.Hour
	// settleTime is how long a claim has to last on a device that several
	// machines may use, until it is taken to have been successful.
	settleTime = 5 * time.Second
	// saveEvery is after how many bytes of a file the header is written, so that
	// a run that is cut short leaves nearly all that it has written.
	saveEvery = 64 << 20
)

// Options says where dumps go.
type Options struct {
	// Device is the path of a device that kdumpctl format-raw has prepared.
	Device string
	// Owner names this machine among those that use the device, in 64 bytes at
	// the most, the same in each run and for kdumpctl save-raw.
	Owner string
}

// Store is a slot of a device. It implements target.Store and target.Notebook.
type Store struct {
	vol       *volume
	settle    time.Duration
	saveEvery int64

	mu   sync.Mutex
	h    *header
	made map[string]bool // directories
	live map[int]bool    // files of this run, which are kept
}

// Open takes a slot for this machine. If all are in use, the error wraps
// target.ErrNoSpace.
func Open(ctx context.Context, o Options) (*Store, error) {
	d, err := openDisk(o.Device)
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, d, o.Owner, settleTime)
	if err != nil {
		d.Close()
		return nil, err
	}
	return s, nil
}

func open(ctx context.Context, d device, owner string, settle time.Duration) (*Store, error) {
	if text([]byte(owner)) != owner || len(owner) > len(diskHeader{}.Owner) {
		return nil, fmt.Errorf("owner %.70q: up to %d printable bytes can name a machine on a dump device", owner, len(diskHeader{}.Owner))
	}
	sb, err := readSuperblock(d)
	if err != nil {
		return nil, err
	}
	s := &Store{vol: newVolume(d, sb), settle: settle, saveEvery: saveEvery, made: map[string]bool{}, live: map[int]bool{}}
	if sb.slots == 1 {
		s.settle = 0
	}
	return s, s.claim(ctx, owner)
}

// The ranks of slots, the best first.
const (
	ownUnused = iota // this machine's, without a complete file
	unused           // nobody's
	ownUsed          // this machine's, with room left
	abandoned        // another's, without a complete file, the lease being over
	unavailable
)

// rank says how well a slot serves a machine.
func (h *header) rank(owner string, now time.Time, chunks uint32) int {
	complete := false
	for _, f := range h.files {
		complete = complete || f.complete
	}
	own := h.owner == owner
	switch {
	case own && !complete:
		return ownUnused
	case h.state == free:
		return unused
	case own && h.room(chunks, nil) > 0:
		return ownUsed
	case h.state == busy && !complete && now.After(h.lease):
		return abandoned
	}
	return unavailable
}

// claim takes the best slot. Machines begin their search at different slots, so
// that they seldom want the same one.
func (s *Store) claim(ctx context.Context, owner string) error {
	var problems error
	for range s.vol.slots {
		best, note := (*header)(nil), (*header)(nil)
		rank := unavailable
		problems = nil
		for i := range s.vol.slots {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			h, err := s.vol.readHeader((int(crc32.ChecksumIEEE([]byte(owner))>>1) + i) % s.vol.slots)
			if err != nil {
				problems = errors.Join(problems, err)
				continue
			}
			if r := h.rank(owner, time.Now(), s.vol.chunks()); r < rank {
				best, rank = h, r
			}
			if h.owner == owner && len(h.note) > 0 {
				note = h
			}
		}
		if best == nil {
			break
		}
		if ok, err := s.take(ctx, best, note, owner); ok || err != nil {
			return err
		}
	}
	return errors.Join(fmt.Errorf("%w: each slot of %v has a dump that was not copied from it yet, or is being written (kdumpctl save-raw)",
		target.ErrNoSpace, s.vol.device), problems)
}

// take claims a slot, with this machine's note, and reports whether the claim
// has lasted.
func (s *Store) take(ctx context.Context, h, note *header, owner string) (bool, error) {
	if h.owner != owner {
		h = &header{slot: h.slot, seq: h.seq, owner: owner}
	}
	if note != nil {
		h.noteName, h.note = note.noteName, note.note
	}
	rand.Read(h.nonce[:])
	h.state = busy
	s.h = h
	if err := s.write(); err != nil {
		return false, err
	}
	if s.settle == 0 {
		return true, nil
	}
	select {
	case <-time.After(s.settle):
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	if err := s.stillOurs(); errors.Is(err, errTaken) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if note != nil && note.slot != h.slot {
		note.note, note.noteName = nil, ""
		return true, s.vol.writeHeader(note)
	}
	return true, nil
}

// errTaken says that another machine has written to the slot.
var errTaken = errors.New("another machine has taken the slot")

// stillOurs returns nil if the header on the disk is the one that was written
// last.
func (s *Store) stillOurs() error {
	now, err := s.vol.readHeader(s.h.slot)
	if err != nil {
		return err
	}
	if now.nonce != s.h.nonce {
		return fmt.Errorf("%v: %w: %q", s, errTaken, now.owner)
	}
	return nil
}

// write writes the header. Its caller has flushed what it speaks of.
func (s *Store) write() error {
	s.h.written = time.Now()
	s.h.lease = s.h.written.Add(leaseTime)
	return s.vol.writeHeader(s.h)
}

// save makes the state of the slot durable, and before that all that was written
// to its files. The caller holds the lock.
func (s *Store) save() error {
	if s.settle > 0 {
		if err := s.stillOurs(); err != nil {
			return err
		}
	}
	if err := s.vol.Sync(); err != nil {
		return fmt.Errorf("flushing %v: %w", s, err)
	}
	return s.write()
}

// maxNames bounds how many names Make tries.
const maxNames = 1000

// Make implements target.Store. A directory is what the names of its files begin
// with.
func (s *Store) Make(_ context.Context, name string) (target.Target, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := 1; n <= maxNames; n++ {
		dir := name
		if n > 1 {
			dir += "-" + strconv.Itoa(n)
		}
		if err := checkPath(path.Join(dir, "x")); err != nil {
			return nil, err
		}
		if !s.taken(dir) {
			s.made[dir] = true
			return &dump{s, dir}, nil
		}
	}
	return nil, fmt.Errorf("%v has %d dumps with the name %s", s, maxNames, name)
}

func (s *Store) taken(dir string) bool {
	for _, f := range s.h.files {
		if strings.HasPrefix(f.name, dir+"/") {
			return true
		}
	}
	return s.made[dir]
}

// ReadNote implements target.Notebook. There is room for one note.
func (s *Store) ReadNote(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.h.noteName != name {
		return nil, nil
	}
	return s.h.note, nil
}

// WriteNote implements target.Notebook. A note of another name is replaced.
func (s *Store) WriteNote(name string, note []byte) error {
	if len(name) > len(diskHeader{}.NoteName) || len(note) > maxNote {
		return fmt.Errorf("the note %.40s of %d bytes has no room on %v", name, len(note), s)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	oldName, old := s.h.noteName, s.h.note
	s.h.noteName, s.h.note = name, note
	if err := s.save(); err != nil {
		s.h.noteName, s.h.note = oldName, old
		return err
	}
	return nil
}

// Close implements target.Store. The slot stays this machine's; with nothing in
// it, others may take it.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.h.state != busy {
		return os.ErrClosed
	}
	s.h.state = free
	for _, f := range s.h.files {
		if f.name != "" {
			s.h.state = closed
		}
	}
	return errors.Join(s.save(), s.vol.Close())
}

// String implements target.Store.
func (s *Store) String() string { return fmt.Sprintf("slot %d of %v", s.h.slot, s.vol.device) }

// dump is a directory in a slot. It implements target.Target.
type dump struct {
	store *Store
	name  string
}

// Create implements target.Target. The file implements io.WriterAt.
func (d *dump) Create(ctx context.Context, name string, reserve int64) (target.File, error) {
	path := d.name + "/" + name
	if err := checkPath(path); err != nil {
		return nil, err
	}
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	index, err := s.h.place(path)
	if err != nil {
		return nil, fmt.Errorf("%v: %w", s, err)
	}
	s.h.remove(index)
	s.h.files[index].name = path
	s.live[index] = true
	f := &File{ctx: ctx, store: s, path: path, index: index, disk: s.vol.data()}
	err = f.allocate(chunksFor(reserve))
	if err == nil {
		// If the machine goes down half way, there is to be something that says so.
		err = s.save()
	}
	if err != nil {
		s.h.remove(index)
		delete(s.live, index)
		return nil, err
	}
	return f, nil
}

// place returns the index for a file of that name: of the incomplete one that it
// replaces, or an unused one.
func (h *header) place(name string) (int, error) {
	unused := -1
	for i, f := range h.files {
		switch {
		case f.name == name && f.complete:
			return 0, fmt.Errorf("%s: %w", name, fs.ErrExist)
		case f.name == name:
			return i, nil
		case f.name == "" && unused < 0:
			unused = i
		}
	}
	if unused < 0 {
		return 0, fmt.Errorf("%w: it has %d files already", target.ErrNoSpace, maxFiles)
	}
	return unused, nil
}

// remove removes a file.
func (h *header) remove(index int) {
	h.trim(index, 0)
	h.files[index] = entry{}
}

// dropOld removes a file that an earlier run did not complete, if there is one:
// a whole dump is worth more than half of an older one. It is gone from the disk
// before its chunks are used.
func (s *Store) dropOld() (bool, error) {
	for i, f := range s.h.files {
		if f.name != "" && !f.complete && !s.live[i] && s.h.chunksOf(i) > 0 {
			s.h.remove(i)
			return true, s.save()
		}
	}
	return false, nil
}

// Free implements target.Target.
func (d *dump) Free(context.Context) (int64, error) {
	s := d.store
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(s.h.room(s.vol.chunks(), s.live)) * chunkSize, nil
}

// String implements target.Target.
func (d *dump) String() string { return d.name + " in " + d.store.String() }

// chunksFor returns how many chunks hold size bytes.
func chunksFor(size int64) uint32 {
	return uint32(min((max(size, 0)+chunkSize-1)/chunkSize, 1<<32-1))
}
