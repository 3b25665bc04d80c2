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

// auth is what the two sides know each other by.
type auth struct {
	signer ssh.Signer
	known  ssh.HostKeyCallback
	file   string   // of known hosts
	lines  []string // in it
}

func newAuth(o Options) (*auth, error) {
	signer, err := ssh.ParsePrivateKey(o.Key)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, errors.New("the private key has a passphrase, which nobody can enter after a crash: use a key without one")
	}
	if err != nil {
		return nil, fmt.Errorf("the private key: %w", err)
	}
	known, err := knownhosts.New(o.KnownHosts)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.KnownHosts, err)
	}
	text, err := os.ReadFile(o.KnownHosts)
	if err != nil {
		return nil, err
	}
	return &auth{signer, known, o.KnownHosts, strings.Split(string(text), "\n")}, nil
}

// config returns the client's side of the handshake with that address.
func (a *auth) config(user, address string) *ssh.ClientConfig {
	return &ssh.ClientConfig{
		User:              user,
		Auth:              []ssh.AuthMethod{ssh.PublicKeys(a.signer)},
		HostKeyCallback:   a.check,
		HostKeyAlgorithms: a.algorithms(address),
	}
}

// algorithms returns those of the keys that the host is known by, so that it does
// not show us another one that it has. Nil stands for all of them.
func (a *auth) algorithms(address string) []string {
	// A key that no host has is refused with the list of those that are expected.
	nobody, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return nil
	}
	var refused *knownhosts.KeyError
	if !errors.As(a.known(address, &net.TCPAddr{}, nobody), &refused) {
		return nil
	}
	var algorithms []string
	for _, known := range refused.Want {
		algorithms = append(algorithms, a.shownFor(known)...)
	}
	return algorithms
}

// shownFor returns the algorithms by which a server can show that it has a known
// key, or a certificate that was made with it.
func (a *auth) shownFor(known knownhosts.KnownKey) []string {
	if known.Line <= len(a.lines) && strings.HasPrefix(strings.TrimSpace(a.lines[known.Line-1]), "@cert-authority") {
		return slices.DeleteFunc(ssh.SupportedAlgorithms().HostKeys, func(name string) bool { return !strings.Contains(name, "-cert-") })
	}
	if known.Key.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{known.Key.Type()}
}

// check is the callback that accepts or refuses the server's key.
func (a *auth) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := a.known(address, remote, key)
	var refused *knownhosts.KeyError
	if !errors.As(err, &refused) {
		if err != nil {
			err = finalError{err}
		}
		return err
	}
	if len(refused.Want) == 0 {
		return finalError{fmt.Errorf("host key of %s: %s has none for it; it shows %s (kdumpctl propagate takes it over)", address, a.file, describe(key))}
	}
	var want []string
	for _, known := range refused.Want {
		want = append(want, fmt.Sprintf("%s (line %d)", describe(known.Key), known.Line))
	}
	return finalError{fmt.Errorf("host key of %s: it shows %s, but %s has %s: this may be another machine that pretends to be it; "+
		"if its key was changed on purpose, remove the line and run kdumpctl propagate", address, describe(key), a.file, strings.Join(want, ", "))}
}

// describe returns a key as people compare keys.
func describe(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }

// errLogin says that the server does not know our key.
var errLogin = errors.New("the server does not let us in")

// explain makes of an error of the handshake one that says whose key was refused.
// Package ssh has no type for the server's refusal.
func (a *auth) explain(err error) error {
	var final finalError
	if errors.As(err, &final) {
		return final
	}
	if strings.Contains(err.Error(), "unable to authenticate") {
		return fmt.Errorf("%w with the key %s: %w (kdumpctl propagate installs it there)", errLogin, describe(a.signer.PublicKey()), err)
	}
	return err
}
