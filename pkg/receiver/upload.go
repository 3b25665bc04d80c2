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
	mu     sync.Mutex // held by the request that writes to it
	id     string
	file   *os.File
	closed bool
	known
}

// known is what is written down of an upload, so that it can go on with another
// process. After a crash of the machine it cannot: what had come may be lost.
type known struct {
	Machine string
	Path    string // of the file, below Options.Dir, when it is complete
	Offset  int64  // of what came
	Length  int64  // of all that is to come, -1 if that is not known yet
	Began   time.Time
	Boot    string // ID of the running system
	// Flat says that what comes is a flattened dump, and State how far it is written.
	Flat  bool
	State diskdump.FlatState
}

// create begins an upload.
func (r *Receiver) create(machine, dump, name string, length int64) (*upload, error) {
	for _, part := range []string{machine, dump, name} {
		if err := checkName(part); err != nil {
			return nil, err
		}
	}
	u := &upload{id: newID(), known: known{Machine: machine, Length: length, Began: time.Now(), Boot: r.bootID}}
	name, u.Flat = strings.CutSuffix(name, flatSuffix)
	dir := path.Join(machine, dump)
	u.Path = path.Join(dir, name)
	if err := r.root.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := r.add(u); err != nil {
		return nil, err
	}
	file, err := r.root.OpenFile(u.Path+incomplete, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err == nil {
		u.file, err = file, r.save(u)
	}
	if err != nil {
		r.forget(u)
		return nil, err
	}
	return u, nil
}

// add makes the upload known, unless there is no room for one more. One of the same
// file that was under way ends.
func (r *Receiver) add(u *upload) error {
	if _, err := r.root.Lstat(u.Path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path.Base(u.Path), fs.ErrExist)
	}
	if info, err := r.root.Lstat(u.Path + incomplete); err == nil {
		_ = r.take(u.Machine, -info.Size()) // it is replaced
	}
	entries, err := fs.ReadDir(r.root.FS(), u.Machine)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, other := range r.uploads {
		if other.Path == u.Path {
			delete(r.uploads, id)
			_ = r.root.Remove(path.Join(uploadsDir, id))
		}
	}
	if len(r.uploads) >= r.opts.MaxUploads || len(entries) > maxFiles {
		return fmt.Errorf("%w: too many files under way", errQuota)
	}
	r.uploads[u.id] = u
	return nil
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
		u := &upload{id: entry.Name()}
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

// Write takes the next bytes of the upload.
func (u *upload) Write(p []byte) (int, error) {
	if !u.Flat {
		n, err := u.file.WriteAt(p, u.Offset)
		u.Offset += int64(n)
		return n, err
	}
	flat := diskdump.Unflattener{Out: within{u.file}, State: u.State}
	n, err := flat.Write(p)
	u.State = flat.State
	u.Offset += int64(n)
	return n, err
}

// within refuses to write at absurd places.
type within struct{ *os.File }

func (w within) WriteAt(p []byte, off int64) (int, error) {
	if off > maxEnd-int64(len(p)) {
		return 0, fmt.Errorf("%w: data for offset %d", diskdump.ErrFormat, off)
	}
	return w.File.WriteAt(p, off)
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
