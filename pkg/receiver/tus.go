// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
)

const version = "1.0.0"

var (
	// errOffset says that a client does not know how far its upload is.
	errOffset = errors.New("the upload is at another offset")
	// errComplete says that there is nothing left to do.
	errComplete = errors.New("the upload is complete")
)

// post makes an upload.
func (r *Receiver) post(w http.ResponseWriter, q *http.Request, machine string) error {
	length := int64(-1)
	var err error
	if text := q.Header.Get("Upload-Length"); text != "" {
		length, err = parseSize(text)
	} else if q.Header.Get("Upload-Defer-Length") != "1" {
		err = fmt.Errorf("%w: neither Upload-Length nor Upload-Defer-Length", errRequest)
	}
	if err != nil {
		return err
	}
	dump, name, err := parseMetadata(q.Header.Get("Upload-Metadata"))
	if err != nil {
		return err
	}
	u, err := r.begin(machine, dump, name, length)
	if err != nil {
		return err
	}
	defer u.release()
	if err := r.settle(u, q); err != nil {
		return err
	}
	w.Header().Set("Location", strings.TrimSuffix(q.URL.Path, "/")+"/"+u.about().ID)
	w.WriteHeader(http.StatusCreated)
	return nil
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
func (r *Receiver) head(w http.ResponseWriter, q *http.Request, machine string) error {
	u, err := r.resume(machine, path.Base(q.URL.Path), -1)
	if err != nil {
		return err
	}
	defer u.release()
	// A client that hears that all has come takes the file for complete.
	if err := r.settle(u, q); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Upload-Offset", strconv.FormatInt(u.about().Offset, 10))
	if length := u.about().Length; length >= 0 {
		w.Header().Set("Upload-Length", strconv.FormatInt(length, 10))
	} else {
		w.Header().Set("Upload-Defer-Length", "1")
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// patch takes a part of an upload.
func (r *Receiver) patch(w http.ResponseWriter, q *http.Request, machine string) error {
	offset, _ := parseSize(q.Header.Get("Upload-Offset")) // that it is right is looked at below
	u, err := r.resume(machine, path.Base(q.URL.Path), offset)
	if err != nil {
		return err
	}
	defer u.release()
	if u.about().Done {
		return errComplete
	}
	if err := u.about().accept(q.Header); err != nil {
		return err
	}
	err = r.takeBody(w, q.Body, u)
	// What came before an error is kept; the client asks how much that is.
	if err := errors.Join(err, u.save()); err != nil {
		return err
	}
	if err := r.settle(u, q); err != nil {
		return err
	}
	w.Header().Set("Upload-Offset", strconv.FormatInt(u.about().Offset, 10))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// accept looks whether the request goes on where the upload is, and takes its
// length, which must be told once.
func (k *known) accept(header http.Header) error {
	if kind := header.Get("Content-Type"); kind != "application/offset+octet-stream" {
		return fmt.Errorf("%w: Content-Type %.80q", errRequest, kind)
	}
	offset, err := parseSize(header.Get("Upload-Offset"))
	if err != nil {
		return err
	}
	if offset != k.Offset {
		return fmt.Errorf("%w: %d, not %d", errOffset, k.Offset, offset)
	}
	text := header.Get("Upload-Length")
	if text == "" {
		return nil
	}
	length, err := parseSize(text)
	if err != nil {
		return err
	}
	if length < k.Offset || k.Length >= 0 && length != k.Length {
		return fmt.Errorf("%w: Upload-Length %d of an upload that has %d bytes of %d", errRequest, length, k.Offset, k.Length)
	}
	k.Length = length
	return nil
}
