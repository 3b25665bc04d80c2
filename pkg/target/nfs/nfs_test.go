// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package nfs

import (
	"context"
	"errors"
	"net/netip"
	"path"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ address, server, export string }{
		{"nas:/srv/dumps", "nas", "/srv/dumps"},
		{"192.0.2.1:/", "192.0.2.1", "/"},
		{"nas.example.org:/srv/dumps/", "nas.example.org", "/srv/dumps"},
		{"[2001:db8::1]:/srv", "2001:db8::1", "/srv"},
		{"[fe80::1%eth0]:/srv", "fe80::1%eth0", "/srv"},
	} {
		server, export, err := Parse(test.address)
		if err != nil || server != test.server || export != test.export {
			t.Errorf("Parse(%q) = %q, %q, %v, want %q, %q", test.address, server, export, err, test.server, test.export)
		}
	}
	for _, address := range []string{"", "nas", "nas:", "nas:srv", ":/srv", "2001:db8::1:/srv", "[nas]:/srv", "[192.0.2.1]:/srv", "a,b:/srv", "a b:/srv", "[::1]/srv"} {
		if server, export, err := Parse(address); err == nil {
			t.Errorf("Parse(%q) = %q, %q, want an error", address, server, export)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("nas:/srv")
	f.Add("[::1]:/srv")
	f.Fuzz(func(t *testing.T, address string) {
		server, export, err := Parse(address)
		if err == nil && (server == "" || strings.ContainsAny(server, ", ") || !path.IsAbs(export)) {
			t.Errorf("Parse(%q) = %q, %q", address, server, export)
		}
	})
}

// TestOpenErrors has no server: Open must end, and say what was tried.
func TestOpenErrors(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("time is up")
	cancel(reason)
	for _, server := range []string{"127.0.0.1", "no.such.host.invalid"} {
		s, err := Open(ctx, Options{Server: server, Export: "/srv", Mount: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), server+":/srv") {
			t.Errorf("Open(%s) = %v, %v, want an error that names it", server, s, err)
		}
	}
}

func TestVersions(t *testing.T) {
	for _, options := range versions(netip.MustParseAddr("2001:db8::1"), 0) {
		if !strings.Contains(options, "proto=tcp6") || !strings.Contains(options, "soft") || strings.Contains(options, "port=") {
			t.Errorf("%q is not for a soft mount over IPv6", options)
		}
	}
}
