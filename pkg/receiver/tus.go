// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/diskdump"
)

const version = "1.0.0"

// step is how much is taken of a body before its quota and deadline are looked at
// again, in bytes.
const step = 1 << 20

// ServeHTTP implements http.Handler. Uploads are made by POST to any path that
// ends in a slash, and lie below it.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	w.Header().Set("Tus-Resumable", version)
	machine, err := r.opts.Machine(q)
	if err == nil {
		err = checkName(machine)
	}
	if err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		r.refuse(w, q, machine, http.StatusUnauthorized, err)
		return
	}
	switch q.Method {
	case "OPTIONS":
		w.Header().Set("Tus-Version", version)
		w.Header().Set("Tus-Extension", "creation,creation-defer-length")
		w.WriteHeader(http.StatusNoContent)
	case "POST":
		r.post(w, q, machine)
	case "HEAD", "PATCH":
		u := r.find(machine, path.Base(q.URL.Path))
		if u == nil {
			r.refuse(w, q, machine, http.StatusNotFound, errors.New("no such upload"))
			return
		}
		if !u.acquire() {
			r.refuse(w, q, machine, http.StatusLocked, errors.New("another request writes to this upload"))
			return
		}
		defer u.release()
		if q.Method == "HEAD" {
			head(w, u)
			return
		}
		if u.closed {
			r.refuse(w, q, machine, http.StatusGone, errors.New("the upload is complete"))
			return
		}
		r.patch(w, q, u)
	default:
		w.Header().Set("Allow", "OPTIONS, POST, HEAD, PATCH")
		r.refuse(w, q, machine, http.StatusMethodNotAllowed, errors.New("this is a server for uploads by tus 1.0"))
	}
}

// refuse answers with an error.
func (r *Receiver) refuse(w http.ResponseWriter, q *http.Request, machine string, code int, err error) {
	r.Stats.Refused.Add(1)
	r.opts.Log.Warn("refused", "machine", machine, "from", q.RemoteAddr, "method", q.Method, "status", code, "error", err)
	http.Error(w, err.Error(), code)
}

// codeOf returns the status that says what is wrong.
func codeOf(err error) int {
	switch {
	case errors.Is(err, errQuota), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return http.StatusInsufficientStorage
	case errors.Is(err, fs.ErrExist):
		return http.StatusConflict
	case errors.Is(err, errBusy):
		return http.StatusLocked
	case errors.Is(err, diskdump.ErrFormat), errors.Is(err, errRequest):
		return http.StatusBadRequest
	case errors.Is(err, os.ErrDeadlineExceeded):
		return http.StatusRequestTimeout
	}
	return http.StatusInternalServerError
}

// errRequest is wrapped by errors about what a request says.
var errRequest = errors.New("bad request")

// post makes an upload.
func (r *Receiver) post(w http.ResponseWriter, q *http.Request, machine string) {
	length := int64(-1)
	var err error
	if text := q.Header.Get("Upload-Length"); text != "" {
		length, err = parseSize(text)
	} else if q.Header.Get("Upload-Defer-Length") != "1" {
		err = fmt.Errorf("%w: neither Upload-Length nor Upload-Defer-Length", errRequest)
	}
	dump, name := "", ""
	if err == nil {
		dump, name, err = parseMetadata(q.Header.Get("Upload-Metadata"))
	}
	if err == nil && length > 0 {
		// It is taken as it comes, but what cannot fit need not begin.
		if err = r.take(machine, length); err == nil {
			err = r.take(machine, -length)
		}
	}
	if err != nil {
		r.refuse(w, q, machine, codeOf(err), err)
		return
	}
	u, err := r.create(machine, dump, name, length)
	if err != nil {
		r.refuse(w, q, machine, codeOf(err), err)
		return
	}
	w.Header().Set("Location", strings.TrimSuffix(q.URL.Path, "/")+"/"+u.id)
	w.WriteHeader(http.StatusCreated)
}

// parseSize parses a number of bytes.
func parseSize(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n > maxEnd {
		return 0, fmt.Errorf("%w: %.40q is no number of bytes", errRequest, text)
	}
	return int64(n), nil
}

// parseMetadata returns the directory and the name of the file, which are in the
// metadata as "filename", with a slash between.
func parseMetadata(text string) (dump, name string, err error) {
	for pair := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key != "filename" {
			continue
		}
		decoded, err := base64.StdEncoding.DecodeString(value)
		if err != nil {
			return "", "", fmt.Errorf("%w: Upload-Metadata: %w", errRequest, err)
		}
		dump, name, ok := strings.Cut(string(decoded), "/")
		if ok {
			err = errors.Join(checkName(dump), checkName(name))
		} else {
			err = fmt.Errorf("%.80q is not DIRECTORY/NAME", decoded)
		}
		if err != nil {
			return "", "", fmt.Errorf("%w: filename: %w", errRequest, err)
		}
		return dump, name, nil
	}
	return "", "", fmt.Errorf("%w: Upload-Metadata has no filename", errRequest)
}

// head says how far an upload is.
func head(w http.ResponseWriter, u *upload) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Upload-Offset", strconv.FormatInt(u.Offset, 10))
	if u.Length >= 0 {
		w.Header().Set("Upload-Length", strconv.FormatInt(u.Length, 10))
	} else {
		w.Header().Set("Upload-Defer-Length", "1")
	}
	w.WriteHeader(http.StatusOK)
}

// patch takes a part of an upload.
func (r *Receiver) patch(w http.ResponseWriter, q *http.Request, u *upload) {
	err := u.accept(q.Header)
	if errors.Is(err, errOffset) {
		r.refuse(w, q, u.Machine, http.StatusConflict, err)
		return
	}
	if err == nil {
		err = r.takeBody(w, q.Body, u)
	}
	// What came before an error is kept; the client asks how much that is.
	err = errors.Join(err, r.save(u))
	if err == nil && u.Offset == u.Length {
		err = r.finish(u)
		if err == nil {
			r.opts.Log.Info("received", "machine", u.Machine, "file", u.Path, "bytes", u.Offset,
				"seconds", time.Since(u.Began).Round(time.Millisecond).Seconds(), "from", q.RemoteAddr)
		}
	}
	if err != nil {
		r.refuse(w, q, u.Machine, codeOf(err), err)
		return
	}
	w.Header().Set("Upload-Offset", strconv.FormatInt(u.Offset, 10))
	w.WriteHeader(http.StatusNoContent)
}

// errOffset says that a client does not know how far its upload is.
var errOffset = errors.New("the upload is at another offset")

// accept looks whether the request goes on where the upload is, and takes its
// length, which must be told once.
func (u *upload) accept(header http.Header) error {
	if kind := header.Get("Content-Type"); kind != "application/offset+octet-stream" {
		return fmt.Errorf("%w: Content-Type %.80q", errRequest, kind)
	}
	offset, err := parseSize(header.Get("Upload-Offset"))
	if err != nil {
		return err
	}
	if offset != u.Offset {
		return fmt.Errorf("%w: %d, not %d", errOffset, u.Offset, offset)
	}
	text := header.Get("Upload-Length")
	if text == "" {
		return nil
	}
	length, err := parseSize(text)
	if err != nil {
		return err
	}
	if length < u.Offset || u.Length >= 0 && length != u.Length {
		return fmt.Errorf("%w: Upload-Length %d of an upload that has %d bytes of %d", errRequest, length, u.Offset, u.Length)
	}
	u.Length = length
	return nil
}

// takeBody writes the body to the upload, as long as it keeps coming and there is
// room for it.
func (r *Receiver) takeBody(w http.ResponseWriter, body io.Reader, u *upload) error {
	control := http.NewResponseController(w)
	buf := make([]byte, step)
	stopped := false
	defer u.setStop(nil)
	u.setStop(func() {
		stopped = true
		_ = control.SetReadDeadline(time.Now())
	})
	for {
		if err := u.extend(control, r.opts.Idle, &stopped); err != nil {
			return err
		}
		n, readErr := body.Read(buf)
		if n > 0 {
			if err := r.takePiece(buf[:n], u); err != nil {
				return err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return nil
		}
		if errors.Is(readErr, os.ErrDeadlineExceeded) && u.wanted(&stopped) {
			return errTakenOver
		}
		if readErr != nil {
			return fmt.Errorf("the body breaks off: %w", readErr)
		}
	}
}

// errTakenOver is why a request ends that another one has been made for.
var errTakenOver = fmt.Errorf("%w: another request goes on with the upload", errBusy)

func (u *upload) wanted(stopped *bool) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return *stopped
}

// extend gives the request more time, unless another one wants its upload.
func (u *upload) extend(control *http.ResponseController, idle time.Duration, stopped *bool) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if *stopped {
		return errTakenOver
	}
	err := control.SetReadDeadline(time.Now().Add(idle))
	if errors.Is(err, http.ErrNotSupported) { // a server in a test has none
		return nil
	}
	return err
}

func (r *Receiver) takePiece(p []byte, u *upload) error {
	if u.Length >= 0 && u.Offset+int64(len(p)) > u.Length {
		return fmt.Errorf("%w: more than the %d bytes that were announced", errRequest, u.Length)
	}
	n, err := r.write(u, p)
	r.Stats.Bytes.Add(int64(n))
	return err
}
