// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package netconf

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// How says where the plan of the capture kernel's network comes from.
type How int

// The ways.
const (
	FromHost How = iota // it is as the running host's
	None                // there is none
	Given               // kdump.conf says it
)

// Directive is what a "network" line of kdump.conf says.
type Directive struct {
	How  How
	Plan Plan // of Given: what the line says of one link
}

// ParseDirective reads the value of a "network" line, which is one of
//
//	snapshot
//	none
//	[LINK [vlan ID on LINK | bond MODE LINK,LINK...]] METHOD [OPTION...]
//
// A LINK is the name that it has on the host, or the address of a network card;
// without one, all network cards are meant. A METHOD is dhcp4 or dhcp, auto6,
// static ADDRESS/LENGTH[,ADDRESS/LENGTH...], or up, which does no more than that.
// Options are
//
//	gw ADDRESS[,ADDRESS]      the default gateway, one of each family
//	route NETWORK/LENGTH via ADDRESS
//	dns ADDRESS[,ADDRESS...]
//	search DOMAIN[,DOMAIN...]
//	mtu BYTES
//
// A link that a VLAN is on or a bond is made of may have a line of its own before;
// otherwise it is a network card.
func ParseDirective(value string) (Directive, error) {
	words := strings.Fields(value)
	switch {
	case len(words) == 0:
		return Directive{}, errors.New("says nothing; snapshot is the default")
	case value == "snapshot":
		return Directive{How: FromHost}, nil
	case value == "none":
		return Directive{How: None}, nil
	}
	d := Directive{How: Given}
	return d, d.parse(words)
}

func (d *Directive) parse(words []string) error {
	link := Link{Name: Any}
	if !slices.Contains(methods(), words[0]) {
		var err error
		if link, err = parseLink(words[0]); err != nil {
			return err
		}
		words = words[1:]
	}
	words, err := d.parseStack(&link, words)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return fmt.Errorf("says not how; it is one of %s", strings.Join(methods(), ", "))
	}
	if words, err = link.parseMethod(words); err != nil {
		return err
	}
	if err := d.parseOptions(&link, words); err != nil {
		return err
	}
	if link.Name == Any && (len(link.Addresses) > 0 || len(link.Routes) > 0) {
		return errors.New("static addresses and routes are for one link, which must be named")
	}
	return d.Plan.add(link)
}

// methods returns the words that say how a link gets its addresses.
func methods() []string { return []string{"dhcp4", "dhcp", "auto6", "static", "up"} }

// parseLink returns the network card that s names. One that is told by its address
// has that, without colons, in its name.
func parseLink(s string) (Link, error) {
	if mac, err := net.ParseMAC(s); err == nil && len(mac) == 6 {
		if mac, err = parseMAC(s); err != nil {
			return Link{}, err
		}
		return Link{Name: fmt.Sprintf("nic%x", []byte(mac)), MAC: mac}, nil
	}
	return Link{Name: s}, checkName(s)
}

// parseStack reads what the link is made of, if the line says that.
func (d *Directive) parseStack(link *Link, words []string) (rest []string, err error) {
	var under []string
	switch {
	case len(words) >= 4 && words[0] == "vlan" && words[2] == "on":
		link.VLAN = &VLAN{}
		if link.VLAN.ID, err = parseNumber(words[1], 1, maxVLAN); err != nil {
			return nil, fmt.Errorf("vlan: %w", err)
		}
		under, rest = words[3:4], words[4:]
	case len(words) >= 3 && words[0] == "bond":
		link.Bond = &Bond{}
		if link.Bond.Mode, err = parseMode(words[1]); err != nil {
			return nil, fmt.Errorf("bond: %w", err)
		}
		under, rest = strings.Split(words[2], ","), words[3:]
	case len(words) > 0 && (words[0] == "vlan" || words[0] == "bond"):
		return nil, fmt.Errorf("%s: it is vlan ID on LINK, or bond MODE LINK,LINK", words[0])
	default:
		return words, nil
	}
	if link.MAC != nil {
		return nil, fmt.Errorf("%s wants a name", words[0])
	}
	for i, s := range under {
		card, err := parseLink(s)
		if err != nil {
			return nil, err
		}
		if err := d.Plan.add(card); err != nil {
			return nil, err
		}
		if link.VLAN != nil {
			link.VLAN.Parent = card.Name
			break
		}
		link.Bond.Slaves = append(link.Bond.Slaves[:i:i], card.Name)
	}
	return rest, nil
}

func (l *Link) parseMethod(words []string) (rest []string, err error) {
	switch words[0] {
	case "dhcp4", "dhcp":
		l.DHCP4 = true
	case "auto6":
		l.SLAAC = true
	case "up":
	case "static":
		if len(words) == 1 {
			return nil, errors.New("static: no address follows")
		}
		for s := range strings.SplitSeq(words[1], ",") {
			prefix, err := parseAddress(s)
			if err != nil {
				return nil, fmt.Errorf("static: %w", err)
			}
			l.Addresses = append(l.Addresses, Address{Prefix: prefix})
		}
		return words[2:], nil
	default:
		return nil, fmt.Errorf("%.40q is none of %s", words[0], strings.Join(methods(), ", "))
	}
	return words[1:], nil
}

func (d *Directive) parseOptions(l *Link, words []string) (err error) {
	for len(words) > 0 {
		key, value := words[0], ""
		if len(words) == 1 {
			return fmt.Errorf("nothing follows %.40q", key)
		}
		value, words = words[1], words[2:]
		switch key {
		case "gw":
			err = l.addGateways(value)
		case "route":
			var r Route
			if len(words) < 2 || words[0] != "via" {
				return errors.New("route: it is NETWORK/LENGTH via ADDRESS")
			}
			r, err = parseRoute(value, words[:2])
			l.Routes, words = append(l.Routes, r), words[2:]
		case "dns":
			for s := range strings.SplitSeq(value, ",") {
				server, wrong := parseServer(s)
				err = errors.Join(err, wrong)
				d.Plan.Servers = append(d.Plan.Servers, server)
			}
		case "search":
			d.Plan.Search, err = parseDomains(strings.Split(value, ","))
		case "mtu":
			l.MTU, err = parseNumber(value, minMTU, maxMTU)
		default:
			return fmt.Errorf("%.40q is none of gw, route, dns, search, mtu", key)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}

func (l *Link) addGateways(list string) error {
	for s := range strings.SplitSeq(list, ",") {
		gateway, err := parseGateway(s)
		if err != nil {
			return err
		}
		l.Routes = append(l.Routes, Route{Dst: everything(gateway), Gateway: gateway})
	}
	return nil
}

// combine makes one plan of what several lines say. Lines about the same link add
// to each other.
func combine(directives []Directive) (*Plan, error) {
	p := &Plan{}
	for _, d := range directives {
		for _, l := range d.Plan.Links {
			if err := p.merge(l); err != nil {
				return nil, err
			}
		}
		p.addServers(d.Plan.Servers)
		p.Search = append(p.Search, d.Plan.Search...)
	}
	return p, nil
}

func (p *Plan) merge(l Link) error {
	old := p.Link(l.Name)
	if old == nil {
		return p.add(l)
	}
	if !l.physical() {
		return fmt.Errorf("what %s is made of has to be said once, and before other lines use it", l.Name)
	}
	old.DHCP4 = old.DHCP4 || l.DHCP4
	old.SLAAC = old.SLAAC || l.SLAAC
	if l.MTU != 0 {
		old.MTU = l.MTU
	}
	old.Addresses = append(old.Addresses, l.Addresses...)
	old.Routes = append(old.Routes, l.Routes...)
	return nil
}

// addServers adds those DNS servers that are not in the plan.
func (p *Plan) addServers(servers []netip.Addr) {
	for _, server := range servers {
		if !slices.Contains(p.Servers, server) {
			p.Servers = append(p.Servers, server)
		}
	}
}
