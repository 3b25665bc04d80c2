// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package netconf

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

const everyStatement = `
# a comment
link eth0 mac 52:54:00:6b:64:01 mtu 1400   # another
link eth1
bond bond0 mode 802.3ad slaves eth0,eth1
vlan bond0.7 id 7 on bond0 mtu 1280
address bond0.7 192.0.2.7/24 leased
address bond0.7 2001:db8::7/64
dhcp4 bond0
slaac bond0
route bond0.7 default via 192.0.2.1 metric 100
route bond0.7 default6 via fe80::1
route bond0.7 198.51.100.0/24 mtu 1300
dns 192.0.2.53
dns fe80::1%eth0
search example.org lab.example.org
host 192.0.2.8 nas
remembered 2001:db8::9 server.example.org
`

func TestParse(t *testing.T) {
	got, err := Parse("/etc/ukdump/network", everyStatement)
	if err != nil {
		t.Fatal(err)
	}
	want := &Plan{
		Links: []Link{
			{Name: "eth0", MAC: []byte{0x52, 0x54, 0, 0x6b, 0x64, 1}, MTU: 1400},
			{Name: "eth1"},
			{Name: "bond0", Bond: &Bond{"802.3ad", []string{"eth0", "eth1"}}, DHCP4: true, SLAAC: true},
			{Name: "bond0.7", VLAN: &VLAN{7, "bond0"}, MTU: 1280,
				Addresses: []Address{
					{netip.MustParsePrefix("192.0.2.7/24"), true},
					{netip.MustParsePrefix("2001:db8::7/64"), false}},
				Routes: []Route{
					{Dst: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"), Metric: 100},
					{Dst: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fe80::1")},
					{Dst: netip.MustParsePrefix("198.51.100.0/24"), MTU: 1300}}},
		},
		Servers: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("fe80::1%eth0")},
		Search:  []string{"example.org", "lab.example.org"},
		Hosts: []Host{
			{"nas", netip.MustParseAddr("192.0.2.8"), false},
			{"server.example.org", netip.MustParseAddr("2001:db8::9"), true}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse = %+v\nwant %+v", got, want)
	}
	again, err := Parse("network", got.Text())
	if err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("Parse of Text = %+v, %v, from\n%s", again, err, got.Text())
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"link", "network:1: link: nothing follows"},
		{"\nfoo eth0", `network:2: foo: no link "eth0" comes before`},
		{"link eth0\nfoo eth0", "network:2: foo: unknown statement"},
		{"link eth0 mac", `network:1: link: nothing follows "mac"`},
		{"link eth0 mac 1:2", `mac: "1:2" is no address of a network card`},
		{"link eth0 mac 00:00:00:00:00:00", "is no address of a network card"},
		{"link eth0 mtu 1 mtu 2", `mtu: "1" is no number from 68 to 65535`},
		{"link eth0 mtu 1500 mtu 1400", `"mtu" is there twice`},
		{"link eth0 id 7", `what is "id"?`},
		{"link e/0", `"e/0" cannot be the name of a link`},
		{"link ..", `".." cannot be the name`},
		{"link aaaaaaaaaaaaaaaa", "cannot be the name of a link"},
		{"link eth0\nlink eth0", "there is a link eth0 already"},
		{"vlan v id 7 on eth0", `no link "eth0" comes before, for v`},
		{"link eth0\nvlan v id 4095 on eth0", `id: "4095" is no number from 1 to 4094`},
		{"link eth0\nvlan v on eth0", "lacks its id"},
		{"link any\nvlan v id 7 on any", `no link "any" comes before`},
		{"link eth0\nbond b mode round slaves eth0", `mode: "round" is none of balance-rr, active-backup,`},
		{"link eth0\nbond b mode 1 slaves eth0,eth0", "b has eth0 twice"},
		{"link eth0\nbond b mode 1", "lacks its mode or its slaves"},
		{"link eth0\nbond any mode 1 slaves eth0", "any is the name of all network cards"},
		{"link eth0\naddress eth0", "nothing follows the link"},
		{"link eth0\naddress eth0 192.0.2.1", "is no address of a machine with the length of its network"},
		{"link eth0\naddress eth0 127.0.0.1/8", "is no address of a machine"},
		{"link eth0\naddress eth0 192.0.2.1/24 loaned", `what is "loaned"?`},
		{"link eth0\ndhcp4 eth0 now", `what is "now"?`},
		{"link eth0\nroute eth0 default", "default needs a gateway"},
		{"link eth0\nroute eth0 192.0.2.1/24", "is no network such as 192.0.2.0/24"},
		{"link eth0\nroute eth0 192.0.2.0/24 via fe80::1", "fe80::1 is no gateway to 192.0.2.0/24"},
		{"link eth0\nroute eth0 192.0.2.0/24 via fe80::1%eth0", "is no address of a gateway"},
		{"dns localhost", "is no address of a DNS server"},
		{"search a_b.c d/e", `"d/e" cannot be a name in DNS`},
		{"host 192.0.2.1", "wants an address and a name"},
		{"host nas 192.0.2.1", `"nas" is no address`},
		{strings.Repeat("#", maxText+1), "network: larger than 64 KiB"},
	} {
		if got, err := Parse("/etc/ukdump/network", test.text); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Parse(%.60q) = %+v, %v, want an error with %q", test.text, got, err, test.want)
		}
	}
}

// FuzzParse checks that what is accepted can be written and read again.
func FuzzParse(f *testing.F) {
	f.Add(everyStatement)
	for line := range strings.Lines(everyStatement) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plan, err := Parse("network", text)
		if err != nil {
			return
		}
		again, err := Parse("network", plan.Text())
		if err != nil || !reflect.DeepEqual(again, plan) {
			t.Errorf("%q is %+v, as text %q is %+v, %v", text, plan, plan.Text(), again, err)
		}
	})
}
