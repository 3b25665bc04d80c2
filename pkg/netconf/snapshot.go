// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package netconf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Snapshot returns a plan of how the running machine reaches the peers, which are
// names or addresses (an IPv6 one without brackets, with a zone if it needs one):
// for each, the link that its packets leave by and what that is made of, the
// address that they leave from, and the route.
//
// No other addresses of the links are in the plan: somebody else may have taken
// them over by the time of the dump, as clusters do. An address that a DHCP server
// gave is used like others, so that no server has to answer after the crash and the
// peers see the machine that they know; but see Address.Leased. A bridge is
// replaced by its uplink.
//
// Of names, the addresses that they have now are remembered; those in /etc/hosts
// will not be looked up at all. What is odd is told to log.
func Snapshot(ctx context.Context, peers []string, log func(string)) (*Plan, error) {
	s := snapshot{plan: &Plan{}, log: log}
	var err error
	if s.links, err = netlink.LinkList(); ignoreInterrupted(err) != nil {
		return nil, fmt.Errorf("listing the links: %w", err)
	}
	for _, peer := range peers {
		if err := s.addPeer(ctx, peer); err != nil {
			return nil, fmt.Errorf("how to reach %.100q: %w", peer, err)
		}
	}
	if len(s.plan.Hosts) > 0 {
		s.addServers()
	}
	return s.plan, nil
}

// addServers adds what it takes to look up names.
func (s *snapshot) addServers() {
	servers, search := hostResolver()
	for _, server := range servers {
		if err := s.addAddr(server); err != nil {
			s.log(fmt.Sprintf("the DNS server %v is left out: %v", server, err))
			continue
		}
		s.plan.addServers([]netip.Addr{server})
	}
	s.plan.Search = search
	if len(s.plan.Servers) == 0 {
		s.log("no DNS server is known that would answer after a crash; names keep the addresses that they have now")
	}
}

// snapshot is a plan in the making.
type snapshot struct {
	plan  *Plan
	log   func(string)
	links []netlink.Link // of this machine
}

// addPeer adds what it takes to reach a peer.
func (s *snapshot) addPeer(ctx context.Context, peer string) error {
	if addr, err := netip.ParseAddr(peer); err == nil {
		return s.addAddr(addr.Unmap())
	}
	hosts, err := lookUp(ctx, peer)
	if err != nil {
		return err
	}
	var errs error
	reached := false
	for _, h := range hosts {
		if err := s.addAddr(h.Addr); err != nil {
			errs = errors.Join(errs, err)
			continue
		}
		reached = true
		s.plan.Hosts = append(s.plan.Hosts, h)
	}
	if reached { // by one of IPv4 and IPv6, often
		return nil
	}
	return errs
}

// addAddr adds what it takes to reach an address.
func (s *snapshot) addAddr(addr netip.Addr) error {
	route, err := routeTo(addr)
	if err != nil {
		return err
	}
	switch {
	case route.Type == unix.RTN_LOCAL:
		return fmt.Errorf("%v is this machine, which will not answer after a crash", addr)
	case route.Via != nil:
		return fmt.Errorf("the route to %v has a gateway of another family", addr)
	}
	l, err := s.addLink(route.LinkIndex)
	if err != nil {
		return fmt.Errorf("the route to %v: %w", addr, err)
	}
	source, _ := netip.AddrFromSlice(route.Src)
	if source = source.Unmap(); source.IsValid() && !kernelMakes(addr) {
		if err := l.addAddress(route.LinkIndex, source); err != nil {
			return err
		}
	}
	l.addRoute(*route, addr)
	l.addDefault(route.LinkIndex, addr)
	return nil
}

// kernelMakes reports whether the kernel gives each link an address in the same
// network as addr, and a route to it.
func kernelMakes(addr netip.Addr) bool { return addr.Is6() && addr.IsLinkLocalUnicast() }

// routeTo returns the route that packets to addr take, with the gateway and the
// source, and with the destination of the entry of the routing table that it is.
func routeTo(addr netip.Addr) (*netlink.Route, error) {
	options := &netlink.RouteGetOptions{}
	if zone := addr.Zone(); zone != "" {
		options.Oif = zone
	}
	routes, err := netlink.RouteGetWithOptions(addr.AsSlice(), options)
	if err == nil && len(routes) == 0 {
		err = errors.New("nothing")
	}
	if err != nil {
		return nil, fmt.Errorf("the kernel has no route to %v: %w", addr, err)
	}
	route := &routes[0]
	route.Dst = ipNet(netip.PrefixFrom(addr.WithZone(""), addr.BitLen()))
	options.FIBMatch = true // Linux 4.13
	if entries, err := netlink.RouteGetWithOptions(addr.AsSlice(), options); err == nil && len(entries) > 0 {
		route.Dst = entries[0].Dst
		if route.Dst == nil {
			route.Dst = ipNet(everything(addr))
		}
		route.Priority, route.MTU = entries[0].Priority, entries[0].MTU
	}
	return route, nil
}

// addAddress adds one of the addresses that the link with the index has.
func (l *Link) addAddress(index int, addr netip.Addr) error {
	has, err := netlink.AddrList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}, netlink.FAMILY_ALL)
	if ignoreInterrupted(err) != nil {
		return err
	}
	for _, a := range has {
		prefix := toPrefix(a.IPNet)
		if prefix.Addr() != addr {
			continue
		}
		if a.Peer != nil { // the network is that of the other end
			if bits, _ := a.Peer.Mask.Size(); bits < prefix.Bits() {
				prefix = netip.PrefixFrom(addr, bits)
			}
		}
		add := Address{prefix, a.Flags&unix.IFA_F_PERMANENT == 0 && addr.Is4()}
		if !slices.Contains(l.Addresses, add) {
			l.Addresses = append(l.Addresses, add)
		}
		return nil
	}
	// An address of another link, of the loopback one for example.
	if add := (Address{Prefix: netip.PrefixFrom(addr, addr.BitLen())}); !slices.Contains(l.Addresses, add) {
		l.Addresses = append(l.Addresses, add)
	}
	return nil
}

// addRoute adds a route, unless the addresses of the link bring it with them.
func (l *Link) addRoute(route netlink.Route, to netip.Addr) {
	r := Route{Dst: toPrefix(route.Dst), Metric: route.Priority, MTU: route.MTU}
	if gateway, ok := netip.AddrFromSlice(route.Gw); ok {
		r.Gateway = gateway.Unmap()
	} else if kernelMakes(to) || slices.ContainsFunc(l.Addresses, func(a Address) bool {
		return a.Contains(to) && a.Bits() <= r.Dst.Bits()
	}) {
		return
	}
	if !slices.ContainsFunc(l.Routes, func(old Route) bool { return old.Dst == r.Dst && old.Metric == r.Metric }) {
		l.Routes = append(l.Routes, r)
	}
}

// addDefault adds the default route of the link with the index, if it has one of
// the family of addr: a name may have another address after the crash.
func (l *Link) addDefault(index int, addr netip.Addr) {
	family := netlink.FAMILY_V6
	if addr.Is4() {
		family = netlink.FAMILY_V4
	}
	filter := &netlink.Route{LinkIndex: index, Dst: nil, Table: unix.RT_TABLE_MAIN}
	routes, _ := netlink.RouteListFiltered(family, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_DST|netlink.RT_FILTER_TABLE)
	for _, route := range routes {
		if route.Gw != nil {
			route.Dst = ipNet(everything(addr))
			l.addRoute(route, addr)
		}
	}
}

func toPrefix(n *net.IPNet) netip.Prefix {
	addr, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), bits)
}

// addLink adds the link with the index, after what it is made of, and returns it.
func (s *snapshot) addLink(index int) (*Link, error) {
	i := slices.IndexFunc(s.links, func(l netlink.Link) bool { return l.Attrs().Index == index })
	if i < 0 {
		return nil, fmt.Errorf("link %d is not there", index)
	}
	here := s.links[i]
	name := here.Attrs().Name
	if l := s.plan.Link(name); l != nil {
		return l, nil
	}
	l := Link{Name: name}
	if mtu := here.Attrs().MTU; mtu < usualMTU {
		l.MTU = mtu
	}
	switch here := here.(type) {
	case *netlink.Bridge:
		return s.addUplink(here)
	case *netlink.Macvlan:
		return s.addLink(here.ParentIndex)
	case *netlink.Vlan:
		parent, err := s.addLink(here.ParentIndex)
		if err != nil {
			return nil, err
		}
		if here.VlanProtocol == netlink.VLAN_PROTOCOL_8021AD {
			return nil, fmt.Errorf("%s is a VLAN of 802.1ad", name)
		}
		l.VLAN = &VLAN{here.VlanId, parent.Name}
	case *netlink.Bond:
		l.Bond = &Bond{Mode: here.Mode.String()}
		for _, slave := range s.ports(index) {
			under, err := s.addLink(slave.Attrs().Index)
			if err != nil {
				return nil, err
			}
			l.Bond.Slaves = append(l.Bond.Slaves, under.Name)
		}
	default:
		if !isCard(here) {
			return nil, fmt.Errorf("%s is a link of the kind %s, which nobody makes after a crash; say how to reach the target instead, with network in kdump.conf", name, here.Type())
		}
		if _, err := os.Stat("/sys/class/net/" + name + "/phy80211"); err == nil {
			return nil, fmt.Errorf("%s is wireless, and nobody can sign it in after a crash", name)
		}
		l.MAC = slices.Clone(here.Attrs().PermHWAddr)
		if l.MAC == nil {
			l.MAC = slices.Clone(here.Attrs().HardwareAddr)
		}
	}
	if err := s.plan.add(l); err != nil {
		return nil, err
	}
	return s.plan.Link(name), nil
}

// ports returns the links whose master has the index.
func (s *snapshot) ports(index int) (ports []netlink.Link) {
	for _, l := range s.links {
		if l.Attrs().MasterIndex == index {
			ports = append(ports, l)
		}
	}
	return ports
}

// addUplink adds the port of a bridge by which it leads out of the machine.
func (s *snapshot) addUplink(bridge *netlink.Bridge) (*Link, error) {
	var uplinks []netlink.Link
	var names []string
	for _, port := range s.ports(bridge.Index) {
		// The others lead to virtual machines and containers.
		if kind := port.Type(); kind == "vlan" || kind == "bond" || kind == "device" {
			uplinks = append(uplinks, port)
			names = append(names, port.Attrs().Name)
		}
	}
	if len(uplinks) == 0 {
		return nil, fmt.Errorf("the bridge %s has no network card", bridge.Name)
	}
	if len(uplinks) > 1 {
		s.log(fmt.Sprintf("the bridge %s has several uplinks (%s); the first is used", bridge.Name, strings.Join(names, ", ")))
	}
	return s.addLink(uplinks[0].Attrs().Index)
}
