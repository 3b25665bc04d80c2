// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/target"
)

const (
	incomplete = target.Incomplete
	flatSuffix = ".flat"
	// maxEnd bounds where in a file a flattened dump may write, in bytes.
	maxEnd = 1 << 50
)

// upload is a file under way.
type upload struct {
	// busy has a value while a request has the upload; stop, if not nil, ends that.
	busy chan struct{}
	mu   sync.Mutex // of stop
	stop func()

	id     string
	file   *os.File
	closed bool
	known
}

// handover is how long a request may take to end when another one wants its upload.
const handover = 10 * time.Second

// acquire gets the upload for a request. One that has it already, most likely over
// a connection whose other end is long gone, is ended. It returns false if that
// takes too long.
func (u *upload) acquire() bool {
	timer := time.NewTimer(handover)
	defer timer.Stop()
	for {
		u.interrupt()
		select {
		case u.busy <- struct{}{}:
			return true
		case <-timer.C:
			return false
		case <-time.After(handover / 1000): // it may not have begun to read
		}
	}
}

func (u *upload) interrupt() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stop != nil {
		u.stop()
	}
}

// setStop says how the request that has the upload can be ended.
func (u *upload) setStop(stop func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stop = stop
}

func (u *upload) release() { <-u.busy }

// known is what is written down of an upload, so that it can go on with another
// process. After a crash of the machine it cannot: what had come may be lost.
type known struct {
	Machine string
	Path    string // of the file, below Options.Dir, when it is complete
	Offset  int64  // of what came
	Size    int64  // of the file, holes and all: it is what the quota is about
	Length  int64  // of all that is to come, -1 if that is not known yet
	Began   time.Time
	Boot    string // ID of the running system
	// Flat says that what comes is a flattened dump, and State how far it is written.
	Flat  bool
	State diskdump.FlatState
}

// create begins an upload. One of the same file that was under way ends.
func (r *Receiver) create(machine, dump, name string, length int64) (*upload, error) {
	for _, part := range []string{machine, dump, name} {
		if err := checkName(part); err != nil {
			return nil, err
		}
	}
	u := &upload{busy: make(chan struct{}, 1), id: newID(), known: known{Machine: machine, Length: length, Began: time.Now(), Boot: r.bootID}}
	name, u.Flat = strings.CutSuffix(name, flatSuffix)
	u.Path = path.Join(machine, dump, name)
	for _, other := range r.samePath(u.Path) {
		// Nobody may write to the file, or complete it, any more.
		if !other.acquire() {
			return nil, fmt.Errorf("%w: another request does not end", errBusy)
		}
		other.closed = true
		other.file.Close()
		r.forget(other)
		other.release()
	}
	r.creating.Lock()
	defer r.creating.Unlock()
	if err := r.add(u); err != nil {
		return nil, err
	}
	if err := r.makeFile(u); err != nil {
		r.forget(u)
		return nil, err
	}
	return u, nil
}

// errBusy says that something else has to end before.
var errBusy = errors.New("not now")

// samePath returns the uploads of a file that are under way.
func (r *Receiver) samePath(path string) (same []*upload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.uploads {
		if u.Path == path {
			same = append(same, u)
		}
	}
	return same
}

// add makes the upload known, unless there is no room for one more, in which case
// nothing is made.
func (r *Receiver) add(u *upload) error {
	if _, err := r.root.Lstat(u.Path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path.Base(u.Path), fs.ErrExist)
	}
	if len(r.samePath(u.Path)) > 0 {
		return fmt.Errorf("%w: another request begins the same file", errBusy)
	}
	if err := r.checkCount(path.Dir(u.Path), maxFiles); err != nil {
		return err
	}
	if _, err := r.root.Lstat(path.Dir(u.Path)); err != nil {
		if err := r.checkCount(u.Machine, maxDumps); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.uploads) >= r.opts.MaxUploads {
		return fmt.Errorf("%w: too many files under way", errQuota)
	}
	r.uploads[u.id] = u
	return nil
}

// checkCount refuses a directory with so many entries. No quota counts those that
// are empty.
func (r *Receiver) checkCount(dir string, limit int) error {
	entries, err := fs.ReadDir(r.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) >= limit {
		err = fmt.Errorf("%w: %d entries in a directory", errQuota, len(entries))
	}
	return err
}

// makeFile makes the file, in place of what is left of an earlier upload: not in
// the same inode, to which a request may still write.
func (r *Receiver) makeFile(u *upload) error {
	if err := r.root.MkdirAll(path.Dir(u.Path), 0o700); err != nil {
		return err
	}
	name := u.Path + incomplete
	if info, err := r.root.Lstat(name); err == nil {
		if err := r.root.Remove(name); err != nil {
			return err
		}
		_ = r.take(u.Machine, -info.Size())
	}
	file, err := r.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	u.file = file
	return r.save(u)
}

// forget drops an upload that nobody can go on with.
func (r *Receiver) forget(u *upload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.uploads, u.id)
	_ = r.root.Remove(path.Join(uploadsDir, u.id))
}

// remember keeps a complete upload for a client that did not get our answer.
func (r *Receiver) remember(u *upload) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id := range r.done {
		if len(r.done) < r.opts.MaxUploads {
			break
		}
		delete(r.done, id)
	}
	r.done[u.id] = u
}

// find returns the upload of that ID, if it is the machine's.
func (r *Receiver) find(machine, id string) *upload {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.uploads[id]
	if u == nil {
		u = r.done[id]
	}
	if u == nil || u.Machine != machine {
		return nil
	}
	return u
}

// save writes down what is known of the upload.
func (r *Receiver) save(u *upload) error {
	text, err := json.Marshal(u.known)
	if err != nil {
		return err
	}
	name := path.Join(uploadsDir, u.id)
	if err := r.root.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return r.root.Rename(name+".new", name)
}

// load reads what was written down by the process before.
func (r *Receiver) load() error {
	entries, err := fs.ReadDir(r.root.FS(), uploadsDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		u := &upload{busy: make(chan struct{}, 1), id: entry.Name()}
		text, err := r.root.ReadFile(path.Join(uploadsDir, u.id))
		if err == nil {
			err = json.Unmarshal(text, &u.known)
		}
		if err == nil && u.Boot == r.bootID && len(r.uploads) < r.opts.MaxUploads {
			u.file, err = r.root.OpenFile(u.Path+incomplete, os.O_RDWR, 0)
			if err == nil {
				r.uploads[u.id] = u
				continue
			}
		}
		_ = r.root.Remove(path.Join(uploadsDir, u.id))
	}
	return nil
}

// write takes the next bytes of the upload.
func (r *Receiver) write(u *upload, p []byte) (n int, err error) {
	out := quotaWriter{r, u}
	if u.Flat {
		flat := diskdump.Unflattener{Out: out, State: u.State}
		n, err = flat.Write(p)
		u.State = flat.State
	} else {
		n, err = out.WriteAt(p, u.Offset)
	}
	u.Offset += int64(n)
	return n, err
}

// quotaWriter takes from the quota what a file grows by, holes and all: a file that
// is copied has none.
type quotaWriter struct {
	*Receiver
	u *upload
}

// WriteAt implements io.WriterAt.
func (w quotaWriter) WriteAt(p []byte, off int64) (int, error) {
	if off > maxEnd-int64(len(p)) {
		return 0, fmt.Errorf("%w: data for offset %d", diskdump.ErrFormat, off)
	}
	growth := max(0, off+int64(len(p))-w.u.Size)
	if err := w.take(w.u.Machine, growth); err != nil {
		return 0, err
	}
	n, err := w.u.file.WriteAt(p, off)
	grown := min(growth, max(0, off+int64(n)-w.u.Size))
	if n == 0 {
		grown = 0
	}
	w.u.Size += grown
	_ = w.take(w.u.Machine, grown-growth)
	return n, err
}

// finish makes a file that is there as a whole durable, and then visible.
func (r *Receiver) finish(u *upload) error {
	if u.Flat && !u.State.Ended {
		return fmt.Errorf("%w: the flattened dump has no end", diskdump.ErrFormat)
	}
	if err := u.file.Sync(); err != nil {
		return err
	}
	// Unlike a rename, a link replaces nothing.
	if err := r.root.Link(u.Path+incomplete, u.Path); err != nil {
		return err
	}
	if err := r.root.Remove(u.Path + incomplete); err != nil {
		return err
	}
	u.closed = true
	err := errors.Join(u.file.Close(), r.syncDir(path.Dir(u.Path)), r.syncDir(u.Machine), r.syncDir("."))
	r.forget(u)
	r.remember(u)
	r.Stats.Files.Add(1)
	return err
}

// syncDir makes the entries of a directory durable.
func (r *Receiver) syncDir(name string) error {
	d, err := r.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
