// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The text of a plan has one statement a line:
//
//	link NAME [mac MAC] [mtu BYTES]
//	vlan NAME id NUMBER on LINK [mtu BYTES]
//	bond NAME mode MODE slaves LINK,LINK... [mtu BYTES]
//	address LINK ADDRESS/LENGTH [leased]
//	dhcp4 LINK
//	slaac LINK
//	route LINK NETWORK/LENGTH|default4|default6 [via GATEWAY] [metric NUMBER] [mtu BYTES]
//	dns ADDRESS
//	search DOMAIN...
//	host ADDRESS NAME
//	remembered ADDRESS NAME
//
// A link is named in others only after its own line. Empty lines and what
// follows a "#" mean nothing.

// maxText bounds the text of a plan, in bytes.
const maxText = 64 << 10

// Parse reads the text of a plan. The file name is for messages, which look like
//
//	network:3: address: no link "eth1" comes before
func Parse(file, text string) (*Plan, error) {
	file = filepath.Base(file)
	if len(text) > maxText {
		return nil, fmt.Errorf("%s: larger than %d KiB", file, maxText>>10)
	}
	p, n := &Plan{}, 0
	for line := range strings.Lines(text) {
		n++
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := p.statement(words[0], words[1:]); err != nil {
			return nil, fmt.Errorf("%s:%d: %.20s: %w", file, n, words[0], err)
		}
	}
	return p, nil
}

// statement adds to the plan what a line of its text says.
func (p *Plan) statement(verb string, words []string) error {
	if len(words) == 0 {
		return errors.New("nothing follows")
	}
	switch verb {
	case "link", "vlan", "bond":
		return p.addLink(verb, words[0], words[1:])
	case "dns":
		addr, err := parseServer(strings.Join(words, " "))
		p.Servers = append(p.Servers, addr)
		return err
	case "search":
		domains, err := parseDomains(words)
		p.Search = append(p.Search, domains...)
		return err
	case "host", "remembered":
		return p.addHost(words, verb == "remembered")
	}
	l := p.Link(words[0])
	if l == nil {
		return fmt.Errorf("no link %.20q comes before", words[0])
	}
	return l.setting(verb, words[1:])
}

// addLink adds the link that one line makes.
func (p *Plan) addLink(verb, name string, words []string) (err error) {
	l := Link{Name: name}
	if verb == "vlan" {
		l.VLAN = &VLAN{}
	}
	if verb == "bond" {
		l.Bond = &Bond{}
	}
	o := options{words: words}
	for o.next() {
		switch verb + " " + o.key {
		case "link mac":
			l.MAC, err = parseMAC(o.value)
		case "link mtu", "vlan mtu", "bond mtu":
			l.MTU, err = parseNumber(o.value, minMTU, maxMTU)
		case "vlan id":
			l.VLAN.ID, err = parseNumber(o.value, 1, maxVLAN)
		case "vlan on":
			l.VLAN.Parent = o.value
		case "bond mode":
			l.Bond.Mode, err = parseMode(o.value)
		case "bond slaves":
			l.Bond.Slaves = strings.Split(o.value, ",")
		default:
			return o.unknown()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o.key, err)
		}
	}
	switch {
	case o.err != nil:
		return o.err
	case l.VLAN != nil && (l.VLAN.ID == 0 || l.VLAN.Parent == ""):
		return errors.New("lacks its id or the link that it is on")
	case l.Bond != nil && (l.Bond.Mode == "" || l.Bond.Slaves == nil):
		return errors.New("lacks its mode or its slaves")
	}
	return p.add(l)
}

// setting sets what one line says about a link.
func (l *Link) setting(verb string, words []string) error {
	switch {
	case verb == "dhcp4" && len(words) == 0:
		l.DHCP4 = true
	case verb == "slaac" && len(words) == 0:
		l.SLAAC = true
	case verb == "dhcp4", verb == "slaac":
		return fmt.Errorf("what is %.40q?", words[0])
	case verb == "address" && len(words) > 0:
		prefix, err := parseAddress(words[0])
		leased := len(words) == 2 && words[1] == "leased"
		if err == nil && len(words) > 1 && !leased {
			err = fmt.Errorf("what is %.40q?", words[1])
		}
		l.Addresses = append(l.Addresses, Address{prefix, leased})
		return err
	case verb == "route" && len(words) > 0:
		r, err := parseRoute(words[0], words[1:])
		l.Routes = append(l.Routes, r)
		return err
	case verb == "address", verb == "route":
		return errors.New("nothing follows the link")
	default:
		return errors.New("unknown statement")
	}
	return nil
}

// parseRoute reads a route. Its family is that of its destination; a bare
// "default" takes that of the gateway.
func parseRoute(dst string, words []string) (r Route, err error) {
	if r.Dst, err = parseDst(dst); err != nil && dst != "default" {
		return r, err
	}
	err = nil
	o := options{words: words}
	for o.next() {
		switch o.key {
		case "via":
			r.Gateway, err = parseGateway(o.value)
		case "metric":
			r.Metric, err = parseNumber(o.value, 1, 1<<31-1)
		case "mtu":
			r.MTU, err = parseNumber(o.value, minMTU, maxMTU)
		default:
			return r, o.unknown()
		}
		if err != nil {
			return r, fmt.Errorf("%s: %w", o.key, err)
		}
	}
	switch {
	case o.err != nil:
		return r, o.err
	case dst == "default" && !r.Gateway.IsValid():
		return r, errors.New("default needs a gateway, or is default4 or default6")
	case dst == "default":
		r.Dst = everything(r.Gateway)
	case r.Gateway.IsValid() && r.Gateway.Is4() != r.Dst.Addr().Is4():
		return r, fmt.Errorf("%v is no gateway to %v", r.Gateway, r.Dst)
	}
	return r, nil
}

// everything returns the network that all addresses like addr are in.
func everything(addr netip.Addr) netip.Prefix {
	if addr.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

func parseDst(s string) (netip.Prefix, error) {
	switch s {
	case "default4":
		return everything(netip.IPv4Unspecified()), nil
	case "default6":
		return everything(netip.IPv6Unspecified()), nil
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil || prefix != prefix.Masked() || prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%.60q is no network such as 192.0.2.0/24", s)
	}
	return prefix, nil
}

func (p *Plan) addHost(words []string, remembered bool) error {
	addr, err := netip.ParseAddr(words[0])
	if err != nil || addr.Is4In6() || addr.IsUnspecified() {
		return fmt.Errorf("%.60q is no address", words[0])
	}
	if len(words) != 2 {
		return errors.New("wants an address and a name")
	}
	if err := checkDomain(words[1]); err != nil {
		return err
	}
	p.Hosts = append(p.Hosts, Host{words[1], addr, remembered})
	return nil
}

// options goes through words that are keys and values in turn.
type options struct {
	words      []string
	key, value string
	seen       []string
	err        error
}

// next goes to the next option, and returns false if there is none.
func (o *options) next() bool {
	switch {
	case len(o.words) == 0:
		return false
	case len(o.words) == 1:
		o.err = fmt.Errorf("nothing follows %.40q", o.words[0])
		return false
	}
	o.key, o.value, o.words = o.words[0], o.words[1], o.words[2:]
	if slices.Contains(o.seen, o.key) {
		o.err = fmt.Errorf("%.40q is there twice", o.key)
		return false
	}
	o.seen = append(o.seen, o.key)
	return true
}

func (o *options) unknown() error { return fmt.Errorf("what is %.40q?", o.key) }

func parseMAC(s string) (net.HardwareAddr, error) {
	mac, err := net.ParseMAC(s)
	if err != nil || slices.Max(mac) == 0 {
		return nil, fmt.Errorf("%.60q is no address of a network card, such as 52:54:00:12:34:56", s)
	}
	return mac, nil
}

// parseNumber reads a decimal number without signs or zeros in front.
func parseNumber(s string, least, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s || n < least || n > most {
		return 0, fmt.Errorf("%.40q is no number from %d to %d", s, least, most)
	}
	return n, nil
}

func parseMode(s string) (string, error) {
	if n, err := parseNumber(s, 0, len(bondModes())-1); err == nil {
		return bondModes()[n], nil
	}
	if !slices.Contains(bondModes(), s) {
		return "", fmt.Errorf("%.40q is none of %s", s, strings.Join(bondModes(), ", "))
	}
	return s, nil
}

// parseAddress reads an address that a link can have, with the length of its
// network.
func parseAddress(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	addr := prefix.Addr()
	if err != nil || addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() {
		return netip.Prefix{}, fmt.Errorf("%.60q is no address of a machine with the length of its network, such as 192.0.2.7/24", s)
	}
	return prefix, nil
}

// parseGateway reads the address of a neighbour. The link is known, so there is no
// zone.
func parseGateway(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Is4In6() || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() || addr.IsLoopback() {
		return netip.Addr{}, fmt.Errorf("%.60q is no address of a gateway", s)
	}
	return addr, nil
}

// parseServer reads the address of a DNS server.
func parseServer(s string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(s)
	if err != nil || addr.Is4In6() || addr.IsUnspecified() || addr.IsMulticast() ||
		addr.Zone() != "" && checkName(addr.Zone()) != nil {
		return netip.Addr{}, fmt.Errorf("%.60q is no address of a DNS server", s)
	}
	return addr, nil
}

func parseDomains(words []string) ([]string, error) {
	for _, domain := range words {
		if err := checkDomain(domain); err != nil {
			return nil, err
		}
	}
	return words, nil
}

// checkDomain refuses what cannot be the name of a host or a domain, or would
// mean something else in /etc/hosts. Underscores do occur.
func checkDomain(s string) error {
	ok := s != "" && len(s) <= 253
	for _, c := range []byte(s) {
		ok = ok && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '_' || c == '.')
	}
	if !ok {
		return fmt.Errorf("%.60q cannot be a name in DNS", s)
	}
	return nil
}

// Text returns the plan in the form that Parse reads.
func (p *Plan) Text() string {
	var b strings.Builder
	for _, l := range p.Links {
		l.write(&b)
	}
	for _, server := range p.Servers {
		fmt.Fprintf(&b, "dns %v\n", server)
	}
	if len(p.Search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(p.Search, " "))
	}
	for _, h := range p.Hosts {
		verb := "host"
		if h.Remembered {
			verb = "remembered"
		}
		fmt.Fprintf(&b, "%s %v %s\n", verb, h.Addr, h.Name)
	}
	return b.String()
}

func (l *Link) write(b *strings.Builder) {
	switch {
	case l.VLAN != nil:
		fmt.Fprintf(b, "vlan %s id %d on %s", l.Name, l.VLAN.ID, l.VLAN.Parent)
	case l.Bond != nil:
		fmt.Fprintf(b, "bond %s mode %s slaves %s", l.Name, l.Bond.Mode, strings.Join(l.Bond.Slaves, ","))
	case l.MAC != nil:
		fmt.Fprintf(b, "link %s mac %v", l.Name, l.MAC)
	default:
		fmt.Fprintf(b, "link %s", l.Name)
	}
	writeNumber(b, "mtu", l.MTU)
	b.WriteString("\n")
	for _, a := range l.Addresses {
		fmt.Fprintf(b, "address %s %v", l.Name, a.Prefix)
		if a.Leased {
			b.WriteString(" leased")
		}
		b.WriteString("\n")
	}
	if l.DHCP4 {
		fmt.Fprintf(b, "dhcp4 %s\n", l.Name)
	}
	if l.SLAAC {
		fmt.Fprintf(b, "slaac %s\n", l.Name)
	}
	for _, r := range l.Routes {
		fmt.Fprintf(b, "route %s %s", l.Name, dstText(r.Dst))
		if r.Gateway.IsValid() {
			fmt.Fprintf(b, " via %v", r.Gateway)
		}
		writeNumber(b, "metric", r.Metric)
		writeNumber(b, "mtu", r.MTU)
		b.WriteString("\n")
	}
}

// writeNumber writes an option, unless its value is 0.
func writeNumber(b *strings.Builder, key string, value int) {
	if value != 0 {
		fmt.Fprintf(b, " %s %d", key, value)
	}
}

func dstText(dst netip.Prefix) string {
	switch {
	case dst.Bits() > 0:
		return dst.String()
	case dst.Addr().Is4():
		return "default4"
	}
	return "default6"
}
