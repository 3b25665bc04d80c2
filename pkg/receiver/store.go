// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

// store is where files are kept: a directory, or a bucket. Its methods are called by
// many requests at a time, but by one for the same file: they take turns.
type store interface {
	// begin begins a file, in place of what is left of an earlier upload of it,
	// which ends. A negative length is not known yet. It is an error that wraps
	// fs.ErrExist if there is a complete file of that name, and one that wraps
	// errQuota if there are too many.
	begin(f file, length int64) (upload, error)
	// resume returns the upload of that ID if it is the machine's. One that has
	// lately been completed is found, too; an error that wraps errUnknown means
	// that there is none. A client that goes on says at which offset; one that asks
	// has -1 here.
	resume(machine, id string, offset int64) (upload, error)
	// close lets go of everything. Uploads go on with the next store.
	close() error
}

// upload is a file under way, in the hands of one request.
type upload interface {
	// about returns what is known of it. Write moves Offset; the length is for
	// the caller to set.
	about() *known
	// write takes what comes next, and the quota for it. After an error some of it
	// may have been taken.
	write(p []byte) (int, error)
	// save keeps what was written, for whoever resumes the upload. Only what was
	// saved may be acknowledged.
	save() error
	// finish makes the file durable, and visible under its name. When it fails it
	// may be called again, by another request, too.
	finish() error
	// release is for the end of the request.
	release()
}

// known is what is known of every upload.
type known struct {
	ID      string
	Machine string
	Path    string // of the file when it is complete: MACHINE/DUMP/NAME
	Offset  int64  // of what came
	Length  int64  // of all that is to come, -1 if that is not known yet
	Began   time.Time
	Done    bool // it is complete
}

func newKnown(f file, length int64) known {
	return known{ID: newID(f.slot()), Machine: f.machine, Path: f.path(), Length: length, Began: time.Now()}
}

func (k *known) about() *known { return k }

// slot returns the first part of the ID, which must be one.
func (k *known) slot() string { return k.ID[:2*slotBytes] }

var (
	// errUnknown says that nothing is known of an upload any more.
	errUnknown = errors.New("no such upload")
	// errBusy says that something else has to end before.
	errBusy = errors.New("not now")

	errManyUploads = fmt.Errorf("%w: too many files under way", errQuota)
)

const (
	incomplete = target.Incomplete
	flatSuffix = ".flat"
	uploadsDir = ".uploads" // what is known of uploads is below it
	// maxName bounds names; maxDumps the dumps of a machine, and maxFiles the files
	// of each: no quota counts those that are empty.
	maxName  = 200
	maxDumps = 10000
	maxFiles = 100
	// maxEnd bounds files, and where in one a flattened dump may write, in bytes.
	maxEnd = 1 << 50
)

// uploadLimits bound how many uploads there are, in all and of a machine.
type uploadLimits struct{ all, each int }

// check refuses one more of the machine.
func (l uploadLimits) check(uploads usage, machine string) error {
	if uploads.sum() >= int64(l.all) || uploads[machine] >= int64(l.each) {
		return errManyUploads
	}
	return nil
}

// file names a file. The names have been checked.
type file struct{ machine, dump, name string }

func newFile(machine, dump, name string) (file, error) {
	for _, part := range []string{machine, dump, name} {
		if err := checkName(part); err != nil {
			return file{}, fmt.Errorf("%w: %w", errRequest, err)
		}
	}
	return file{machine, dump, name}, nil
}

func (f file) path() string { return path.Join(f.machine, f.dump, f.name) }

// slotBytes is how long a slot is in bytes, and the random part of an ID.
const slotBytes = 16

// slot returns the name under which what is known of the file's upload is kept:
// there is one at the most. A dump and its flattened form are the same.
func (f file) slot() string {
	sum := sha256.Sum256([]byte(strings.TrimSuffix(f.path(), flatSuffix)))
	return hex.EncodeToString(sum[:slotBytes])
}

// newID returns an ID for an upload that nobody can guess.
func newID(slot string) string {
	var b [slotBytes]byte
	rand.Read(b[:])
	return slot + hex.EncodeToString(b[:])
}

// slotOf returns the slot that an ID is of.
func slotOf(id string) (string, error) {
	if b, err := hex.DecodeString(id); err != nil || len(b) != 2*slotBytes || strings.ToLower(id) != id {
		return "", errUnknown
	}
	return id[:2*slotBytes], nil
}

// checkName accepts the names that machines and files may have.
func checkName(name string) error {
	wrong := func(r rune) bool {
		return !strings.ContainsRune("-._:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", r)
	}
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("a name of %d bytes, want 1 to %d", len(name), maxName)
	case strings.ContainsFunc(name, wrong) || name[0] == '.' || name[0] == '-':
		return fmt.Errorf("%.80q is not a name of letters, digits, and -._: further on", name)
	case strings.HasSuffix(name, incomplete):
		return fmt.Errorf("%.80q says itself that it is incomplete", name)
	}
	return nil
}
