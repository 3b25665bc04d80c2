// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package capture

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
)

// pinPrefix is what curl has in front of the hash of a key in --pinnedpubkey.
const pinPrefix = "sha256//"

// clientTLS returns how the target's server is verified, and what we show it. The
// clock of a capture kernel may be wrong by years, backwards: certificates are
// held against the time of the crash where that is later.
func clientTLS(t config.Target, crashed time.Time) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, Time: func() time.Time { return later(time.Now(), crashed) }}
	if t.TLSCA != "" {
		bundle, err := os.ReadFile(t.TLSCA)
		if err != nil {
			return nil, err
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(bundle) {
			return nil, fmt.Errorf("%s has no certificate", t.TLSCA)
		}
	}
	if t.TLSPin != "" {
		pin, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(t.TLSPin, pinPrefix))
		if err != nil || len(pin) != sha256.Size {
			return nil, fmt.Errorf("tls_pin: %.80q is not %s and a hash in base64", t.TLSPin, pinPrefix)
		}
		// Who has the pinned key needs no certificate that anybody trusts.
		c.InsecureSkipVerify = t.TLSCA == ""
		c.VerifyConnection = func(state tls.ConnectionState) error { return checkPin(state, [sha256.Size]byte(pin)) }
	}
	if t.TLSCert != "" {
		certificate, err := tls.LoadX509KeyPair(t.TLSCert, t.TLSKey)
		if err != nil {
			return nil, err
		}
		c.Certificates = []tls.Certificate{certificate}
	}
	return c, nil
}

// checkPin refuses a server whose key is not the pinned one.
func checkPin(state tls.ConnectionState, pin [sha256.Size]byte) error {
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server shows no certificate")
	}
	sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if sum != pin {
		return fmt.Errorf("the server's key is %s%s, which is not the pinned one", pinPrefix,
			base64.StdEncoding.EncodeToString(sum[:]))
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
