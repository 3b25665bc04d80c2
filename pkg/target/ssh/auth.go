// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package ssh

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// parseKey parses a private key.
func parseKey(key []byte) (ssh.Signer, error) {
	signer, err := ssh.ParsePrivateKey(key)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, errors.New("the private key has a passphrase, which nobody can enter after a crash: use a key without one")
	}
	if err != nil {
		return nil, fmt.Errorf("the private key: %w", err)
	}
	return signer, nil
}

// hosts is a known_hosts file.
type hosts struct {
	file  string
	known ssh.HostKeyCallback
	lines []string
}

func readHosts(file string) (*hosts, error) {
	known, err := knownhosts.New(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return &hosts{file, known, strings.Split(string(text), "\n")}, nil
}

// config returns the client's side of the handshake.
func (h *hosts) config(o Options, methods ...ssh.AuthMethod) *ssh.ClientConfig {
	return &ssh.ClientConfig{User: o.User, Auth: methods, HostKeyCallback: h.check, HostKeyAlgorithms: h.algorithms(o.address())}
}

// algorithms returns those of the keys that the host is known by, so that it does
// not show us another one that it has. Nil stands for all of them.
func (h *hosts) algorithms(address string) []string {
	// A key that no host has is refused with the list of those that are expected.
	nobody, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var refused *knownhosts.KeyError
	if !errors.As(h.known(address, &net.TCPAddr{}, nobody), &refused) {
		return nil
	}
	var algorithms []string
	for _, known := range refused.Want {
		algorithms = append(algorithms, h.shownFor(known)...)
	}
	return algorithms
}

// shownFor returns the algorithms by which a server can show that it has a known
// key, or a certificate that was made with it.
func (h *hosts) shownFor(known knownhosts.KnownKey) []string {
	if known.Line <= len(h.lines) && strings.HasPrefix(strings.TrimSpace(h.lines[known.Line-1]), "@cert-authority") {
		return slices.DeleteFunc(ssh.SupportedAlgorithms().HostKeys, func(name string) bool { return !strings.Contains(name, "-cert-") })
	}
	if known.Key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{known.Key.Type()}
}

// errUnknownHost says that nothing is known about a host.
var errUnknownHost = errors.New("unknown host key")

// check is the callback that accepts or refuses the server's key.
func (h *hosts) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := h.known(address, remote, key)
	var refused *knownhosts.KeyError
	if !errors.As(err, &refused) {
		if err != nil {
			err = finalError{err}
		}
		return err
	}
	if len(refused.Want) == 0 {
		return finalError{fmt.Errorf("%w: %s has no key of %s, which shows %s (kdumpctl propagate takes it over)", errUnknownHost, h.file, address, Fingerprint(key))}
	}
	var want []string
	for _, known := range refused.Want {
		want = append(want, fmt.Sprintf("%s (line %d)", Fingerprint(known.Key), known.Line))
	}
	return finalError{fmt.Errorf("host key of %s: it shows %s, but %s has %s: this may be another machine that pretends to be it; "+
		"if its key was changed on purpose, remove the line and run kdumpctl propagate", address, Fingerprint(key), h.file, strings.Join(want, ", "))}
}

// Fingerprint returns a key as people compare keys.
func Fingerprint(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }

// ErrLogin says that the server does not take our key.
var ErrLogin = errors.New("the server does not let us in")

// explain makes of an error of the handshake one that says whose key was refused.
// Package ssh has no type for the server's refusal.
func (s *Store) explain(err error) error {
	var final finalError
	if errors.As(err, &final) {
		return final
	}
	if strings.Contains(err.Error(), "unable to authenticate") {
		return fmt.Errorf("%w with the key %s: %w (kdumpctl propagate installs it there)", ErrLogin, Fingerprint(s.signer.PublicKey()), err)
	}
	return err
}
