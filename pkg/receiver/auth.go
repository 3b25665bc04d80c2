// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package receiver

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
)

// tokenBytes is how many random bytes are in a token.
const tokenBytes = 32

// NewToken returns a token for a machine, and the line for the file of tokens that
// has it accepted. The line does not give it away.
func NewToken(machine string) (token, line string, err error) {
	if err := checkName(machine); err != nil {
		return "", "", err
	}
	var b [tokenBytes]byte
	rand.Read(b[:])
	token = base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(token))
	return token, machine + " sha256:" + hex.EncodeToString(sum[:]), nil
}

// Tokens tells machines by the hashes of their tokens.
type Tokens map[[sha256.Size]byte]string

// ParseTokens reads lines such as NewToken returns. Empty ones and those that begin
// with "#" mean nothing.
func ParseTokens(text string) (Tokens, error) {
	tokens := Tokens{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		machine, sum, err := parseToken(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if tokens[sum] != "" {
			return nil, fmt.Errorf("line %d: the token of %s a second time", n, tokens[sum])
		}
		tokens[sum] = machine
	}
	return tokens, nil
}

func parseToken(fields []string) (machine string, sum [sha256.Size]byte, err error) {
	if len(fields) != 2 {
		return "", sum, errors.New("not a machine and sha256:HASH, as kdumprecv token prints them")
	}
	if err := checkName(fields[0]); err != nil {
		return "", sum, err
	}
	digits, ok := strings.CutPrefix(fields[1], "sha256:")
	decoded, err := hex.DecodeString(digits)
	if !ok || err != nil || len(decoded) != sha256.Size {
		return "", sum, errors.New("not a machine and sha256:HASH, as kdumprecv token prints them")
	}
	return fields[0], [sha256.Size]byte(decoded), nil
}

// Machine is for Options.Machine.
func (t Tokens) Machine(q *http.Request) (string, error) {
	token, ok := strings.CutPrefix(q.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return "", errors.New("no token")
	}
	// Who does not know a token learns nothing from how long this takes: it is its
	// hash that is compared.
	machine := t[sha256.Sum256([]byte(token))]
	if machine == "" {
		return "", errors.New("unknown token")
	}
	return machine, nil
}

// ByCertificate is for Options.Machine: it tells machines by the certificates that
// they show, by the first DNS name or else the common name. The server must have
// verified them.
func ByCertificate(q *http.Request) (string, error) {
	if q.TLS == nil || len(q.TLS.VerifiedChains) == 0 {
		return "", errors.New("no certificate")
	}
	certificate := q.TLS.VerifiedChains[0][0]
	if len(certificate.DNSNames) > 0 {
		return certificate.DNSNames[0], nil
	}
	return certificate.Subject.CommonName, nil
}

// ByAddress is for Options.Machine: it believes every address. An IPv6 address is
// written with hyphens.
func ByAddress(q *http.Request) (string, error) {
	host, _, err := net.SplitHostPort(q.RemoteAddr)
	if err != nil {
		return "", err
	}
	host, _, _ = strings.Cut(host, "%")
	return strings.TrimLeft(strings.ReplaceAll(host, ":", "-"), "-"), nil
}
