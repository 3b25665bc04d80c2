// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

// Package encrypt wraps a target so that all that goes there is encrypted to
// public keys, in the age format (https://age-encryption.org/v1). Nothing that
// could decrypt it is on the machine that crashed.
//
// A file of the wrapped target is called NAME.age. What an aborted one has can be
// decrypted up to its last whole chunk of 64 KiB; age says then that it ends early.
package encrypt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"

	"github.com/ukdump/ukdump/pkg/target"
)

// Suffix is appended to the names of files.
const Suffix = ".age"

// ParseRecipients parses public keys as age-keygen prints them: "age1…" (X25519)
// or "age1pq1…" (hybrid, post-quantum).
func ParseRecipients(keys []string) ([]age.Recipient, error) {
	var recipients []age.Recipient
	for _, key := range keys {
		r, err := parseRecipient(key)
		if err != nil {
			return nil, fmt.Errorf("%.80q is no public key of age: %w", key, err)
		}
		recipients = append(recipients, r)
	}
	return recipients, nil
}

func parseRecipient(key string) (age.Recipient, error) {
	if strings.HasPrefix(key, "age1pq1") {
		return age.ParseHybridRecipient(key)
	}
	return age.ParseX25519Recipient(key)
}

// Target is a target whose files are encrypted on their way to another one.
type Target struct {
	target.Target
	recipients []age.Recipient
}

// New returns a target that encrypts to the recipients, of which there must be
// one at least, and writes to t. Its files can only be written in order.
func New(t target.Target, recipients []age.Recipient) (*Target, error) {
	if len(recipients) == 0 {
		return nil, errors.New("no recipient to encrypt to")
	}
	return &Target{t, recipients}, nil
}

// Create implements target.Target. The room that is reserved has to hold what is
// added to the file, too: a kilobyte, and 16 bytes for each 64 KiB.
func (t *Target) Create(ctx context.Context, name string, reserve int64) (target.File, error) {
	const header, chunk, tag = 1 << 10, 64 << 10, 16
	if reserve > 0 {
		reserve += header + (reserve/chunk+1)*tag
	}
	f, err := t.Target.Create(ctx, name+Suffix, reserve)
	if err != nil {
		return nil, err
	}
	w, err := age.Encrypt(f, t.recipients...)
	if err != nil {
		return nil, errors.Join(err, f.Abort())
	}
	return &sealed{ctx: ctx, name: name + Suffix, w: w, f: f}, nil
}

// sealed is a file under way.
type sealed struct {
	ctx  context.Context
	name string
	w    io.WriteCloser // nil after Commit or Abort
	f    target.File
}

// Write implements io.Writer. What is left of a chunk is kept until the next one.
func (f *sealed) Write(p []byte) (int, error) {
	if f.w == nil {
		return 0, fmt.Errorf("%s: %w", f.name, os.ErrClosed)
	}
	if f.ctx.Err() != nil {
		return 0, fmt.Errorf("%s: %w", f.name, context.Cause(f.ctx))
	}
	return f.w.Write(p)
}

// Commit implements target.File.
func (f *sealed) Commit() error {
	if f.w == nil {
		return fmt.Errorf("%s: %w", f.name, os.ErrClosed)
	}
	err := f.w.Close()
	f.w = nil
	if err != nil {
		return errors.Join(err, f.f.Abort())
	}
	return f.f.Commit()
}

// Abort implements target.File.
func (f *sealed) Abort() error {
	f.w = nil
	return f.f.Abort()
}
