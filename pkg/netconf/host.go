// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package netconf

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// ForHost returns the plan for the machine that this runs on: what the values of
// the "network" lines of kdump.conf say, or a Snapshot of how the peers are reached.
// It is nil if there is to be no network. The network cards in it have their
// addresses, by which they are found after the crash.
func ForHost(ctx context.Context, lines []string, peers []string, log func(string)) (*Plan, error) {
	how, given, err := parseLines(lines)
	switch {
	case err != nil || how == None:
		return nil, err
	case how == FromHost:
		return Snapshot(ctx, peers, log)
	}
	s := snapshot{plan: given, log: log}
	if s.links, err = netlink.LinkList(); ignoreInterrupted(err) != nil {
		return nil, fmt.Errorf("listing the links: %w", err)
	}
	for i := range given.Links {
		if err := s.complete(&given.Links[i]); err != nil {
			return nil, err
		}
	}
	s.remember(ctx, peers)
	if servers, search := hostResolver(); len(given.Servers) == 0 && !given.asksServers() {
		given.Servers, given.Search = servers, append(given.Search, search...)
	}
	return given, nil
}

// Stale returns a statement of the plan, which ForHost has made of these lines and
// peers, that is not true of this machine any more, or else one that is missing; "" if
// there is none. It looks up no names: they have the addresses that they had. A plan
// that is not of this machine in particular is never stale.
func (p *Plan) Stale(ctx context.Context, lines []string, peers []string) (string, error) {
	if anywhere, err := ForAny(lines); err != nil || anywhere == nil || anywhere.Text() == p.Text() {
		return "", err
	}
	now, err := ForHost(ctx, lines, p.addresses(peers), func(string) {})
	if err != nil {
		return "", err
	}
	was, is := (&Plan{Links: p.Links}).Text(), (&Plan{Links: now.Links}).Text()
	return cmp.Or(missing(was, is), missing(is, was)), nil
}

// addresses returns those that the plan was made of: of the peers, and of the servers
// that look up names.
func (p *Plan) addresses(peers []string) (addrs []string) {
	for _, peer := range peers {
		if _, err := netip.ParseAddr(peer); err == nil {
			addrs = append(addrs, peer)
		}
		for _, h := range p.Hosts {
			if h.Name == peer {
				addrs = append(addrs, h.Addr.String())
			}
		}
	}
	for _, server := range p.Servers {
		addrs = append(addrs, server.String())
	}
	return addrs
}

// missing returns the first line of text that other lacks.
func missing(text, other string) string {
	there := strings.Split(other, "\n")
	for line := range strings.SplitSeq(text, "\n") {
		if !slices.Contains(there, line) {
			return line
		}
	}
	return ""
}

// ForAny returns the plan for a machine that is not known: what the lines say, by
// default that the first network card to get an address from a DHCP server or an
// IPv6 router will do. It is nil if there is to be no network.
func ForAny(lines []string) (*Plan, error) {
	how, given, err := parseLines(lines)
	switch {
	case err != nil || how == None:
		return nil, err
	case how == FromHost:
		return &Plan{Links: []Link{{Name: Any, DHCP4: true}}}, nil
	}
	return given, nil
}

// parseLines makes one plan of the values of several lines.
func parseLines(lines []string) (How, *Plan, error) {
	var directives []Directive
	for _, line := range lines {
		d, err := ParseDirective(line)
		if err != nil {
			return None, nil, fmt.Errorf("network %.100s: %w", line, err)
		}
		if d.How != Given && len(lines) > 1 {
			return None, nil, fmt.Errorf("network %s: other network lines contradict it", line)
		}
		directives = append(directives, d)
	}
	if len(directives) == 0 {
		return FromHost, nil, nil
	}
	plan, err := combine(directives)
	if err != nil {
		return None, nil, fmt.Errorf("network: %w", err)
	}
	return directives[0].How, plan, nil
}

// asksServers reports whether DHCP servers will say where to look up names.
func (p *Plan) asksServers() bool {
	return slices.ContainsFunc(p.Links, func(l Link) bool { return l.DHCP4 })
}

// complete gives a network card of this machine the address that it lacks.
func (s *snapshot) complete(l *Link) error {
	if !l.physical() || l.Name == Any {
		return nil
	}
	attrs := pick(l, s.links)
	switch {
	case attrs == nil:
		return fmt.Errorf("network: no network card %v here; there are %s", l, describe(s.links))
	case l.MAC == nil && attrs.PermHWAddr != nil:
		l.MAC = slices.Clone(attrs.PermHWAddr)
	case l.MAC == nil:
		l.MAC = slices.Clone(attrs.HardwareAddr)
	}
	return nil
}

// remember adds the names among the peers, as far as they can be looked up.
func (s *snapshot) remember(ctx context.Context, peers []string) {
	for _, peer := range peers {
		if _, err := netip.ParseAddr(peer); err == nil {
			continue
		}
		hosts, err := lookUp(ctx, peer)
		if err != nil {
			s.log(fmt.Sprintf("no address is remembered: %v", err))
		}
		s.plan.Hosts = append(s.plan.Hosts, hosts...)
	}
}

// lookUp returns the addresses of a name.
func lookUp(ctx context.Context, name string) (hosts []Host, err error) {
	addrs := hostsOf(hostsPath, name)
	remembered := addrs == nil
	if remembered {
		if addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", name); err != nil {
			return nil, err
		}
	}
	for _, addr := range first(addrs) {
		hosts = append(hosts, Host{name, addr.Unmap(), remembered})
	}
	return hosts, nil
}

// hostsOf returns the addresses that the name has in a file such as /etc/hosts.
func hostsOf(file, name string) (addrs []netip.Addr) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) < 2 || !slices.ContainsFunc(words[1:], func(s string) bool { return strings.EqualFold(s, name) }) {
			continue
		}
		if addr, err := netip.ParseAddr(words[0]); err == nil {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// hostResolver returns the DNS servers and domains that the machine uses. A server
// on the machine itself does not survive the crash, but those that it asks may be
// known.
func hostResolver() (servers []netip.Addr, search []string) {
	for _, file := range []string{resolvPath, "/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"} {
		more, domains := readResolv(file)
		if search == nil {
			search = domains
		}
		if more != nil {
			return more, search
		}
	}
	return nil, search
}

// readResolv returns the DNS servers of a file such as /etc/resolv.conf that are
// not on this machine, and the domains to search.
func readResolv(file string) (servers []netip.Addr, search []string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, nil
	}
	for line := range strings.Lines(string(text)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if server, err := parseServer(words[1]); err == nil && !server.IsLoopback() {
				servers = append(servers, server)
			}
		case "search", "domain":
			search, _ = parseDomains(words[1:])
		}
	}
	return first(servers), first(search)
}

// Cards returns the names of the network cards of this machine that the plan
// brings up.
func (p *Plan) Cards() ([]string, error) {
	here, err := netlink.LinkList()
	if ignoreInterrupted(err) != nil {
		return nil, fmt.Errorf("listing the links: %w", err)
	}
	var names []string
	for _, l := range p.Links {
		switch {
		case !l.physical():
		case l.Name == Any:
			for _, card := range here {
				if isCard(card) {
					names = append(names, card.Attrs().Name)
				}
			}
		default:
			attrs := pick(&l, here)
			if attrs == nil {
				return nil, fmt.Errorf("no network card %v here; there are %s", &l, describe(here))
			}
			names = append(names, attrs.Name)
		}
	}
	return names, nil
}

// Modules returns what Up needs of a kernel besides the drivers of network cards.
// Most kernels have some of it built in.
func (p *Plan) Modules() []string {
	modules := []string{"ipv6"}
	for _, l := range p.Links {
		if l.VLAN != nil {
			modules = append(modules, "8021q")
		}
		if l.Bond != nil {
			modules = append(modules, "bonding")
		}
		if l.DHCP4 || slices.ContainsFunc(l.Addresses, func(a Address) bool { return a.Leased }) {
			modules = append(modules, "af_packet")
		}
	}
	slices.Sort(modules)
	return slices.Compact(modules)
}
