// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package ssh

import (
	"fmt"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for address, want := range map[string]Options{
		"kdump@dumps":                  {User: "kdump", Host: "dumps"},
		"kdump@dumps.example.org:2222": {User: "kdump", Host: "dumps.example.org", Port: 2222},
		"kdump@192.0.2.1":              {User: "kdump", Host: "192.0.2.1"},
		"kdump@2001:db8::1":            {User: "kdump", Host: "2001:db8::1"},
		"kdump@[2001:db8::1]":          {User: "kdump", Host: "2001:db8::1"},
		"kdump@[fe80::1%eth0]:2222":    {User: "kdump", Host: "fe80::1%eth0", Port: 2222},
	} {
		got, err := Parse(address)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("Parse(%q) = %+v, %v, want %+v", address, got, err, want)
		}
	}
	for _, address := range []string{"", "host", "@host", "user@", "user@:22", "user@host:", "user@host:0", "user@host:65536", "user@host:x", "user@[::1", "user@host/dir", "user@a b", "user@]", "user@[host]", "user@[host]:22", "user@other@host", "user@[]"} {
		if got, err := Parse(address); err == nil {
			t.Errorf("Parse(%q) = %+v, want an error", address, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("kdump@dumps:22")
	f.Add("kdump@[::1]:22")
	f.Fuzz(func(t *testing.T, address string) {
		o, err := Parse(address)
		if err == nil && (o.User == "" || o.Host == "" || strings.ContainsAny(o.Host, "/[] ") || o.Port < 0 || o.Port > 65535) {
			t.Errorf("Parse(%q) = %+v", address, o)
		}
	})
}
