// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package ssh

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// auth is what the two sides know each other by.
type auth struct {
	signer ssh.Signer
	known  ssh.HostKeyCallback
	file   string // of known hosts
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
	return &auth{signer, known, o.KnownHosts}, nil
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
		kinds := []string{known.Key.Type()}
		if known.Key.Type() == ssh.KeyAlgoRSA {
			kinds = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, kind := range kinds {
			if !slices.Contains(algorithms, kind) {
				algorithms = append(algorithms, kind)
			}
		}
	}
	return algorithms
}

// check is the callback that accepts or refuses the server's key.
func (a *auth) check(address string, remote net.Addr, key ssh.PublicKey) error {
	err := a.known(address, remote, key)
	var refused *knownhosts.KeyError
	if !errors.As(err, &refused) {
		if err != nil {
			err = &finalError{err}
		}
		return err
	}
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	if len(refused.Want) == 0 {
		return &finalError{fmt.Errorf("host key of %s: %s has none for it; it shows %s: kdumpctl propagate takes it over", address, a.file, shown)}
	}
	var want []string
	for _, known := range refused.Want {
		want = append(want, known.Key.Type()+" "+ssh.FingerprintSHA256(known.Key))
	}
	return &finalError{fmt.Errorf("host key of %s: it shows %s, but %s has %s: this may be another machine that pretends to be it",
		address, shown, a.file, strings.Join(want, ", "))}
}

// explain makes of an error of the handshake one that says whose key was refused,
// and that is final if a key was. Package ssh has no type for the server's refusal.
func (a *auth) explain(err error) error {
	var final *finalError
	if errors.As(err, &final) {
		return final
	}
	if strings.Contains(err.Error(), "unable to authenticate") {
		return &finalError{fmt.Errorf("the server does not take the key %s: %w (kdumpctl propagate installs it there)",
			ssh.FingerprintSHA256(a.signer.PublicKey()), err)}
	}
	return err
}
