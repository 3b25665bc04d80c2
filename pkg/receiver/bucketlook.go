// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// refresh is how often a receiver looks what is in the bucket: what the other
	// receivers have done.
	refresh = 30 * time.Second
	// askTime is how long a client may ask what has become of its upload.
	askTime  = time.Hour
	maxPages = 100 // of unfinished uploads that are looked at
)

// survey is what was in the bucket.
type survey struct {
	used    usage
	dumps   map[string]map[string]bool // of machines
	uploads usage                      // how many are not complete
	states  map[string]seen            // by slots
	others  []minio.ObjectInfo         // what there is of uploads besides
}

// seen is a state, its tag, and the object that it is in.
type seen struct {
	object minio.ObjectInfo
	etag   string
	state  bucketState
	err    error
}

// keepLooking looks what is in the bucket until the receiver is closed.
func (b *bucket) keepLooking() {
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-ticker.C:
		}
		err := b.look()
		if err == nil {
			err = b.sweep(time.Now())
		}
		if err != nil && b.ctx.Err() == nil {
			b.log.Error("looking what is in the bucket", "error", err)
		}
	}
}

// look adds up what is in the bucket.
func (b *bucket) look() error {
	b.quota.measuring()
	s := survey{used: usage{}, uploads: usage{}, dumps: map[string]map[string]bool{}, states: map[string]seen{}}
	err := b.do(slowly, func(ctx context.Context) error {
		for object := range b.api.ListObjectsIter(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix, Recursive: true}) {
			if object.Err != nil {
				return object.Err
			}
			s.add(strings.TrimPrefix(object.Key, b.prefix), object)
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	before := b.latest.states
	b.mu.Unlock()
	for slot, now := range s.states {
		if old, ok := before[slot]; ok && old.etag == now.object.ETag {
			now.state, now.etag, now.err = old.state, old.etag, old.err
		} else {
			now.state, now.etag, now.err = b.load(slot)
		}
		if now.err != nil && !errors.Is(now.err, errState) && !errors.Is(now.err, fs.ErrNotExist) {
			return now.err
		}
		s.states[slot] = now
		if now.err == nil && !now.state.Done && !now.state.Ended {
			s.uploads[now.state.Machine]++
			s.used[now.state.Machine] += now.state.Offset
		}
	}
	b.mu.Lock()
	b.latest = s
	clear(b.remembered) // their clients may be gone
	b.mu.Unlock()
	b.quota.measured(s.used)
	return nil
}

// add adds an object, whose name is without the prefix.
func (s *survey) add(name string, object minio.ObjectInfo) {
	first, rest, _ := strings.Cut(name, "/")
	second, third, _ := strings.Cut(rest, "/")
	switch {
	case first != uploadsDir:
		s.used[first] += object.Size
		if s.dumps[first] == nil {
			s.dumps[first] = map[string]bool{}
		}
		s.dumps[first][second] = true
	case third == stateName:
		s.states[second] = seen{object: object}
	default:
		s.others = append(s.others, object)
	}
}

// sweep removes what nobody comes back to: uploads on which nothing has happened
// for long, and what a receiver that was killed may have left.
func (b *bucket) sweep(now time.Time) error {
	b.mu.Lock()
	s := b.latest
	b.mu.Unlock()
	live := map[string]bool{} // keys of pieces, and IDs of unfinished uploads
	for slot, seen := range s.states {
		age := now.Sub(seen.object.LastModified)
		switch {
		case seen.err == nil && (age > b.expire || age > askTime && (seen.state.Done || seen.state.Ended)):
			if err := b.giveUp(seen); err != nil {
				return err
			}
		case seen.err != nil: // gone, or damaged; the next upload of the file replaces it
		default:
			live[seen.state.Upload] = true
			for _, p := range seen.state.Pieces {
				live[b.key(slot, p.Name)] = true
			}
		}
	}
	for _, object := range s.others {
		if !live[object.Key] && now.Sub(object.LastModified) > b.expire {
			b.remove(object.Key)
		}
	}
	return b.sweepUploads(now, live)
}

// giveUp removes an upload, unless somebody has gone on with it.
func (b *bucket) giveUp(seen seen) error {
	state := seen.state.clone()
	if !state.Ended {
		state.Ended = true
		if _, err := b.save(&state, seen.etag); errors.Is(err, errBusy) {
			return nil
		} else if err != nil {
			return err
		}
		if !state.Done {
			b.log.Warn("given up", "machine", state.Machine, "file", state.Path, "bytes", state.Offset, "last", seen.object.LastModified)
		}
	}
	if !state.Done {
		b.clear(state)
	}
	b.remove(seen.object.Key)
	return nil
}

// sweepUploads aborts multipart uploads of which no state knows.
func (b *bucket) sweepUploads(now time.Time, live map[string]bool) error {
	key, id := "", ""
	for range maxPages {
		var page minio.ListMultipartUploadsResult
		err := b.do(quickly, func(ctx context.Context) (err error) {
			page, err = b.api.ListMultipartUploads(ctx, b.name, b.prefix, key, id, "", 0)
			return err
		})
		if err != nil {
			return fmt.Errorf("unfinished uploads: %w", err)
		}
		for _, u := range page.Uploads {
			if strings.HasPrefix(u.Key, b.prefix) && !live[u.UploadID] && now.Sub(u.Initiated) > b.expire {
				b.abort(u.Key, u.UploadID)
			}
		}
		if !page.IsTruncated {
			break
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
	return nil
}
