// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// errImpatient is why everything fails when nothing moves.
var errImpatient = errors.New("the server does not answer")

// finalError is an error that another try would not change.
type finalError struct{ error }

func (e finalError) Unwrap() error { return e.error }

// do calls f as try does, but returns when ctx ends, whatever f does.
func do[T any](ctx context.Context, s *Store, f func(*sftp.Client) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		r.err = s.try(ctx, func(c *sftp.Client) (err error) {
			r.value, err = f(c)
			return err
		})
		done <- r
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// do is the function do for what has no result.
func (s *Store) do(ctx context.Context, f func(*sftp.Client) error) error {
	_, err := do(ctx, s, func(c *sftp.Client) (struct{}, error) { return struct{}{}, f(c) })
	return err
}

// try calls f with a connection, and again with another one when that breaks.
func (s *Store) try(ctx context.Context, f func(*sftp.Client) error) (err error) {
	s.wait()
	defer s.waited()
	defer func() {
		// Some answers that make no sense make the library panic.
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	for {
		c, err := s.connection(ctx)
		if err != nil {
			return err
		}
		err = f(c.sftp)
		if err == nil || answered(err) {
			s.moved()
			return err
		}
		c.abandon()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if s.impatient() {
			return s.gaveUp(err)
		}
	}
}

// answered reports whether err is an answer of the server, or our own judgment of
// one, and not that the connection broke.
func answered(err error) bool {
	var status *sftp.StatusError
	if errors.As(err, &status) {
		return status.FxCode() != sftp.ErrSSHFxConnectionLost && status.FxCode() != sftp.ErrSSHFxNoConnection
	}
	var final finalError
	return errors.As(err, &final) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrExist) ||
		errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported)
}

// wait notes that something waits for the server, until waited is called.
func (s *Store) wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == 0 {
		s.progress = time.Now()
	}
	s.waiting++
}

func (s *Store) waited() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

// moved notes that the server has answered a request.
func (s *Store) moved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = time.Now()
}

// impatient reports whether something waits for the server, which has answered
// nothing for too long.
func (s *Store) impatient() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting > 0 && time.Since(s.progress) > s.opts.Patience
}

// gaveUp says so; err is what went wrong last, if that is known.
func (s *Store) gaveUp(err error) error {
	if err == nil {
		return fmt.Errorf("%w for %v", errImpatient, s.opts.Patience)
	}
	return fmt.Errorf("%w for %v: %w", errImpatient, s.opts.Patience, err)
}

// connection returns a connection that was not broken a moment ago. It makes one
// if there is none, as often as Options.Patience allows.
func (s *Store) connection(ctx context.Context) (*conn, error) {
	s.dialing.Lock() // one goroutine does that for all
	defer s.dialing.Unlock()
	for {
		if c, err := s.alive(); c != nil || err != nil {
			return c, err
		}
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case s.isFinal(s.dialErr):
			return nil, s.dialErr
		case s.impatient():
			return nil, s.gaveUp(s.dialErr)
		}
		if err := sleep(ctx, time.Until(s.nextDial)); err != nil {
			return nil, err
		}
		s.nextDial = time.Now().Add(retryEvery)
		var c *conn
		if c, s.dialErr = s.dial(ctx); s.dialErr == nil {
			s.use(c)
		}
	}
}

// isFinal reports whether to connect again would end the same way. A name that
// does not exist and a server that does not let us in are final, unless they were
// better before: a server that is restarting may do all kinds of things. Whatever
// shows another host key is not our server.
func (s *Store) isFinal(err error) bool {
	var final finalError
	if errors.As(err, &final) {
		return true
	}
	var dns *net.DNSError
	return s.conn == nil && (errors.As(err, &dns) && dns.IsNotFound || errors.Is(err, ErrLogin))
}

// alive returns the connection that there is, or nil.
func (s *Store) alive() (*conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, os.ErrClosed
	}
	if s.conn == nil {
		return nil, nil
	}
	select {
	case <-s.conn.dead:
		return nil, nil
	default:
		return s.conn, nil
	}
}

// use makes c the connection, unless the store was closed meanwhile.
func (s *Store) use(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = c
	if s.closed {
		c.close()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// dial makes a connection, and has it watched.
func (s *Store) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, fmt.Errorf("no connection within %v", connectTime))
	defer cancel()
	c, err := connect(ctx, s.opts.address(), s.hosts.config(s.opts, ssh.PublicKeys(s.signer)))
	if err != nil {
		return nil, s.explain(err)
	}
	go func() {
		defer c.abandon()
		defer func() { _ = recover() }()
		c.watch(s.opts.Silence, s.impatient)
	}()
	return c, nil
}

// connect makes a connection.
func connect(ctx context.Context, address string, config *ssh.ClientConfig) (*conn, error) {
	network, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { network.Close() })
	c, err := newConn(network, address, config)
	if !stop() {
		if c != nil {
			c.close()
		}
		return nil, context.Cause(ctx)
	}
	if err != nil {
		network.Close()
	}
	return c, err
}

// conn is a connection to the server.
type conn struct {
	wire *wire
	ssh  *ssh.Client
	sftp *sftp.Client
	dead chan struct{} // closed when the connection is
	once sync.Once
}

func newConn(network net.Conn, address string, config *ssh.ClientConfig) (*conn, error) {
	c := &conn{wire: &wire{Conn: network, began: time.Now()}, dead: make(chan struct{})}
	transport, channels, requests, err := ssh.NewClientConn(c.wire, address, config)
	if err != nil {
		return nil, err
	}
	c.ssh = ssh.NewClient(transport, channels, requests)
	// The library's own concurrency has goroutines that do not survive what a
	// hostile server may answer.
	if c.sftp, err = sftp.NewClient(c.ssh, sftp.UseConcurrentReads(false)); err != nil {
		c.ssh.Close()
		return nil, fmt.Errorf("no SFTP: %w", err)
	}
	return c, nil
}

// close closes the connection. Whoever waits for an answer gets an error.
func (c *conn) close() {
	c.once.Do(func() {
		close(c.dead)
		c.ssh.Close() // first, as closing SFTP talks to the server
		c.sftp.Close()
	})
}

// abandon closes a connection that is broken, and has the kernel forget what was
// not sent yet. Else that would arrive after what is sent again on the next
// connection, and after what was written over it since.
func (c *conn) abandon() {
	if tcp, ok := c.wire.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	c.close()
}

// watch asks the server now and then whether it is there, and returns when it is
// not, when it answers that but not what it was asked for, or when the connection
// is closed.
func (c *conn) watch(silence time.Duration, impatient func() bool) {
	ticker := time.NewTicker(silence / 3)
	defer ticker.Stop()
	idle := make(chan struct{}, 1) // has something in it unless an answer is awaited
	idle <- struct{}{}
	for c.wire.silent() <= silence && !impatient() {
		select {
		case <-c.dead:
			return
		case <-ticker.C:
		}
		select {
		case <-idle:
			go func() {
				defer func() {
					_ = recover()
					idle <- struct{}{}
				}()
				// What it is does not matter, nor whether the server knows it.
				_, _, _ = c.ssh.SendRequest("keepalive@openssh.com", true, nil)
			}()
		default:
		}
	}
}

// wire is the connection below SSH. It knows when the server was heard last: on a
// slow link, the answer to a keepalive comes after much else.
type wire struct {
	net.Conn
	began time.Time
	heard atomic.Int64 // in nanoseconds since began
}

// Read implements net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if n > 0 {
		w.heard.Store(int64(time.Since(w.began)))
	}
	return n, err
}

// silent returns for how long the server has said nothing.
func (w *wire) silent() time.Duration {
	return time.Since(w.began) - time.Duration(w.heard.Load())
}
