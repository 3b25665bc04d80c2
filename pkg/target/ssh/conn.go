// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// errImpatient is why everything fails when nothing moves.
var errImpatient = errors.New("the server does not answer")

// conn is a connection to the server.
type conn struct {
	ssh  *ssh.Client
	sftp *sftp.Client
	dead chan struct{} // closed when the connection is
	once sync.Once
}

// close closes the connection. Whoever waits for an answer gets an error.
func (c *conn) close() {
	c.once.Do(func() {
		close(c.dead)
		c.ssh.Close() // first, as closing SFTP talks to the server
		c.sftp.Close()
	})
}

// do calls f with a connection, and again with another one when that breaks. It
// returns when ctx ends, whatever f does.
func (s *Store) do(ctx context.Context, f func(*sftp.Client) error) error {
	done := make(chan error, 1)
	go func() {
		defer recovered(done)
		done <- s.try(ctx, f)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// recovered makes an error of a panic in a goroutine.
func recovered(done chan<- error) {
	if v := recover(); v != nil {
		done <- fmt.Errorf("panic: %v", v)
	}
}

func (s *Store) try(ctx context.Context, f func(*sftp.Client) error) error {
	began := time.Now()
	for {
		c, err := s.connection(ctx, began)
		if err != nil {
			return err
		}
		err = f(c.sftp)
		if err == nil {
			s.moved()
			return nil
		}
		if refused(err) || ctx.Err() != nil {
			return err
		}
		c.close()
		if s.impatient(began) {
			return fmt.Errorf("%w for %v: %w", errImpatient, s.opts.Patience, err)
		}
	}
}

// moved notes that the server has acknowledged something.
func (s *Store) moved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.progress = time.Now()
}

// impatient reports whether the server has acknowledged nothing for too long, of
// what was under way since began.
func (s *Store) impatient(began time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(time.Since(s.progress), time.Since(began)) > s.opts.Patience
}

// refused reports whether err is an answer of the server, and not that it gave
// none.
func refused(err error) bool {
	var status *sftp.StatusError
	if errors.As(err, &status) {
		return status.FxCode() != sftp.ErrSSHFxConnectionLost && status.FxCode() != sftp.ErrSSHFxNoConnection
	}
	var final *finalError
	return errors.As(err, &final) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrExist) || errors.Is(err, os.ErrPermission) ||
		errors.Is(err, errors.ErrUnsupported) || errors.Is(err, errLost)
}

// connection returns a connection that was not broken a moment ago. It makes one
// if there is none, as often as Options.Patience allows.
func (s *Store) connection(ctx context.Context, began time.Time) (*conn, error) {
	s.dialing.Lock() // one goroutine does that for all
	defer s.dialing.Unlock()
	for {
		if c, err := s.alive(); c != nil || err != nil {
			return c, err
		}
		c, err := s.dial(ctx)
		switch {
		case err == nil:
			s.set(c)
			continue
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case isFinal(err):
			return nil, err
		case s.impatient(began):
			return nil, fmt.Errorf("%w for %v: %w", errImpatient, s.opts.Patience, err)
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
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

func (s *Store) set(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conn = c
	if s.closed {
		c.close()
	}
}

// pause waits before the next try.
func pause(ctx context.Context) error {
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// isFinal reports whether another try of connecting would end the same way: names
// that do not exist, keys that are refused. A server that refuses the connection
// may be restarting.
func isFinal(err error) bool {
	var dns *net.DNSError
	var final *finalError
	return errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &final)
}

// finalError is an error that another try would not change.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// dial makes a connection, and has it die when the server does not answer.
func (s *Store) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, connectTime, errImpatient)
	defer cancel()
	address := net.JoinHostPort(s.opts.Host, strconv.Itoa(s.opts.Port))
	network, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { network.Close() })
	c, err := s.handshake(network, address)
	if !stop() && err == nil {
		c.close()
		return nil, context.Cause(ctx)
	}
	if err != nil {
		network.Close()
		return nil, err
	}
	go c.keepAlive()
	return c, nil
}

func (s *Store) handshake(network net.Conn, address string) (*conn, error) {
	config := s.auth.config(s.opts.User, address)
	transport, channels, requests, err := ssh.NewClientConn(network, address, config)
	if err != nil {
		return nil, s.auth.explain(err)
	}
	client := ssh.NewClient(transport, channels, requests)
	files, err := sftp.NewClient(client, sftp.UseConcurrentWrites(true), sftp.MaxConcurrentRequestsPerFile(maxRequests))
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("the server has no SFTP: %w", err)
	}
	return &conn{ssh: client, sftp: files, dead: make(chan struct{})}, nil
}

// keepAlive asks the server now and then whether it is there, and closes the
// connection when it is not.
func (c *conn) keepAlive() {
	defer func() { _ = recover() }()
	defer c.close()
	ticker := time.NewTicker(keepaliveEvery)
	defer ticker.Stop()
	for {
		select {
		case <-c.dead:
			return
		case <-ticker.C:
		}
		answered := make(chan error, 1)
		go func() {
			defer recovered(answered)
			_, _, err := c.ssh.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		timer := time.NewTimer(answerTime)
		select {
		case err := <-answered:
			timer.Stop()
			if err != nil {
				return
			}
		case <-timer.C:
			return
		}
	}
}
