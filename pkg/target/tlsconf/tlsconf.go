// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

// Package tlsconf says to crypto/tls which servers targets trust: those with a
// certificate of certain authorities, or the one that has a certain key.
package tlsconf

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Options are what is trusted, and who we are.
type Options struct {
	// Roots has the certificates of authorities, in PEM; nil means the system's.
	Roots []byte
	// Pin is the hash of the server's public key, as curl's --pinnedpubkey takes it:
	// "sha256//" and base64. Without Roots the key is all that counts: neither who
	// has signed it, nor the server's name, nor the time, which capture kernels may
	// not know.
	Pin string
	// Certificate and Key are our own, in PEM; nil if the server does not ask.
	Certificate, Key []byte
}

// ErrPin says that a server has another key than the one that it is to have.
var ErrPin = errors.New("the server's key is not the pinned one")

// New returns what crypto/tls wants to know.
func New(o Options) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.Roots != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(o.Roots) {
			return nil, errors.New("there is no certificate in PEM among those to trust")
		}
	}
	if o.Pin != "" {
		pin, err := ParsePin(o.Pin)
		if err != nil {
			return nil, err
		}
		config.InsecureSkipVerify = o.Roots == nil
		config.VerifyConnection = func(state tls.ConnectionState) error { return checkPin(pin, state) }
	}
	if o.Certificate != nil || o.Key != nil {
		own, err := tls.X509KeyPair(o.Certificate, o.Key)
		if err != nil {
			return nil, fmt.Errorf("our certificate and its key: %w", err)
		}
		config.Certificates = []tls.Certificate{own}
	}
	return config, nil
}

// ParsePin returns the hash in a pin.
func ParsePin(pin string) ([sha256.Size]byte, error) {
	text, ok := strings.CutPrefix(pin, "sha256//")
	hash, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || len(hash) != sha256.Size {
		return [sha256.Size]byte{}, fmt.Errorf("%.80q is no pin: sha256// and the hash of a public key in base64", pin)
	}
	return [sha256.Size]byte(hash), nil
}

func checkPin(pin [sha256.Size]byte, state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return ErrPin
	}
	key := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if subtle.ConstantTimeCompare(key[:], pin[:]) == 0 {
		return fmt.Errorf("%w: it is sha256//%s", ErrPin, base64.StdEncoding.EncodeToString(key[:]))
	}
	return nil
}
