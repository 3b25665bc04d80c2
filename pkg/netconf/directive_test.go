// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package netconf

import (
	"context"
	"strings"
	"testing"
)

// TestForAny has the lines of configurations, for machines that are not known.
func TestForAny(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  []string // statements
	}{
		{nil, []string{"link any", "dhcp4 any"}},
		{[]string{"snapshot"}, []string{"link any", "dhcp4 any"}},
		{[]string{"none"}, nil},
		{[]string{"dhcp"}, []string{"link any", "dhcp4 any"}},
		{[]string{"eth0 dhcp4", "eth0 auto6 mtu 1400"}, []string{"link eth0 mtu 1400", "dhcp4 eth0", "slaac eth0"}},
		{[]string{"52:54:00:12:34:56 static 192.0.2.7/24,2001:db8::7/64 gw 192.0.2.1,fe80::1 dns 192.0.2.53,192.0.2.54 search a.example,b.example"},
			[]string{"link nic525400123456 mac 52:54:00:12:34:56", "address nic525400123456 192.0.2.7/24", "address nic525400123456 2001:db8::7/64",
				"route nic525400123456 default4 via 192.0.2.1", "route nic525400123456 default6 via fe80::1",
				"dns 192.0.2.53", "dns 192.0.2.54", "search a.example b.example"}},
		{[]string{"lan vlan 7 on eth0 static 192.0.2.7/24 route 198.51.100.0/24 via 192.0.2.1"},
			[]string{"link eth0", "vlan lan id 7 on eth0", "address lan 192.0.2.7/24", "route lan 198.51.100.0/24 via 192.0.2.1"}},
		{[]string{"bond0 bond active-backup eth0,52:54:00:12:34:56 dhcp", "lan vlan 7 on bond0 up"},
			[]string{"link eth0", "link nic525400123456 mac 52:54:00:12:34:56", "bond bond0 mode active-backup slaves eth0,nic525400123456",
				"dhcp4 bond0", "vlan lan id 7 on bond0"}},
	} {
		want := strings.Join(append(test.want, ""), "\n")
		plan, err := ForAny(test.lines)
		if err != nil {
			t.Errorf("ForAny(%q) = %v", test.lines, err)
			continue
		}
		if plan == nil {
			if test.want != nil {
				t.Errorf("ForAny(%q) = nil, want %q", test.lines, want)
			}
			continue
		}
		if got := plan.Text(); got != want {
			t.Errorf("ForAny(%q) = %q, want %q", test.lines, got, want)
		}
	}
}

func TestParseDirectiveErrors(t *testing.T) {
	for _, test := range []struct{ value, want string }{
		{"", "says nothing"},
		{"snapshot eth0", `"eth0" is none of dhcp4, dhcp, auto6, static, up`},
		{"eth0", "says not how; it is one of dhcp4, dhcp, auto6, static, up"},
		{"eth0 dhcp6", `"dhcp6" is none of`},
		{"e/0 dhcp", `"e/0" cannot be the name of a link`},
		{"eth0 static", "static: no address follows"},
		{"eth0 static 192.0.2.7", `static: "192.0.2.7" is no address of a machine with the length`},
		{"eth0 dhcp gw", `nothing follows "gw"`},
		{"eth0 dhcp gw nas", `gw: "nas" is no address of a gateway`},
		{"eth0 dhcp gateway 192.0.2.1", `"gateway" is none of gw, route, dns, search, mtu`},
		{"eth0 dhcp route 192.0.2.0/24", "route: it is NETWORK/LENGTH via ADDRESS"},
		{"eth0 dhcp dns 192.0.2.1,nas", `dns: "nas" is no address of a DNS server`},
		{"lan vlan 7 eth0 dhcp", "vlan: it is vlan ID on LINK"},
		{"lan vlan 0 on eth0 dhcp", `vlan: "0" is no number from 1 to 4094`},
		{"bond0 bond best eth0 dhcp", `bond: "best" is none of balance-rr`},
		{"bond0 bond 1 eth0,,eth1 dhcp", `"" cannot be the name of a link`},
		{"52:54:00:12:34:56 vlan 7 on eth0 dhcp", "vlan wants a name"},
		{"static 192.0.2.7/24", "are for one link, which must be named"},
		{"lan vlan 7 on any dhcp", `no link "any" comes before`},
	} {
		if got, err := ParseDirective(test.value); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("ParseDirective(%q) = %+v, %v, want an error with %q", test.value, got, err, test.want)
		}
	}
	for _, lines := range [][]string{
		{"none", "eth0 dhcp"}, {"snapshot", "snapshot"},
		{"lan vlan 7 on bond0 dhcp", "bond0 bond 1 eth0 dhcp"}, // made too late
	} {
		if plan, err := ForHost(context.Background(), lines, nil, nil); err == nil {
			t.Errorf("ForHost(%q) = %q, want an error", lines, plan.Text())
		}
	}
}

// FuzzParseDirective checks that what is accepted makes a plan that can be read.
func FuzzParseDirective(f *testing.F) {
	for _, value := range []string{"snapshot", "none", "dhcp", "eth0 auto6 mtu 1400", "lan vlan 7 on eth0 up",
		"52:54:00:12:34:56 static 192.0.2.7/24,2001:db8::7/64 gw 192.0.2.1 dns 192.0.2.53 search a.example",
		"bond0 bond active-backup eth0,eth1 dhcp route 198.51.100.0/24 via 192.0.2.1"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		d, err := ParseDirective(value)
		if err != nil || d.How != Given {
			return
		}
		if _, err := Parse("network", d.Plan.Text()); err != nil {
			t.Errorf("network %q makes a plan that cannot be read: %v:\n%s", value, err, d.Plan.Text())
		}
	})
}
