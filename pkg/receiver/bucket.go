// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/ukdump/ukdump/pkg/target/s3"
)

// bucket is the store that is a bucket of an object store:
//
//	PREFIX/MACHINE/DUMP/vmcore.flat
//	PREFIX/.uploads/SLOT/state       what is known of an upload, see bucketState
//	PREFIX/.uploads/SLOT/PIECE       what has come of it lately
//
// An object cannot be written at several places, so a flattened dump stays one.
//
// Any number of receivers may have the same bucket. All that is known of an upload
// is in its state, which is replaced on condition that nobody else has done so
// meanwhile. What no state names does not exist. So of two receivers that both have
// a request for an upload, the first to save what it has wins, and the other one's
// client is told to ask again. A receiver that remembers an upload need not read
// what it has written itself; if others have gone on with it, it does not win.
type bucket struct {
	api    minio.Core
	name   string
	prefix string // of all keys, with a slash at its end if there is one
	log    *slog.Logger
	quota  *quota
	limits uploadLimits
	expire time.Duration // after which nobody comes back to an upload
	md5    bool          // tags of objects are their MD5 sums, as they mostly are

	ctx     context.Context // ends with close
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu         sync.Mutex
	latest     survey
	remembered map[string]*bucketUpload // some, by their slots
}

const (
	stateName = "state"
	// quickly bounds a request to the store, as clients wait half a minute for us;
	// slowly one that makes a large object of its parts, for which they wait longer.
	quickly = 25 * time.Second
	slowly  = 4 * time.Minute
	tries   = 3 // of a request
	// maxState bounds a state, and maxAnswer all else that the store says but for
	// what is in pieces; in bytes.
	maxState  = 256 << 10
	maxAnswer = 8 << 20
	// maxRemembered bounds the uploads that are remembered, each of which may have
	// as much in memory as a request.
	maxRemembered = 32
)

var (
	errSlow = errors.New("the object store does not answer in time")
	// errChanged says that an object is not any more what a request takes it for.
	errChanged = errors.New("the object has changed")
)

func openBucket(o Options, q *quota) (*bucket, error) {
	client, err := o.Bucket.Client(newWire(o.Bucket), tries)
	if err != nil {
		return nil, err
	}
	b := &bucket{api: minio.Core{Client: client}, name: o.Bucket.Bucket, prefix: o.Bucket.Prefix, log: o.Log, quota: q,
		limits: uploadLimits{o.MaxUploads, o.MachineUploads}, expire: o.Expire,
		remembered: map[string]*bucketUpload{}}
	if b.prefix != "" {
		b.prefix += "/"
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	err = b.checkConditions()
	if err == nil {
		err = b.look()
	}
	if err != nil {
		b.cancel()
		return nil, fmt.Errorf("bucket %s of %s: %w", b.name, o.Bucket.Endpoint, err)
	}
	b.running.Go(b.keepLooking)
	return b, nil
}

// close implements store.
func (b *bucket) close() error {
	b.cancel()
	b.running.Wait()
	return nil
}

// wire is the connection to the store. It implements http.RoundTripper.
type wire struct{ *http.Transport }

func newWire(o *s3.Options) wire {
	w := wire{o.Transport()}
	w.MaxIdleConnsPerHost = 64
	return w
}

// RoundTrip implements http.RoundTripper.
func (w wire) RoundTrip(q *http.Request) (*http.Response, error) {
	answer, err := w.Transport.RoundTrip(q)
	if err == nil && q.URL.RawQuery != "" { // it is not an object
		answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	}
	return answer, err
}

// do carries out requests to the store, which have to end in time.
func (b *bucket) do(limit time.Duration, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(b.ctx, limit, errSlow)
	defer cancel()
	err := f(ctx)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	answer := s3.AnswerOf(err)
	switch {
	case answer.StatusCode == http.StatusPreconditionFailed, answer.Code == "ConditionalRequestConflict":
		return fmt.Errorf("%w: %w", errChanged, err)
	case answer.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}

// checkConditions makes sure that the store knows the conditions by which receivers
// do not get into each other's way. Some do what is asked for whatever they are.
func (b *bucket) checkConditions() error {
	key := b.prefix + path.Join(uploadsDir, "check-"+rand.Text())
	etag, err := b.put(key, []byte("x"), "")
	if err != nil {
		return err
	}
	b.md5 = etag == md5Tag([]byte("x"))
	defer b.remove(key)
	_, again := b.put(key, []byte("y"), "")
	_, other := b.put(key, []byte("y"), "0123456789abcdef0123456789abcdef")
	_, same := b.put(key, []byte("z"), etag)
	if !errors.Is(again, errChanged) || !errors.Is(other, errChanged) || same != nil {
		return fmt.Errorf("the object store does not know conditions (If-None-Match, If-Match): %w", errors.Join(again, other, same, errors.ErrUnsupported))
	}
	return nil
}

// put writes an object if there is one with that tag, or none, and returns the new
// tag.
func (b *bucket) put(key string, text []byte, etag string) (newTag string, err error) {
	sum := sha256.Sum256(text)
	o := minio.PutObjectOptions{ContentType: "application/json", DisableContentSha256: true} // it has one
	if etag == "" {
		o.SetMatchETagExcept("*")
	} else {
		o.SetMatchETag(etag)
	}
	err = b.do(quickly, func(ctx context.Context) error {
		info, err := b.api.PutObject(ctx, b.name, key, bytes.NewReader(text), int64(len(text)), "", hex.EncodeToString(sum[:]), o)
		newTag = info.ETag
		return err
	})
	return newTag, err
}

// remove removes an object that nothing names any more. If that fails, it is found
// again when it is old.
func (b *bucket) remove(key string) {
	err := b.do(quickly, func(ctx context.Context) error {
		return b.api.RemoveObject(ctx, b.name, key, minio.RemoveObjectOptions{})
	})
	if err != nil {
		b.log.Warn("an object stays behind", "key", key, "error", err)
	}
}

// removePieces removes pieces of the upload of a slot.
func (b *bucket) removePieces(slot string, old []piece) {
	var removing sync.WaitGroup
	for _, p := range old {
		removing.Go(func() { b.remove(b.key(slot, p.Name)) })
	}
	removing.Wait()
}

// madeBy returns which upload has made the object, and whether there is one.
func (b *bucket) madeBy(key string) (id string, there bool, err error) {
	err = b.do(quickly, func(ctx context.Context) error {
		info, err := b.api.StatObject(ctx, b.name, key, minio.StatObjectOptions{})
		id = s3.MarkOf(info)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return id, err == nil, err
}

// key returns the key of what is kept about the upload of a slot.
func (b *bucket) key(slot, name string) string { return b.prefix + path.Join(uploadsDir, slot, name) }

// load reads the state of a slot. A damaged one comes with its tag and an error
// that wraps errState.
func (b *bucket) load(slot string) (s bucketState, etag string, err error) {
	var text []byte
	for try := 0; ; try++ {
		if text, etag, err = b.get(b.key(slot, stateName)); err != nil {
			return s, "", err
		}
		// While an object is replaced, a gateway to a file system may answer with
		// the text of one and the tag of the other. With that tag we could replace
		// what we have not seen.
		if !b.md5 || etag == md5Tag(text) || len(text) > maxState {
			break
		}
		if try == tries {
			return s, "", fmt.Errorf("%w: the state of the upload keeps changing", errBusy)
		}
	}
	if len(text) > maxState {
		return s, etag, fmt.Errorf("%w: more than %d bytes", errState, maxState)
	}
	if s, err = parseState(text); err != nil {
		return s, etag, err
	}
	if s.slot() != slot {
		return s, etag, fmt.Errorf("%w: it is that of %.80s", errState, s.Path)
	}
	return s, etag, nil
}

// get reads an object with a state, and a little more than one may have.
func (b *bucket) get(key string) (text []byte, etag string, err error) {
	err = b.do(quickly, func(ctx context.Context) error {
		body, info, _, err := b.api.GetObject(ctx, b.name, key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close()
		etag = info.ETag
		text, err = io.ReadAll(io.LimitReader(body, maxState+1))
		return err
	})
	return text, etag, err
}

func md5Tag(text []byte) string {
	sum := md5.Sum(text)
	return hex.EncodeToString(sum[:])
}

// save writes a state in place of the one that has the tag, or of none, and returns
// its tag. If somebody else was faster, the error wraps errBusy.
func (b *bucket) save(s *bucketState, etag string) (newTag string, err error) {
	s.Mark = rand.Text()
	text, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	newTag, err = b.put(b.key(s.slot(), stateName), text, etag)
	if err == nil || !errors.Is(err, errChanged) && !errors.Is(err, fs.ErrNotExist) {
		return newTag, err
	}
	// The answer to an earlier try may have got lost.
	if now, tag, loadErr := b.load(s.slot()); loadErr == nil && now.Mark == s.Mark {
		return tag, nil
	}
	return "", fmt.Errorf("%w: another receiver goes on with the upload", errBusy)
}

// begin implements store.
func (b *bucket) begin(f file, length int64) (upload, error) {
	if _, there, err := b.madeBy(b.prefix + f.path()); err != nil || there {
		return nil, cmp.Or(err, fmt.Errorf("%s: %w", f.name, fs.ErrExist))
	}
	if err := b.checkCount(f); err != nil {
		return nil, err
	}
	old, etag, err := b.load(f.slot())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := b.mayBegin(f.machine); err != nil {
			return nil, err
		}
	case errors.Is(err, errState):
		b.log.Warn("begun anew", "file", f.path(), "error", err)
		old = bucketState{known: known{Done: true}} // nothing that it names can be believed
	case err != nil:
		return nil, err
	case old.Ended:
		return nil, fmt.Errorf("%w: an earlier upload of the file is being removed", errBusy)
	}
	u := &bucketUpload{b: b, etag: etag, bucketState: bucketState{known: newKnown(f, length), Next: 1}}
	if err := u.commit(u.clone()); err != nil {
		return nil, err
	}
	if etag != "" && !old.Done {
		_ = b.quota.take(f.machine, -old.Offset)
		b.clear(old)
	}
	return u, nil
}

// checkCount bounds the files of a dump and the dumps of a machine.
func (b *bucket) checkCount(f file) error {
	files := 0
	err := b.do(quickly, func(ctx context.Context) error {
		o := minio.ListObjectsOptions{Prefix: b.prefix + path.Join(f.machine, f.dump) + "/", MaxKeys: maxFiles, Recursive: true}
		for object := range b.api.ListObjectsIter(ctx, b.name, o) {
			if files++; object.Err != nil || files == maxFiles {
				return object.Err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if files >= maxFiles || files == 0 && len(b.latest.dumps[f.machine]) >= maxDumps {
		return fmt.Errorf("%w: too many files", errQuota)
	}
	return nil
}

// mayBegin counts one more upload if there may be one.
func (b *bucket) mayBegin(machine string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.limits.check(b.latest.uploads, machine); err != nil {
		return err
	}
	b.latest.uploads[machine]++
	return nil
}

// ended counts one upload less.
func (b *bucket) ended(machine string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.latest.uploads[machine]--
}

// resume implements store.
func (b *bucket) resume(machine, id string, offset int64) (upload, error) {
	slot, err := slotOf(id)
	if err != nil {
		return nil, err
	}
	if u := b.recall(slot); u != nil && u.ID == id && u.Machine == machine && u.Offset == offset {
		return u, nil
	}
	s, etag, err := b.load(slot)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errUnknown
	case err != nil:
		return nil, err
	case s.ID != id, s.Machine != machine, s.Ended:
		return nil, errUnknown
	}
	return &bucketUpload{b: b, etag: etag, bucketState: s}, nil
}

// remember keeps an upload, as it is in the bucket, for the next request of its
// client. Which receiver that goes to nobody knows.
func (b *bucket) remember(u *bucketUpload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.remembered) < maxRemembered {
		b.remembered[u.slot()] = u
	}
}

// recall returns what is remembered of the upload of a slot, once, or nil.
func (b *bucket) recall(slot string) *bucketUpload {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.remembered[slot]
	delete(b.remembered, slot)
	return u
}

// clear removes what is left of an upload that nobody goes on with.
func (b *bucket) clear(s bucketState) {
	if s.Upload != "" {
		b.abort(b.prefix+s.Path, s.Upload)
	}
	b.removePieces(s.slot(), s.Pieces)
}

func (b *bucket) abort(key, upload string) {
	err := b.do(quickly, func(ctx context.Context) error {
		return b.api.AbortMultipartUpload(ctx, b.name, key, upload)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.log.Warn("an unfinished upload stays behind", "key", key, "error", err)
	}
}
