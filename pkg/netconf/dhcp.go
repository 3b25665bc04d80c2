// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package netconf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
)

// lease is what a DHCP server gave, as far as it is wanted, and checked.
type lease struct {
	address netip.Prefix
	routes  []Route
	servers []netip.Addr
	search  []string
	mtu     int
}

// The time to wait for an answer doubles from the first to the last, as in RFC
// 2131, 4.1.
const firstAnswer, lastAnswer = time.Second, 8 * time.Second

// ErrDenied says that a DHCP server offered an address and then refused it.
var ErrDenied = errors.New("the server refuses the address that it has offered")

// askDHCP asks for an address until it has one, or ctx ends. The error then says
// what went wrong the last time.
func askDHCP(ctx context.Context, name string) (*lease, error) {
	last := errors.New("no server answers")
	for wait := firstAnswer; ; wait = min(2*wait, lastAnswer) {
		try, cancel := context.WithTimeout(ctx, wait)
		l, err := askOnce(try, name)
		if err == nil {
			cancel()
			return l, nil
		}
		if try.Err() == nil {
			last = err
		}
		<-try.Done() // no server is asked more often, whatever it answers
		cancel()
		switch cause := context.Cause(ctx); {
		case errors.Is(cause, context.DeadlineExceeded):
			return nil, last
		case cause != nil:
			return nil, cause
		}
	}
}

// askOnce asks for an offer, and for what was offered.
func askOnce(ctx context.Context, name string) (*lease, error) {
	card, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	conn, err := nclient4.NewRawUDPConn(name, nclient4.ClientPort)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()

	discover, err := dhcpv4.NewDiscovery(card.HardwareAddr, dhcpv4.WithRequestedOptions(
		dhcpv4.OptionInterfaceMTU, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionDNSDomainSearchList))
	if err != nil {
		return nil, err
	}
	offer, err := exchange(ctx, conn, discover, dhcpv4.MessageTypeOffer)
	if err != nil {
		return nil, err
	}
	request, err := dhcpv4.NewRequestFromOffer(offer, dhcpv4.WithRequestedOptions(
		dhcpv4.OptionInterfaceMTU, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionDNSDomainSearchList))
	if err != nil {
		return nil, err
	}
	answer, err := exchange(ctx, conn, request, dhcpv4.MessageTypeAck, dhcpv4.MessageTypeNak)
	if err != nil {
		return nil, err
	}
	if answer.MessageType() == dhcpv4.MessageTypeNak {
		return nil, fmt.Errorf("%v: %w", answer.YourIPAddr, ErrDenied)
	}
	return readLease(answer)
}

// exchange sends a message and returns the first answer of one of the types.
func exchange(ctx context.Context, conn net.PacketConn, sent *dhcpv4.DHCPv4, types ...dhcpv4.MessageType) (*dhcpv4.DHCPv4, error) {
	if _, err := conn.WriteTo(sent.ToBytes(), nclient4.DefaultServers); err != nil {
		return nil, err
	}
	buf := make([]byte, nclient4.MaxMessageSize)
	for {
		n, _, err := conn.ReadFrom(buf)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		got, err := dhcpv4.FromBytes(buf[:n])
		if err == nil && got.OpCode == dhcpv4.OpcodeBootReply && got.TransactionID == sent.TransactionID &&
			slices.Equal(got.ClientHWAddr, sent.ClientHWAddr) && slices.Contains(types, got.MessageType()) {
			return got, nil
		}
	}
}

// maxOfEach bounds how many routes and servers are taken from a lease.
const maxOfEach = 16

// readLease takes from the server's answer what is used of it. What makes no
// sense is left out, but for the address.
func readLease(answer *dhcpv4.DHCPv4) (*lease, error) {
	l := &lease{}
	addr, _ := netip.AddrFromSlice(answer.YourIPAddr)
	bits, _ := answer.SubnetMask().Size()
	if bits == 0 {
		bits = 32 // no mask, or one that is none
	}
	var err error
	if l.address, err = parseAddress(netip.PrefixFrom(addr.Unmap(), bits).String()); err != nil {
		return nil, fmt.Errorf("of the DHCP server: %w", err)
	}
	l.routes = leaseRoutes(answer)
	for _, ip := range first(answer.DNS()) {
		if server, err := parseServer(ip.String()); err == nil {
			l.servers = append(l.servers, server)
		}
	}
	domains := []string{answer.DomainName()}
	if labels := answer.DomainSearch(); labels != nil {
		domains = labels.Labels
	}
	for _, domain := range first(domains) {
		if checkDomain(domain) == nil {
			l.search = append(l.search, domain)
		}
	}
	if mtu, err := dhcpv4.GetUint16(dhcpv4.OptionInterfaceMTU, answer.Options); err == nil && mtu >= minMTU && mtu < usualMTU {
		l.mtu = int(mtu)
	}
	return l, nil
}

// leaseRoutes returns the routes: the classless ones, which make the others void
// (RFC 3442), or the first router as the default.
func leaseRoutes(answer *dhcpv4.DHCPv4) (routes []Route) {
	for _, r := range first(answer.ClasslessStaticRoute()) {
		dst, err := parseDst(r.Dest.String())
		if err != nil {
			continue
		}
		gateway, err := parseGateway(r.Router.String())
		if err == nil || r.Router.IsUnspecified() { // which means that it is on the link
			routes = append(routes, Route{Dst: dst, Gateway: gateway})
		}
	}
	if routes != nil {
		return routes
	}
	for _, ip := range first(answer.Router()) {
		if gateway, err := parseGateway(ip.String()); err == nil {
			return []Route{{Dst: everything(gateway), Gateway: gateway}}
		}
	}
	return nil
}

// first returns as many as are taken.
func first[T any](list []T) []T { return list[:min(len(list), maxOfEach)] }
