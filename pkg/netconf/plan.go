// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

// Package netconf is the network of the capture kernel: what it is to be, and
// how it comes up.
//
// On the host, where the image is built, ForHost makes a Plan: the links,
// addresses and routes by which the running machine reaches the targets of dumps
// (Snapshot), or what the "network" lines of kdump.conf say (ParseDirective). The
// plan's text goes into the image, at Path. In the capture kernel, Up brings up
// what is in the plan and nothing else, without any other program.
//
// Network cards are told by their addresses, not by names: in the capture kernel
// nobody renames them.
package netconf

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Path is where the text of the plan lies in the image.
const Path = "/etc/ukdump/network"

// Plan says what to bring up.
type Plan struct {
	// Links are in an order in which they can be made: each comes after those
	// that it is made of.
	Links []Link
	// Servers look up names, in the order in which they are asked.
	Servers []netip.Addr
	// Search has the domains that are tried for names without a dot.
	Search []string
	// Hosts are names that need not be looked up.
	Hosts []Host
}

// Link is a network card, or something made of others if VLAN or Bond say so.
type Link struct {
	// Name is what the other lines of the plan call the link, and what it is
	// called in the capture kernel, if that can be. Any stands for all network
	// cards.
	Name string
	// MAC is the permanent address of a network card. Without it, the name has
	// to be the one that the capture kernel gives the card.
	MAC  net.HardwareAddr
	VLAN *VLAN
	Bond *Bond
	// MTU in bytes; 0 leaves the kernel's.
	MTU int

	Addresses []Address
	DHCP4     bool // ask a DHCP server for an address, routes and DNS servers
	SLAAC     bool // wait for an address from an IPv6 router
	Routes    []Route

	// oneOfMany marks links that stand for Any.
	oneOfMany bool
}

// Any is the name of the link that stands for every network card of the machine,
// of which one is enough.
const Any = "any"

// VLAN is a part of another link, by IEEE 802.1Q.
type VLAN struct {
	ID     int // 1 to 4094
	Parent string
}

// Bond joins links.
type Bond struct {
	Mode   string // as the kernel's bonding driver calls it
	Slaves []string
}

// Address is an address of a link with the network that it is in.
type Address struct {
	netip.Prefix
	// Leased says that a DHCP server gave the address to the running machine.
	// If somebody else has it by the time of the crash, a server is asked again.
	Leased bool
}

// Route says by which gateway a network is reached.
type Route struct {
	Dst     netip.Prefix // of length 0: everything else
	Gateway netip.Addr   // not valid: the network is on the link
	Metric  int          // the least is preferred; 0 leaves the kernel's
	MTU     int          // in bytes; 0: the link's
}

// Host is a name and an address that it has.
type Host struct {
	Name string
	Addr netip.Addr
	// Remembered says that the name was looked up when the plan was made. The
	// address is used if the name cannot be looked up after the crash.
	Remembered bool
}

// Limits of values, in bytes or as IEEE 802.1Q has them.
const (
	minMTU, maxMTU = 68, 65535
	// A larger MTU than the usual one of Ethernet is not taken over: TCP does
	// without, and receive buffers would take that much more of little memory.
	usualMTU = 1500
	maxVLAN  = 4094
	maxName  = 15 // IFNAMSIZ - 1
)

// bondModes returns the names of the modes, in the order of their numbers
// (bond_mode_tbl in drivers/net/bonding/bond_options.c of Linux).
func bondModes() []string {
	return []string{"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"}
}

// Link returns the link of that name, or nil.
func (p *Plan) Link(name string) *Link {
	i := slices.IndexFunc(p.Links, func(l Link) bool { return l.Name == name })
	if i < 0 {
		return nil
	}
	return &p.Links[i]
}

// physical reports whether the link is a network card, or any.
func (l *Link) physical() bool { return l.VLAN == nil && l.Bond == nil }

// under returns the names of the links that this one is made of.
func (l *Link) under() []string {
	switch {
	case l.VLAN != nil:
		return []string{l.VLAN.Parent}
	case l.Bond != nil:
		return l.Bond.Slaves
	}
	return nil
}

// add appends a link, which must fit those that are there.
func (p *Plan) add(l Link) error {
	if err := checkName(l.Name); err != nil {
		return err
	}
	if p.Link(l.Name) != nil {
		return fmt.Errorf("there is a link %s already", l.Name)
	}
	for i, name := range l.under() {
		switch {
		case name == Any || p.Link(name) == nil:
			return fmt.Errorf("no link %.20q comes before, for %s", name, l.Name)
		case slices.Contains(l.under()[:i], name):
			return fmt.Errorf("%s has %s twice", l.Name, name)
		}
	}
	if l.Name == Any && !l.physical() {
		return fmt.Errorf("%s is the name of all network cards", Any)
	}
	p.Links = append(p.Links, l)
	return nil
}

// checkName refuses what the kernel does not take as the name of a link
// (dev_valid_name in net/core/dev.c of Linux), and what the shell would be fooled
// by.
func checkName(name string) error {
	ok := name != "" && len(name) <= maxName && name != "." && name != ".."
	for _, c := range []byte(name) {
		ok = ok && c > ' ' && c < 0x7f && c != '/' && c != ':' && c != ',' && c != '%' && c != '#'
	}
	if !ok {
		return fmt.Errorf("%.40q cannot be the name of a link", name)
	}
	return nil
}

// String returns the name of the link with its address, for messages.
func (l *Link) String() string {
	if l.MAC == nil || l.Name == l.MAC.String() {
		return l.Name
	}
	return fmt.Sprintf("%s (%v)", l.Name, l.MAC)
}
