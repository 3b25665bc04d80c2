// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package receiver takes dumps from machines over HTTP and keeps them in a
// directory or in a bucket of an object store. It is the server's side of tus 1.0
// with the extensions creation and creation-defer-length
// (https://tus.io/protocols/resumable-upload), and takes plain PUT requests, too. It
// is for the host only; kdumprecv is the program around it.
//
// MACHINE/DUMP/NAME is where a file is in the end. MACHINE is who the request has
// proved to come from; DUMP and NAME are what the client says. How it is kept until
// then, and where what is known of it, is up to the store: dir.go, bucket.go.
//
// A client is not trusted: it writes below its own directory, no more than its
// quota, never over a file that is complete, has few requests under way, and none of
// them takes longer than its data keeps coming.
package receiver

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/target/s3"
)

// Options say what a Receiver takes.
type Options struct {
	// Dir has the dumps; it is made if it is missing.
	Dir string
	// Bucket has them if it is not nil. SetClock is not used.
	Bucket *s3.Options
	// Expire is how long an upload can be gone on with; 0 means a week.
	Expire time.Duration
	// Machine returns the name of the machine that a request comes from, or an
	// error if it has not proved to be one.
	Machine func(*http.Request) (string, error)
	// MachineQuota and TotalQuota bound how many bytes the files of a machine, and
	// all of them, may have; 0 means that nothing does.
	MachineQuota, TotalQuota int64
	// KeepFree is how much of the disk is left alone, in bytes.
	KeepFree int64
	// MaxUploads is how many uploads may be under way at a time, incomplete ones of
	// before among them, and MachineUploads how many of one machine; 0 means 1000,
	// and 100.
	MaxUploads, MachineUploads int
	// MaxRequests and MachineRequests are how many requests may be under way at a
	// time, and how many of one machine; 0 means 256, and 8.
	MaxRequests, MachineRequests int
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

	opts     Options
	store    store
	quota    *quota
	requests *requests
	turns    turns
}

// New opens the directory or the bucket and looks what is in it.
func New(o Options) (*Receiver, error) {
	if o.Machine == nil {
		return nil, errors.New("nobody says which machine a request comes from")
	}
	o.MaxUploads = cmp.Or(o.MaxUploads, 1000)
	o.MachineUploads = cmp.Or(o.MachineUploads, 100)
	o.MaxRequests = cmp.Or(o.MaxRequests, 256)
	o.MachineRequests = cmp.Or(o.MachineRequests, 8)
	o.Idle = cmp.Or(o.Idle, time.Minute)
	o.Expire = cmp.Or(o.Expire, 7*24*time.Hour)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	r := &Receiver{opts: o, requests: newRequests(o.MaxRequests, o.MachineRequests), turns: turns{places: map[string]*place{}}}
	r.quota = &quota{machine: o.MachineQuota, total: o.TotalQuota, used: usage{}, since: usage{}}
	var err error
	if o.Bucket != nil {
		r.store, err = openBucket(o, r.quota)
	} else {
		r.store, err = openDirectory(o, r.quota)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close lets go of the store. Uploads go on with the next Receiver.
func (r *Receiver) Close() error { return r.store.close() }

// ServeHTTP implements http.Handler. Uploads are made by POST to any path that
// ends in a slash, and lie below it; files are put to any path that ends in
// DUMP/NAME.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Tus-Resumable", version)
	machine, err := r.opts.Machine(q)
	if err == nil {
		err = checkName(machine)
	}
	if err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		r.refuse(w, q, machine, fmt.Errorf("%w: %w", errStranger, err))
		return
	}
	if err := r.requests.enter(q.Context(), machine); err != nil {
		w.Header().Set("Retry-After", "1")
		r.refuse(w, q, machine, err)
		return
	}
	defer r.requests.leave(machine)
	switch q.Method {
	case "OPTIONS":
		w.Header().Set("Tus-Version", version)
		w.Header().Set("Tus-Extension", "creation,creation-defer-length")
		w.WriteHeader(http.StatusNoContent)
	case "POST":
		err = r.post(w, q, machine)
	case "HEAD":
		err = r.head(w, q, machine)
	case "PATCH":
		err = r.patch(w, q, machine)
	case "PUT":
		err = r.put(w, q, machine)
	default:
		w.Header().Set("Allow", "OPTIONS, POST, HEAD, PATCH, PUT")
		err = errMethod
	}
	if err != nil {
		r.refuse(w, q, machine, err)
	}
}

var (
	errStranger = errors.New("no machine that is known")
	errMethod   = errors.New("this is a server for uploads, by tus 1.0 or PUT")
	// errRequest is wrapped by errors about what a request says.
	errRequest = errors.New("bad request")
)

// refuse answers with an error.
func (r *Receiver) refuse(w http.ResponseWriter, q *http.Request, machine string, err error) {
	code := codeOf(err)
	r.Stats.Refused.Add(1)
	r.opts.Log.Warn("refused", "machine", machine, "from", q.RemoteAddr, "method", q.Method, "status", code, "error", err)
	http.Error(w, err.Error(), code)
}

// codes say with which status an error is answered, the first that fits.
func codeOf(err error) int {
	for _, c := range []struct {
		err  error
		code int
	}{
		{errStranger, http.StatusUnauthorized},
		{errMethod, http.StatusMethodNotAllowed},
		{errManyRequests, http.StatusTooManyRequests},
		{errNoPlace, http.StatusServiceUnavailable},
		{errQuota, http.StatusInsufficientStorage},
		{unix.ENOSPC, http.StatusInsufficientStorage},
		{unix.EDQUOT, http.StatusInsufficientStorage},
		{errCondition, http.StatusPreconditionFailed},
		{fs.ErrExist, http.StatusConflict},
		{errOffset, http.StatusConflict},
		{errUnknown, http.StatusNotFound},
		{errComplete, http.StatusGone},
		{errBusy, http.StatusLocked},
		{diskdump.ErrFormat, http.StatusBadRequest},
		{errRequest, http.StatusBadRequest},
		{os.ErrDeadlineExceeded, http.StatusRequestTimeout},
	} {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return http.StatusInternalServerError
}
