// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
)

// errCondition says that the client has made a condition that is not fulfilled.
var errCondition = errors.New("there is such a file")

// put takes a file as a whole, as from curl -T. One whose body breaks off stays
// incomplete, and is begun anew by the next request.
func (r *Receiver) put(w http.ResponseWriter, q *http.Request, machine string) error {
	// It would be taken for the whole file, see RFC 9110, 14.5.
	if q.Header.Get("Content-Range") != "" {
		return fmt.Errorf("%w: a part of a file; tus is for those that break off", errRequest)
	}
	dir, name := path.Split(q.URL.Path)
	u, err := r.begin(machine, path.Base(dir), name, q.ContentLength)
	if errors.Is(err, fs.ErrExist) && q.Header.Get("If-None-Match") == "*" {
		return fmt.Errorf("%w: %w", errCondition, err)
	}
	if err != nil {
		return err
	}
	defer u.release()
	if err := r.takeBody(w, q.Body, u); err != nil {
		return errors.Join(err, u.save())
	}
	u.about().Length = u.about().Offset
	if err := u.save(); err != nil {
		return err
	}
	if err := r.settle(u, q); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}
