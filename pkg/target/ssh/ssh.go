// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

// Package ssh is the target that keeps dumps in a directory of a server with SSH,
// by SFTP. The server needs nothing but the sftp subsystem of OpenSSH.
//
// The server is known by its host key, which has to be in the known_hosts file,
// and we by a private key; there are no passwords and no questions.
//
// # When the connection breaks
//
// What is written goes to the server in requests, many of which are under way.
// Each is kept until the server has acknowledged it. When the connection breaks,
// another one is made, and what was not acknowledged is written
// again: SFTP writes at offsets, so nothing is there twice. A connection on which
// the server does not answer keepalives counts as broken. It ends when nothing has
// been acknowledged for Options.Patience, or when the server refuses something.
package ssh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/ukdump/ukdump/pkg/target"
)

// Options say where the server is and who we are there.
type Options struct {
	User string
	Host string // name or address
	Port int    // 0 means 22
	// Dir is the absolute path of the directory for dumps. What of it is missing is
	// made.
	Dir string
	// Key is a private key without a passphrase, in any format of OpenSSH.
	Key []byte
	// KnownHosts is the path of a file with the keys of hosts, see sshd(8).
	KnownHosts string
	// Patience is how long nothing may be acknowledged before everything fails; 0
	// means 90 seconds.
	Patience time.Duration
	// Silence is how long the server may send nothing before the connection counts
	// as broken. It is asked to three times in that time. 0 means 15 seconds.
	Silence time.Duration
}

const (
	defaultPatience = 90 * time.Second
	defaultSilence  = 15 * time.Second
	// connectTime is how long it may take to connect, retryEvery how often it is
	// tried.
	connectTime = 15 * time.Second
	retryEvery  = time.Second
)

// Store is a directory on a server. It implements target.Store and
// target.Notebook.
type Store struct {
	opts   Options
	signer ssh.Signer
	hosts  *hosts

	dialing  sync.Mutex // held while a connection is made
	nextDial time.Time  // not before that
	dialErr  error      // of the last time

	mu       sync.Mutex
	conn     *conn     // the last one; nil: there was none
	waiting  int       // calls that wait for the server
	progress time.Time // when it last answered one, or the first began to wait
	closed   bool
}

// Open connects to the server and makes the directory, if it is missing.
func Open(ctx context.Context, o Options) (*Store, error) {
	signer, err := parseKey(o.Key)
	if err != nil {
		return nil, err
	}
	hosts, err := readHosts(o.KnownHosts)
	if err != nil {
		return nil, err
	}
	o.Patience = cmp.Or(o.Patience, defaultPatience)
	o.Silence = cmp.Or(o.Silence, defaultSilence)
	s := &Store{opts: o, signer: signer, hosts: hosts}
	err = s.do(ctx, func(c *sftp.Client) error { return makeParents(c, o.Dir) })
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("%v: %w", s, err)
	}
	return s, nil
}

// makeParents makes a directory and those above it.
func makeParents(c *sftp.Client, dir string) error {
	if info, err := c.Stat(dir); err == nil {
		if !info.IsDir() {
			return finalError{fmt.Errorf("%s is not a directory", dir)}
		}
		return nil
	}
	if parent := path.Dir(dir); parent != dir {
		if err := makeParents(c, parent); err != nil {
			return err
		}
	}
	return makeDir(c, dir)
}

// makeDir makes a directory that nobody else can look into.
func makeDir(c *sftp.Client, dir string) error {
	if err := c.Mkdir(dir); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	return errors.Join(c.Chmod(dir, 0o700), syncDir(c, path.Dir(dir)))
}

// maxNames bounds how many names Make tries.
const maxNames = 1000

// Make implements target.Store. After a broken connection, there may be an empty
// directory with the name before.
func (s *Store) Make(ctx context.Context, name string) (target.Target, error) {
	made, err := do(ctx, s, func(c *sftp.Client) (string, error) {
		dir := path.Join(s.opts.Dir, name)
		for n := 1; n <= maxNames; n++ {
			free := dir
			if n > 1 {
				free += "-" + strconv.Itoa(n)
			}
			err := makeDir(c, free)
			if err == nil || !answered(err) {
				return free, err
			}
			// The server does not say whether the name is taken.
			if _, statErr := c.Lstat(free); statErr != nil {
				return "", err
			}
		}
		return "", finalError{fmt.Errorf("%s and %d such names are taken", dir, maxNames)}
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", s, err)
	}
	return &Dir{store: s, path: made}, nil
}

// Close implements target.Store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.conn != nil {
		s.conn.close()
	}
	return nil
}

// String implements target.Store.
func (s *Store) String() string { return s.opts.at(s.opts.Dir) }

// Dir is a directory for one dump. It implements target.Target.
type Dir struct {
	store *Store
	path  string
}

// String implements target.Target.
func (d *Dir) String() string { return d.store.opts.at(d.path) }

// Free implements target.Target.
func (d *Dir) Free(ctx context.Context) (int64, error) {
	free, err := do(ctx, d.store, func(c *sftp.Client) (int64, error) { return freeSpace(c, d.path) })
	if err != nil {
		return 0, fmt.Errorf("%v: %w", d, err)
	}
	return free, nil
}

// freeSpace asks the server how much may still be written.
func freeSpace(c *sftp.Client, path string) (int64, error) {
	if _, ok := c.HasExtension("statvfs@openssh.com"); !ok {
		return 0, fmt.Errorf("the server does not say how much space is left: %w", errors.ErrUnsupported)
	}
	stat, err := c.StatVFS(path)
	if err != nil {
		return 0, err
	}
	// The bounds keep a hostile server's numbers from overflowing.
	return int64(min(stat.Bavail, 1<<40) * min(stat.Frsize, 1<<20)), nil
}
