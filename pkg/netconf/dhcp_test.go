// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package netconf

import (
	"net"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// FuzzLease has anything for the answer of a DHCP server.
func FuzzLease(f *testing.F) {
	for _, modifiers := range [][]dhcpv4.Modifier{
		nil,
		{dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 7)), dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithRouter(net.IPv4(192, 0, 2, 1))},
		{dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 7)), dhcpv4.WithDNS(net.IPv4(192, 0, 2, 53)),
			dhcpv4.WithOption(dhcpv4.OptDomainName("example.org")),
			dhcpv4.WithOption(dhcpv4.OptClasslessStaticRoute(&dhcpv4.Route{
				Dest: &net.IPNet{IP: net.IPv4(198, 51, 100, 0), Mask: net.CIDRMask(24, 32)}, Router: net.IPv4zero}))},
	} {
		message, err := dhcpv4.New(modifiers...)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(message.ToBytes())
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		answer, err := dhcpv4.FromBytes(message)
		if err != nil {
			return
		}
		l, err := readLease(answer)
		if err != nil {
			return
		}
		// What is taken over can stand in a plan.
		plan := Plan{
			Links:   []Link{{Name: "eth0", MTU: l.mtu, Addresses: []Address{{Prefix: l.address}}, Routes: l.routes}},
			Servers: l.servers, Search: l.search,
		}
		if _, err := Parse("network", plan.Text()); err != nil {
			t.Errorf("the lease makes a plan that cannot be read: %v:\n%s", err, plan.Text())
		}
	})
}

// TestARPSender reads an answer as RFC 826 has it, and what is none.
func TestARPSender(t *testing.T) {
	answer := []byte{0, 1, 8, 0, 6, 4, 0, 2, 0x52, 0x54, 0, 0, 0, 1, 192, 0, 2, 7, 0x52, 0x54, 0, 0, 0, 2, 192, 0, 2, 8}
	mac, addr := arpSender(append(answer, 0, 0, 0)) // Ethernet pads
	if mac.String() != mac1 || addr != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("arpSender = %v, %v, want %s, 192.0.2.7", mac, addr, mac1)
	}
	for n := range answer {
		if mac, addr := arpSender(answer[:n]); addr.IsValid() {
			t.Errorf("arpSender of %d bytes = %v, %v", n, mac, addr)
		}
	}
	answer[1] = 6 // not Ethernet
	if mac, addr := arpSender(answer); addr.IsValid() {
		t.Errorf("arpSender of other hardware = %v, %v", mac, addr)
	}
}
