// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package receiver takes dumps from machines over HTTP and keeps them in a
// directory. It is the server's side of tus 1.0 with the extensions creation and
// creation-defer-length (https://tus.io/protocols/resumable-upload), and it is for
// the host only; kdumprecv is the program around it.
//
//	DIR/MACHINE/DUMP/vmcore-dmesg.txt
//	DIR/MACHINE/DUMP/vmcore-incomplete
//	DIR/.uploads/ID                    what is known of an upload under way
//
// MACHINE is who the request has proved to come from; DUMP and the name of the
// file are what the client says. A dump in flattened form is written to its file
// as what it is, while it comes: of vmcore.flat there is a vmcore in the end.
//
// A client is not trusted: it writes below its own directory, no more than its
// quota, never over a file that is complete, and no request takes longer than its
// data keeps coming.
package receiver

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Options say what a Receiver takes.
type Options struct {
	// Dir has the dumps; it is made if it is missing.
	Dir string
	// Machine returns the name of the machine that a request comes from, or an
	// error if it has not proved to be one.
	Machine func(*http.Request) (string, error)
	// MachineQuota and TotalQuota bound how many bytes the files of a machine, and
	// all of them, may have; 0 means that nothing does.
	MachineQuota, TotalQuota int64
	// KeepFree is how much of the disk is left alone, in bytes.
	KeepFree int64
	// MaxUploads is how many uploads may be under way at a time, incomplete ones of
	// before among them; 0 means 1000.
	MaxUploads int
	// Idle is how long a request may stand still; 0 means a minute.
	Idle time.Duration
	// Log gets a line for each file; nil means that nobody does.
	Log *slog.Logger
}

// Stats counts what has happened since the start.
type Stats struct {
	// Bytes that have come, files that were completed, and requests that were
	// refused.
	Bytes, Files, Refused atomic.Int64
}

// Receiver is an http.Handler.
type Receiver struct {
	Stats Stats

	opts   Options
	root   *os.Root // of Options.Dir
	bootID string   // of the running system
	// creating is held while a file is made.
	creating sync.Mutex

	mu      sync.Mutex
	uploads map[string]*upload // by their IDs
	done    map[string]*upload // some that have lately been completed
	usage   map[string]int64   // of machines, in bytes
	total   int64
}

const (
	uploadsDir = ".uploads"
	idBytes    = 16
	// defaultUploads and maxName bound how many files there are, and their names.
	defaultUploads = 1000
	maxName        = 200
	// maxDumps bounds the dumps of a machine, and maxFiles the files of each: no
	// quota counts those that are empty.
	maxDumps = 10000
	maxFiles = 100
)

// New opens the directory and looks what is in it.
func New(o Options) (*Receiver, error) {
	if o.Machine == nil {
		return nil, errors.New("nobody says which machine a request comes from")
	}
	if o.MaxUploads == 0 {
		o.MaxUploads = defaultUploads
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, uploadsDir), 0o700); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, err
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		root.Close()
		return nil, err
	}
	r := &Receiver{opts: o, root: root, bootID: strings.TrimSpace(string(id)), uploads: map[string]*upload{}, done: map[string]*upload{}, usage: map[string]int64{}}
	if err := errors.Join(r.measure(), r.load()); err != nil {
		root.Close()
		return nil, err
	}
	return r, nil
}

// Close lets go of the directory. Uploads go on with the next Receiver.
func (r *Receiver) Close() error { return r.root.Close() }

// measure adds up the sizes of the files that there are.
func (r *Receiver) measure() error {
	return fs.WalkDir(r.root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || strings.HasPrefix(path, uploadsDir+"/") {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		machine, _, _ := strings.Cut(path, "/")
		r.usage[machine] += info.Size()
		r.total += info.Size()
		return nil
	})
}

// errQuota is why a client has to do without.
var errQuota = errors.New("no space left within the quota")

// take reserves bytes for a machine, or gives them back.
func (r *Receiver) take(machine string, bytes int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes > 0 {
		if quota := r.opts.MachineQuota; quota > 0 && r.usage[machine]+bytes > quota {
			return fmt.Errorf("%w of %d bytes for %s", errQuota, quota, machine)
		}
		if quota := r.opts.TotalQuota; quota > 0 && r.total+bytes > quota {
			return fmt.Errorf("%w of %d bytes for all machines", errQuota, quota)
		}
		if err := r.checkFree(bytes); err != nil {
			return err
		}
	}
	r.usage[machine] += bytes
	r.total += bytes
	return nil
}

// checkFree refuses to fill the disk.
func (r *Receiver) checkFree(bytes int64) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(r.opts.Dir, &stat); err != nil {
		return err
	}
	if free := int64(stat.Bavail) * stat.Frsize; free-bytes < r.opts.KeepFree {
		return fmt.Errorf("%w: the disk has %d bytes left", errQuota, free)
	}
	return nil
}

// newID returns an ID that nobody can guess.
func newID() string {
	var b [idBytes]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
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
