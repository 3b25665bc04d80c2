// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"strings"
	"testing"
)

func TestDefaultMachine(t *testing.T) {
	for _, test := range []struct{ host, id, want string }{
		{"web1", "0123456789abcdef0123456789abcdef\n", "web1-01234567"},
		{"web1.example.org", "0123456789abcdef0123456789abcdef\n", "web1-01234567"},
		{"web1", "", "web1"},
		{strings.Repeat("x", 64), "0123456789abcdef", strings.Repeat("x", 50) + "-01234567"},
	} {
		if got := defaultMachine(test.host, test.id); got != test.want {
			t.Errorf("defaultMachine(%q, %q) = %q, want %q", test.host, test.id, got, test.want)
		}
	}
}
