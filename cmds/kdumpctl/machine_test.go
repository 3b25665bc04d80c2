// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/config"
)

func TestDefaultMachine(t *testing.T) {
	for _, test := range []struct{ host, id, want string }{
		{"web1", "0123456789abcdef0123456789abcdef\n", "web1-01234567"},
		{"web1.example.org", "0123456789abcdef0123456789abcdef\n", "web1-01234567"},
		{"web1", "", "web1"},
		{"(none)", "0123456789abcdef", "none-01234567"},
		{"", "", "localhost"},
		{"wéb/1", "../../../..", "w-b-1---------"},
		{strings.Repeat("x", 64), "0123456789abcdef", strings.Repeat("x", 50) + "-01234567"},
	} {
		if got := defaultMachine(test.host, test.id); got != test.want {
			t.Errorf("defaultMachine(%q, %q) = %q, want %q", test.host, test.id, got, test.want)
		}
		if _, err := config.Parse("", "machine "+test.want, config.Checks{}); err != nil {
			t.Error(err)
		}
	}
}
