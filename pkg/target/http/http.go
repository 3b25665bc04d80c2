// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

// Package http is the target that sends dumps to a web server. Its files can only
// be written in order.
//
// A server that speaks tus 1.0 (https://tus.io/protocols/resumable-upload), such
// as ours, kdumprecv, gets resumable uploads, see tus.go. Every other one gets PUT
// requests, see put.go: a server with WebDAV, an object store's pre-signed URL.
// Which it is, an OPTIONS request tells.
package http

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ukdump/ukdump/pkg/target"
)

// Options say where the server is and who we are there.
type Options struct {
	// URL is what the names of files are appended to, if it ends in a slash;
	// otherwise the dump itself is put there, and nothing else.
	URL string
	// TLS says how the server is verified; nil means by the system's roots.
	TLS *tls.Config
	// Token is sent as a bearer token, if it is not empty.
	Token string
	// Patience is how long the server may acknowledge nothing before everything
	// fails; 0 means 90 seconds.
	Patience time.Duration
}

const (
	defaultPatience = 90 * time.Second
	connectTime     = 15 * time.Second
	answerTime      = 30 * time.Second // of a request without a body, or with a chunk
	endTime         = 5 * time.Minute  // for the server to sync a whole file to its disk
	retryEvery      = time.Second
	maxReason       = 200 // of what the server says about an error, in bytes
)

// Parse checks an address as kdump.conf has it.
func Parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%.80q is no URL", address)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, fmt.Errorf("%.80q is no URL of a web server, such as https://dumps.example.org/upload/", u.Redacted())
	case u.User != nil:
		return nil, errors.New("a URL for dumps has no user or password in it; http_token is for secrets")
	case u.Fragment != "":
		return nil, fmt.Errorf("%.80q has a fragment, which no server sees", u.Redacted())
	}
	if u.Path == "" {
		u.Path = "/"
	}
	return u, nil
}

// Store is a place on a web server. It implements target.Store.
type Store struct {
	opts   Options
	base   *url.URL
	client *http.Client
	tus    bool
	ctx    context.Context // ends with Close
	close  context.CancelFunc

	mu   sync.Mutex
	made map[string]bool
}

// Open asks the server what it can do.
func Open(ctx context.Context, o Options) (*Store, error) {
	base, err := Parse(o.URL)
	if err != nil {
		return nil, err
	}
	o.Patience = cmp.Or(o.Patience, defaultPatience)
	s := &Store{opts: o, base: base, made: map[string]bool{}}
	s.ctx, s.close = context.WithCancel(context.Background())
	s.client = &http.Client{
		Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: connectTime}).DialContext,
			TLSClientConfig:     o.TLS,
			TLSHandshakeTimeout: connectTime,
			MaxIdleConnsPerHost: 2,
			WriteBufferSize:     64 << 10,
		},
		// A body that was sent cannot be sent again.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	err = s.retry(ctx, func() error {
		answer, err := s.do(ctx, "OPTIONS", base, nil, nil)
		if err != nil {
			return err
		}
		s.tus = answer.Header.Get("Tus-Resumable") == tusVersion &&
			strings.Contains(answer.Header.Get("Tus-Extension"), "creation-defer-length")
		return nil
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("%v: %w", s, err)
	}
	return s, nil
}

// do sends a request without a body, or with a small one, and reads the answer.
// Whatever the server answers is no error.
func (s *Store) do(ctx context.Context, method string, u *url.URL, header http.Header, body io.Reader) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, min(answerTime, s.opts.Patience), errNoAnswer)
	defer cancel()
	request, err := s.request(ctx, method, u, header, body)
	if err != nil {
		return nil, err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return nil, because(ctx, err)
	}
	// What is left of a small body is read, so that the connection can be used again.
	answer.Body = &reason{text: readReason(answer.Body), body: answer.Body}
	answer.Body.Close()
	return answer, nil
}

func (s *Store) request(ctx context.Context, method string, u *url.URL, header http.Header, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	for key, values := range header {
		request.Header[key] = values
	}
	if s.opts.Token != "" {
		request.Header.Set("Authorization", "Bearer "+s.opts.Token)
	}
	request.Header.Set("User-Agent", "ukdump")
	return request, nil
}

// because returns why a request got no answer.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	// It has the whole URL, which may be a secret.
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

// reason is the beginning of an answer's body, which may say what is wrong.
type reason struct {
	text string
	body io.ReadCloser
}

func (r *reason) Read([]byte) (int, error) { return 0, io.EOF }
func (r *reason) Close() error             { return r.body.Close() }

func readReason(body io.Reader) string {
	text, _ := io.ReadAll(io.LimitReader(body, maxReason))
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 64<<10))
	return strings.Join(strings.Fields(strings.Map(printable, string(text))), " ")
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r == 0xfffd {
		return ' '
	}
	return r
}

var (
	errNoAnswer = errors.New("the server does not answer")
	errLost     = errors.New("the server has lost a part of the file")
)

// statusError is an answer that is not the one that was hoped for.
type statusError struct {
	method, status, reason string
	code                   int
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("%s: the server answers %s", e.method, e.status)
	if e.reason != "" {
		text += fmt.Sprintf(" (%s)", e.reason)
	}
	return text
}

func (e *statusError) Is(err error) bool {
	return err == target.ErrNoSpace && (e.code == http.StatusRequestEntityTooLarge || e.code == http.StatusInsufficientStorage)
}

// failure returns an error about an answer.
func failure(answer *http.Response) error {
	text := ""
	if r, ok := answer.Body.(*reason); ok {
		text = r.text
	}
	return &statusError{answer.Request.Method, answer.Status, text, answer.StatusCode}
}

// final reports whether another try would end the same way. A server that is
// starting refuses connections, and a proxy in front of it says 502, 503 or 504.
func final(err error) bool {
	var status *statusError
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	var finally *finalError
	switch {
	case errors.As(err, &finally):
		return true
	case errors.As(err, &status):
		again := []int{http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusLocked}
		return status.code < 500 && !slices.Contains(again, status.code) ||
			status.code == http.StatusInsufficientStorage || status.code == http.StatusNotImplemented
	case errors.As(err, &dns):
		return dns.IsNotFound
	case errors.As(err, &certificate), errors.Is(err, errLost):
		return true
	}
	return isTLS(err)
}

// isTLS reports whether err is one of verifying the server, of which package tls
// has no type for some.
func isTLS(err error) bool {
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.As(err, &alert) || errors.As(err, &record) || strings.Contains(err.Error(), "not the pinned one")
}

// retry calls f until it succeeds, is refused, or has failed for too long.
func (s *Store) retry(ctx context.Context, f func() error) error {
	began := time.Now()
	return s.retrySince(ctx, &began, f)
}

// retrySince does the same, and counts the time since began, which f may change
// when the server has acknowledged something.
func (s *Store) retrySince(ctx context.Context, began *time.Time, f func() error) error {
	for {
		err := f()
		switch {
		case err == nil || final(err):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case s.ctx.Err() != nil:
			return err
		case time.Since(*began) > s.opts.Patience:
			return fmt.Errorf("given up after %v: %w", s.opts.Patience, err)
		}
		timer := time.NewTimer(retryEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-s.ctx.Done():
		}
		timer.Stop()
	}
}

// maxNames bounds how many names Make tries.
const maxNames = 1000

// Make implements target.Store. A directory is what the names of its files begin
// with; there is nothing to make.
func (s *Store) Make(ctx context.Context, name string) (target.Target, error) {
	if s.single() {
		return &Dir{store: s}, nil
	}
	for n := 1; n <= maxNames; n++ {
		dir := name
		if n > 1 {
			dir += "-" + strconv.Itoa(n)
		}
		taken, err := s.taken(ctx, dir)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", s, err)
		}
		if !taken {
			return &Dir{store: s, name: dir + "/"}, nil
		}
	}
	return nil, fmt.Errorf("%v has %d dumps with the name %s", s, maxNames, name)
}

// taken reports whether there is a directory of that name. Servers refuse to show
// what is in one in many ways, or answer alike whatever there is: it is there if
// they say something else than of a name that nobody can have given.
func (s *Store) taken(ctx context.Context, dir string) (bool, error) {
	s.mu.Lock()
	taken := s.made[dir]
	s.made[dir] = true
	s.mu.Unlock()
	if taken || s.tus { // a server with tus has files, and says of each whether it is there
		return taken, nil
	}
	var codes [2]int
	for i, name := range []string{dir, rand.Text()} {
		err := s.retry(ctx, func() error {
			answer, err := s.do(ctx, "HEAD", s.base.JoinPath(name+"/"), nil, nil)
			if err == nil {
				codes[i] = answer.StatusCode
			}
			return err
		})
		if err != nil {
			return false, err
		}
	}
	return codes[0] != codes[1], nil
}

// single reports whether the URL is that of one file.
func (s *Store) single() bool { return !s.tus && !strings.HasSuffix(s.base.Path, "/") }

// Close implements target.Store.
func (s *Store) Close() error {
	s.close()
	s.client.CloseIdleConnections()
	return nil
}

// String implements target.Store. A query may have a signature, which is a secret.
func (s *Store) String() string {
	u := *s.base
	u.RawQuery = ""
	return u.String()
}

// Dir is a directory for one dump. It implements target.Target.
type Dir struct {
	store *Store
	name  string // with a slash; nothing if the URL is that of one file
}

// String implements target.Target.
func (d *Dir) String() string { return d.store.String() + d.name }

// Free implements target.Target: nobody can know.
func (d *Dir) Free(context.Context) (int64, error) {
	return 0, fmt.Errorf("%v: %w", d, errors.ErrUnsupported)
}

// dumpName is what the name of the only file begins with that a URL of one file
// takes.
const dumpName = "vmcore"

// Create implements target.Target. No room is reserved, as there is no way to.
func (d *Dir) Create(ctx context.Context, name string, _ int64) (target.File, error) {
	if d.store.tus {
		return d.createUpload(ctx, name)
	}
	if d.store.single() && !strings.HasPrefix(name, dumpName+".") {
		return nil, fmt.Errorf("%v is the URL of one file, which is the dump: there is no place for %s", d, name)
	}
	return d.createPut(ctx, name)
}
