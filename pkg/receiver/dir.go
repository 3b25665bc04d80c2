// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/diskdump"
)

// directory is the store that is a directory:
//
//	DIR/MACHINE/DUMP/vmcore-dmesg.txt
//	DIR/MACHINE/DUMP/vmcore-incomplete
//	DIR/.uploads/SLOT                  what is known of an upload
//
// A dump in flattened form is written to its file as what it is, while it comes: of
// vmcore.flat there is a vmcore in the end.
type directory struct {
	dir      string
	root     *os.Root
	bootID   string // of the running system
	keepFree int64
	limits   uploadLimits
	expire   time.Duration // after which an upload cannot be gone on with
	quota    *quota
	creating sync.Mutex // held while a file is made

	mu      sync.Mutex
	uploads map[string]*dirUpload // by their slots
	done    map[string]*dirUpload // some that have lately been completed
}

// dirUpload is a file under way.
type dirUpload struct {
	dir  *directory
	file *os.File // nil when no request has it
	dirState
}

// dirState is what is written down of an upload, so that it can go on with another
// process. After a crash of the machine it cannot: what had come may be lost.
type dirState struct {
	known
	Size  int64     // of the file, holes and all: it is what the quota is about
	Boot  string    // ID of the running system
	Saved time.Time // the last time
	// Flat says that what comes is a flattened dump, and State how far it is written.
	Flat  bool
	State diskdump.FlatState
}

func openDirectory(o Options, q *quota) (*directory, error) {
	if err := os.MkdirAll(filepath.Join(o.Dir, uploadsDir), 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, err
	}
	d := &directory{dir: o.Dir, root: root, keepFree: o.KeepFree, limits: uploadLimits{o.MaxUploads, o.MachineUploads},
		expire: o.Expire, quota: q,
		uploads: map[string]*dirUpload{}, done: map[string]*dirUpload{}}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		d.bootID = strings.TrimSpace(string(id))
		err = errors.Join(d.measure(), d.load())
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	q.free = d.checkFree
	return d, nil
}

// close implements store.
func (d *directory) close() error { return d.root.Close() }

// measure adds up the sizes of the files that there are.
func (d *directory) measure() error {
	used := usage{}
	err := fs.WalkDir(d.root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(path, uploadsDir+"/") {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		machine, _, _ := strings.Cut(path, "/")
		used[machine] += info.Size()
		return nil
	})
	d.quota.measured(used)
	return err
}

// checkFree refuses to fill the disk.
func (d *directory) checkFree(bytes int64) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(d.dir, &stat); err != nil {
		return err
	}
	if free := int64(stat.Bavail) * stat.Frsize; free-bytes < d.keepFree {
		return fmt.Errorf("%w: the disk has %d bytes left", errQuota, free)
	}
	return nil
}

// load reads what was written down by the process before.
func (d *directory) load() error {
	entries, err := fs.ReadDir(d.root.FS(), uploadsDir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		u := &dirUpload{dir: d}
		name := path.Join(uploadsDir, entry.Name())
		text, err := d.root.ReadFile(name)
		if err == nil {
			err = json.Unmarshal(text, &u.dirState)
		}
		slot, idErr := slotOf(u.ID)
		switch {
		case err != nil || idErr != nil || slot != entry.Name():
		case u.Done && len(d.done) < d.limits.all:
			d.done[slot] = u
			continue
		case !u.Done && u.Boot == d.bootID && len(d.uploads) < d.limits.all:
			d.uploads[slot] = u
			continue
		}
		_ = d.root.Remove(name)
	}
	return nil
}

// begin implements store.
func (d *directory) begin(f file, length int64) (upload, error) {
	u := &dirUpload{dir: d, dirState: dirState{known: newKnown(f, length), Boot: d.bootID, Saved: time.Now()}}
	u.Path, u.Flat = strings.CutSuffix(u.Path, flatSuffix)
	d.creating.Lock()
	defer d.creating.Unlock()
	if err := d.add(u); err != nil {
		return nil, err
	}
	if err := u.makeFile(); err != nil {
		u.release()
		d.forget(u)
		return nil, err
	}
	return u, nil
}

// add makes the upload known in place of an earlier one, unless there is no room
// for it, in which case nothing is made.
func (d *directory) add(u *dirUpload) error {
	if _, err := d.root.Lstat(u.Path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", path.Base(u.Path), fs.ErrExist)
	}
	if err := d.checkCount(path.Dir(u.Path), maxFiles); err != nil {
		return err
	}
	if _, err := d.root.Lstat(path.Dir(u.Path)); err != nil {
		if err := d.checkCount(u.Machine, maxDumps); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.uploads[u.slot()] == nil {
		if err := d.limits.check(d.count(), u.Machine); err != nil {
			return err
		}
	}
	delete(d.done, u.slot())
	d.uploads[u.slot()] = u
	return nil
}

// count returns how many uploads machines have. It drops those that nobody has gone
// on with for long; what there is of their files stays. The caller has locked mu.
func (d *directory) count() usage {
	uploads := usage{}
	for slot, u := range d.uploads {
		if time.Since(u.Saved) > d.expire {
			delete(d.uploads, slot)
			_ = d.root.Remove(path.Join(uploadsDir, slot))
			continue
		}
		uploads[u.Machine]++
	}
	return uploads
}

// checkCount refuses a directory with so many entries.
func (d *directory) checkCount(dir string, limit int) error {
	entries, err := fs.ReadDir(d.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && len(entries) >= limit {
		err = fmt.Errorf("%w: %d entries in a directory", errQuota, len(entries))
	}
	return err
}

// makeFile makes the file, in place of what is left of an earlier upload.
func (u *dirUpload) makeFile() error {
	d := u.dir
	if err := d.root.MkdirAll(path.Dir(u.Path), 0o700); err != nil {
		return err
	}
	name := u.Path + incomplete
	if info, err := d.root.Lstat(name); err == nil {
		if err := d.root.Remove(name); err != nil {
			return err
		}
		_ = d.quota.take(u.Machine, -info.Size())
	}
	file, err := d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	u.file = file
	return u.save()
}

// forget drops an upload that nobody can go on with.
func (d *directory) forget(u *dirUpload) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.uploads, u.slot())
	_ = d.root.Remove(path.Join(uploadsDir, u.slot()))
}

// remember keeps a complete upload for a client that did not get our answer.
func (d *directory) remember(u *dirUpload) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for old := range d.done {
		if len(d.done) < d.limits.all {
			break
		}
		delete(d.done, old)
		_ = d.root.Remove(path.Join(uploadsDir, old))
	}
	delete(d.uploads, u.slot())
	d.done[u.slot()] = u
}

// resume implements store.
func (d *directory) resume(machine, id string, _ int64) (upload, error) {
	slot, err := slotOf(id)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	u := d.uploads[slot]
	if u == nil {
		u = d.done[slot]
	}
	d.mu.Unlock()
	if u == nil || u.ID != id || u.Machine != machine {
		return nil, errUnknown
	}
	if u.Done {
		return u, nil
	}
	u.file, err = d.root.OpenFile(u.Path+incomplete, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		d.forget(u)
		return nil, fmt.Errorf("%w: what it had is gone", errUnknown)
	}
	return u, err
}

// release implements upload.
func (u *dirUpload) release() {
	if u.file != nil {
		u.file.Close()
		u.file = nil
	}
}

// save implements upload.
func (u *dirUpload) save() error {
	u.dir.mu.Lock()
	u.Saved = time.Now()
	u.dir.mu.Unlock()
	text, err := json.Marshal(u.dirState)
	if err != nil {
		return err
	}
	name := path.Join(uploadsDir, u.slot())
	if err := u.dir.root.WriteFile(name+".new", text, 0o600); err != nil {
		return err
	}
	return u.dir.root.Rename(name+".new", name)
}

// write implements upload.
func (u *dirUpload) write(p []byte) (n int, err error) {
	if u.Flat {
		flat := diskdump.Unflattener{Out: quotaWriter{u}, State: u.State}
		n, err = flat.Write(p)
		u.State = flat.State
	} else {
		n, err = quotaWriter{u}.WriteAt(p, u.Offset)
	}
	u.Offset += int64(n)
	return n, err
}

// quotaWriter takes from the quota what a file grows by, holes and all: a file that
// is copied has none.
type quotaWriter struct{ u *dirUpload }

// WriteAt implements io.WriterAt.
func (w quotaWriter) WriteAt(p []byte, off int64) (int, error) {
	u := w.u
	if off > maxEnd-int64(len(p)) {
		return 0, fmt.Errorf("%w: data for offset %d", diskdump.ErrFormat, off)
	}
	growth := max(0, off+int64(len(p))-u.Size)
	if err := u.dir.quota.take(u.Machine, growth); err != nil {
		return 0, err
	}
	n, err := u.file.WriteAt(p, off)
	grown := min(growth, max(0, off+int64(n)-u.Size))
	if n == 0 {
		grown = 0
	}
	u.Size += grown
	_ = u.dir.quota.take(u.Machine, grown-growth)
	return n, err
}

// finish implements upload.
func (u *dirUpload) finish() error {
	d := u.dir
	if u.Flat && !u.State.Ended {
		return fmt.Errorf("%w: the flattened dump has no end", diskdump.ErrFormat)
	}
	if err := u.file.Sync(); err != nil {
		return err
	}
	// Unlike a rename, a link replaces nothing.
	if err := d.root.Link(u.Path+incomplete, u.Path); err != nil {
		return err
	}
	if err := d.root.Remove(u.Path + incomplete); err != nil {
		return err
	}
	u.Done = true
	d.remember(u)
	return errors.Join(d.syncDir(path.Dir(u.Path)), d.syncDir(u.Machine), d.syncDir("."), u.save())
}

// syncDir makes the entries of a directory durable.
func (d *directory) syncDir(name string) error {
	dir, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
