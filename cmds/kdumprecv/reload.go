// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumprecv

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"

	"github.com/ukdump/ukdump/pkg/receiver"
)

// settings are read from files, and again when somebody asks for it.
type settings struct {
	mu          sync.Mutex
	certificate *tls.Certificate
	tokens      receiver.Tokens
}

func (s *settings) get() (*tls.Certificate, receiver.Tokens) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.certificate, s.tokens
}

// reload reads the files. After an error nothing has changed.
func (s *server) reload() error {
	var certificate *tls.Certificate
	if s.opts.cert != "" {
		pair, err := tls.LoadX509KeyPair(s.opts.cert, s.opts.key)
		if err != nil {
			return err
		}
		certificate = &pair
	}
	var tokens receiver.Tokens
	if s.opts.tokens != "" {
		text, err := os.ReadFile(s.opts.tokens)
		if err != nil {
			return err
		}
		if tokens, err = receiver.ParseTokens(string(text)); err != nil {
			return fmt.Errorf("%s: %w", s.opts.tokens, err)
		}
	}
	s.set.mu.Lock()
	defer s.set.mu.Unlock()
	s.set.certificate, s.set.tokens = certificate, tokens
	return nil
}
