// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || s3

// Package s3 is the target that keeps dumps as objects in a bucket of Amazon S3 or
// of any store that has its interface.
//
// Objects have no directories and cannot be renamed; one appears at once, when all
// of it is there. So a file is uploaded in parts, and Commit completes the upload,
// on condition that there is no object of that name. Until then nobody sees it but
// as an unfinished upload, which takes the place of a name that says "incomplete".
// Abort leaves it at that: what was sent can still be made an object by hand (see
// docs/s3.md). A file that is too small for parts becomes an object whose name says
// that it is incomplete.
//
// A part whose upload fails is sent again until the file's context ends: the server
// may come back, or the link. That is the only thing this package tries again,
// except for requests that are parts of it. It gives up when the server refuses.
package s3

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/ukdump/ukdump/pkg/target"
)

// Options say where the bucket is and who we are there.
type Options struct {
	// Endpoint is the URL of the service, http or https, without a path.
	Endpoint string
	Bucket   string
	Prefix   string // of the names of all objects, such as "crash/rack7"; may be empty
	// Region is what requests are signed for. If it is empty, Amazon is asked for
	// it; others do not care.
	Region string
	// HostStyle puts the bucket into the host name and not the path, for stores
	// other than Amazon's that want it.
	HostStyle bool

	// The credentials; without AccessKey, those that the machine's metadata service
	// has for its role (Amazon's, version 2).
	AccessKey, SecretKey, SessionToken string
	// Metadata is the URL of that service; the usual one if empty.
	Metadata string

	// TLS has the roots and pins to verify the server by; nil means the system's
	// roots.
	TLS *tls.Config
	// SetClock, if not nil, is called with the server's time when it refuses
	// requests because ours is wrong: capture kernels may have no clock. Setting the
	// system's clock is its task.
	SetClock func(time.Time) error
}

// Parse splits an address as kdump.conf has it: "s3://BUCKET/PREFIX" for Amazon's,
// or the URL "https://HOST:PORT/BUCKET/PREFIX". It sets Endpoint, Bucket and
// Prefix.
func Parse(address string) (Options, error) {
	wrong := fmt.Errorf("%.80q is neither s3://BUCKET/PREFIX nor https://HOST/BUCKET/PREFIX", address)
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Host == "" {
		return Options{}, wrong
	}
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
	o := Options{Endpoint: u.Scheme + "://" + u.Host, Bucket: bucket, Prefix: prefix}
	switch u.Scheme {
	case "s3":
		o = Options{Endpoint: amazon, Bucket: u.Host, Prefix: strings.TrimPrefix(u.Path, "/")}
	case "http", "https":
	default:
		return Options{}, wrong
	}
	o.Prefix = strings.Trim(o.Prefix, "/")
	if o.Bucket == "" {
		return Options{}, wrong
	}
	return o, nil
}

const amazon = "https://s3.amazonaws.com"

// Store is a prefix in a bucket. It implements target.Store.
type Store struct {
	o      Options
	api    minio.Core
	wire   *wire
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	// How long a request may make no progress; slowly is for the server to put the
	// parts of a large object together.
	quickly, slowly time.Duration

	mu   sync.Mutex
	made map[string]bool
}

const (
	// connectTime bounds connecting, and TLS's handshake, each.
	connectTime = 15 * time.Second
	// metadataTime bounds each request to the metadata service, which is near.
	metadataTime = 5 * time.Second
)

// Open looks whether the bucket answers. Credentials that may not list it will do.
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{o: o, wire: &wire{Transport: o.Transport()}, quickly: 30 * time.Second, slowly: 5 * time.Minute, made: map[string]bool{}}
	client, err := o.Client(s.wire, 1)
	if err != nil {
		return nil, err
	}
	s.api = minio.Core{Client: client}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.once(ctx, s.quickly, s.exists("", new(bool))); err != nil {
		s.Close()
		return nil, fmt.Errorf("%v: %w", s, err)
	}
	return s, nil
}

// Client returns a client of the service, for those who do something else with the
// bucket than to open it as a target. It tries each request so often.
func (o Options) Client(transport http.RoundTripper, tries int) (*minio.Client, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("%.80q is no URL of an S3 service", o.Endpoint)
	}
	if !strings.HasSuffix(u.Hostname(), ".amazonaws.com") && o.Region == "" {
		o.Region = "us-east-1"
	}
	lookup := minio.BucketLookupAuto // as Amazon wants it, and the path for others
	if o.HostStyle {
		lookup = minio.BucketLookupDNS
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds:        o.credentials(),
		Secure:       u.Scheme == "https",
		Transport:    transport,
		Region:       o.Region,
		BucketLookup: lookup,
		MaxRetries:   tries,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Endpoint, err)
	}
	return client, nil
}

// Transport returns what makes connections to the service.
func (o Options) Transport() *http.Transport {
	return &http.Transport{
		DialContext:         (&net.Dialer{Timeout: connectTime, KeepAlive: connectTime}).DialContext,
		TLSClientConfig:     o.TLS,
		TLSHandshakeTimeout: connectTime,
		WriteBufferSize:     64 << 10,
	}
}

func (o Options) credentials() *credentials.Credentials {
	if o.AccessKey != "" {
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken)
	}
	return credentials.New(&credentials.IAM{
		Client:   &http.Client{Timeout: metadataTime, Transport: &http.Transport{}},
		Endpoint: o.Metadata,
	})
}

// secure reports whether nobody on the way can change what is sent.
func (s *Store) secure() bool { return strings.HasPrefix(s.o.Endpoint, "https:") }

// wire is the connection to the server. It implements http.RoundTripper.
type wire struct {
	*http.Transport
	mu   sync.Mutex
	date string // of the server's last answer
}

// maxAnswer bounds how much of an answer is read, in bytes.
const maxAnswer = 1 << 20

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := w.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.date = answer.Header.Get("Date")
	return answer, nil
}

// maxNames bounds how many names Make tries.
const maxNames = 1000

// Make implements target.Store. A directory is what the names of its objects begin
// with; there is nothing to make.
func (s *Store) Make(ctx context.Context, name string) (target.Target, error) {
	for n := 1; n <= maxNames; n++ {
		dir := name
		if n > 1 {
			dir += "-" + strconv.Itoa(n)
		}
		taken, err := s.taken(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("looking for %s in %v: %w", dir, s, err)
		}
		if !taken {
			return &dump{store: s, name: path.Join(s.o.Prefix, dir), left: map[string][]request{}}, nil
		}
	}
	return nil, fmt.Errorf("%v has %d dumps with the name %s", s, maxNames, name)
}

func (s *Store) taken(ctx context.Context, dir string) (bool, error) {
	s.mu.Lock()
	taken := s.made[dir]
	s.made[dir] = true
	s.mu.Unlock()
	if taken {
		return true, nil
	}
	err := s.retry(ctx, s.quickly, s.exists(dir+"/", &taken))
	return taken, err
}

// exists returns the request that finds out whether there are objects whose names
// begin so, below the prefix. Where that is a secret, none are known.
func (s *Store) exists(prefix string, found *bool) request {
	if s.o.Prefix != "" {
		prefix = s.o.Prefix + "/" + prefix
	}
	o := minio.ListObjectsOptions{Prefix: prefix, MaxKeys: 1, Recursive: true}
	return func(ctx context.Context, _ func()) error {
		for object := range s.api.ListObjectsIter(ctx, s.o.Bucket, o) {
			*found = object.Err == nil
			if AnswerOf(object.Err).Code == minio.AccessDenied {
				return nil
			}
			return object.Err
		}
		return nil
	}
}

// Close implements target.Store. Uploads under way end unfinished.
func (s *Store) Close() error {
	s.cancel()
	s.wire.CloseIdleConnections()
	return nil
}

// String implements target.Store.
func (s *Store) String() string {
	return s.o.Endpoint + "/" + path.Join(s.o.Bucket, s.o.Prefix)
}

// dump is what the names of the objects of one dump begin with. It implements
// target.Target.
type dump struct {
	store *Store
	name  string

	mu   sync.Mutex
	left map[string][]request // what removes incomplete files, by their names
}

// Create implements target.Target. The file takes writes in order only.
func (d *dump) Create(ctx context.Context, name string, _ int64) (target.File, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return newFile(ctx, d, name), nil
}

// Free implements target.Target: a bucket does not say.
func (d *dump) Free(context.Context) (int64, error) {
	return 0, fmt.Errorf("free space of %v: %w", d, errors.ErrUnsupported)
}

// String implements target.Target.
func (d *dump) String() string {
	return d.store.o.Endpoint + "/" + path.Join(d.store.o.Bucket, d.name)
}
