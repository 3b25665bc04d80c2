// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package netconf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// How long to wait for what takes time. Some cards need ten seconds for a link,
// and a switch that looks for loops first (STP) another thirty until it forwards
// anything.
const (
	linkWait  = 30 * time.Second // for network cards to appear, and again for their link
	leaseWait = time.Minute      // for a DHCP server or an IPv6 router
	anyWait   = 5 * time.Second  // for further cards of Any, when one is up
)

// ErrNoLink says that no link came up.
var ErrNoLink = errors.New("no link came up")

// Up brings up what is in the plan, and makes names known to Go's resolver, by
// /etc/resolv.conf and /etc/hosts. What is odd, what came up and what did not it
// tells log, one line a call, never two at a time.
//
// Links come up side by side. One that does not, costs what is reached by it: only
// if none came up is there an error, which wraps ErrNoLink. Up returns when all
// have come up or failed, at the latest when ctx ends; only a driver that keeps the
// kernel itself can make it last longer. Nothing runs on behind it.
func Up(ctx context.Context, plan *Plan, log func(string)) error {
	u := &bringUp{log: log, devices: map[string]device{}}
	u.loopback()
	links := u.findCards(ctx, plan.Links)
	u.assemble(links)
	if u.configureAll(ctx, links) == 0 {
		return errors.Join(append([]error{ErrNoLink}, u.failed...)...)
	}
	if err := u.names(ctx, plan); err != nil {
		u.say("names cannot be looked up: %v", err)
	}
	return nil
}

// bringUp is the state of Up.
type bringUp struct {
	devices map[string]device // by name in the plan

	mu      sync.Mutex // guards what is below
	log     func(string)
	failed  []error
	servers []netip.Addr // of DNS, as DHCP servers say
	search  []string
}

// device is a link of the plan as it is in this kernel.
type device struct {
	Link
	index int
	// here is its name in this kernel.
	here string
}

func (u *bringUp) say(format string, args ...any) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.log(fmt.Sprintf(format, args...))
}

// fail notes that a link does not come up.
func (u *bringUp) fail(err error) {
	u.say("%v", err)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failed = append(u.failed, err)
}

func (u *bringUp) loopback() {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		u.say("lo: %v", err)
	}
}

// findCards waits for the network cards and returns the links that there can be,
// with the cards that there are in place of Any.
func (u *bringUp) findCards(ctx context.Context, links []Link) []Link {
	began, limit := time.Now(), linkWait
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(end)/3) // the others need time, too
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var here []netlink.Link
	err := await(ctx, func() (bool, error) {
		var err error
		if here, err = netlink.LinkList(); errors.Is(err, netlink.ErrDumpInterrupted) {
			return false, nil
		}
		return u.match(links, here), err
	})
	if err != nil && ctx.Err() == nil {
		u.say("looking for network cards: %v", err)
	}
	var found []Link
	for _, l := range links {
		switch _, ok := u.devices[l.Name]; {
		case l.Name == Any:
			found = append(found, u.all(l, here)...)
		case l.physical() && !ok:
			u.fail(fmt.Errorf("no network card %v after %v; there are %s", &l, since(began), describe(here)))
		default:
			found = append(found, l)
		}
	}
	return found
}

// match notes which cards are here, and reports whether all are.
func (u *bringUp) match(links []Link, here []netlink.Link) bool {
	all := true
	for _, l := range links {
		switch {
		case !l.physical():
		case l.Name == Any:
			all = all && slices.ContainsFunc(here, isCard)
		default:
			attrs := pick(&l, here)
			if attrs == nil {
				all = false
				continue
			}
			u.devices[l.Name] = device{l, attrs.Index, attrs.Name}
		}
	}
	return all
}

// isCard reports whether a link is a network card, not something that the kernel
// has made, which has a kind. The end of a cable between namespaces counts: it is
// all that containers, and tests, have.
func isCard(l netlink.Link) bool {
	kind, attrs := l.Type(), l.Attrs()
	return (kind == "device" || kind == "veth") && attrs.RawFlags&unix.IFF_LOOPBACK == 0 && len(attrs.HardwareAddr) > 0
}

// pick returns the network card that the link of the plan is, or nil. Several may
// have the address: slaves of a bond, of which one has it by nature; or the two of
// a virtual machine that passes one through the other, which is then its master.
func pick(l *Link, here []netlink.Link) *netlink.LinkAttrs {
	var best *netlink.LinkAttrs
	bestRank := 0
	for _, card := range here {
		attrs, rank := card.Attrs(), 0
		switch {
		case !isCard(card):
			continue
		case l.MAC == nil && attrs.Name == l.Name, l.MAC != nil && slices.Equal(attrs.PermHWAddr, l.MAC):
			rank = 3
		case l.MAC != nil && slices.Equal(attrs.HardwareAddr, l.MAC):
			rank = 1
		}
		if rank > 0 && attrs.MasterIndex == 0 {
			rank++
		}
		if rank > bestRank {
			best, bestRank = attrs, rank
		}
	}
	return best
}

// all returns a link for each card that no other link of the plan is, configured
// as l.
func (u *bringUp) all(l Link, here []netlink.Link) []Link {
	taken := map[int]bool{}
	for _, d := range u.devices {
		taken[d.index] = true
	}
	var links []Link
	for _, card := range here {
		attrs := card.Attrs()
		if !isCard(card) || taken[attrs.Index] || attrs.MasterIndex != 0 {
			continue
		}
		each := l
		each.Name, each.MAC, each.oneOfMany = attrs.Name, attrs.HardwareAddr, true
		u.devices[each.Name] = device{each, attrs.Index, attrs.Name}
		links = append(links, each)
	}
	return links
}

// describe lists the network cards that there are.
func describe(here []netlink.Link) string {
	var words []string
	for _, l := range here {
		if isCard(l) {
			words = append(words, fmt.Sprintf("%s (%v)", l.Attrs().Name, l.Attrs().HardwareAddr))
		}
	}
	if len(words) == 0 {
		return "none: is the driver in the image?"
	}
	return strings.Join(words, ", ")
}

// assemble makes of the cards what is made of them, and sets all up.
func (u *bringUp) assemble(links []Link) {
	slaves := map[string]bool{}
	for _, l := range links {
		if l.Bond != nil {
			for _, name := range l.Bond.Slaves {
				slaves[name] = true
			}
		}
	}
	for _, l := range links {
		err := u.assembleOne(l, slaves[l.Name])
		if err != nil {
			delete(u.devices, l.Name)
			u.fail(fmt.Errorf("%v: %w", &l, err))
		}
	}
}

func (u *bringUp) assembleOne(l Link, slave bool) (err error) {
	switch {
	case l.VLAN != nil:
		err = u.makeVLAN(l)
	case l.Bond != nil:
		err = u.makeBond(l)
	default:
		u.rename(l)
	}
	if err != nil || slave { // the bond sets its slaves up
		return err
	}
	d := u.devices[l.Name]
	quicken(d.here)
	if l.MTU != 0 {
		if err := netlink.LinkSetMTU(d.netlink(), l.MTU); err != nil {
			u.say("%s: mtu %d: %v", l.Name, l.MTU, err)
		}
	}
	return netlink.LinkSetUp(d.netlink())
}

// netlink returns what package netlink takes for the link.
func (d device) netlink() netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: d.index, Name: d.here}}
}

// rename gives a card the name that it has on the host, which may be in the
// addresses of targets (fe80::1%eth0). It does without, if the name is taken.
func (u *bringUp) rename(l Link) {
	d := u.devices[l.Name]
	if d.here == l.Name {
		return
	}
	card := d.netlink()
	if err := errors.Join(netlink.LinkSetDown(card), netlink.LinkSetName(card, l.Name)); err != nil {
		u.say("%v is called %s here: %v", &l, d.here, err)
		return
	}
	d.here = l.Name
	u.devices[l.Name] = d
}

// quicken has IPv6 on a link ask for routers at once, and use addresses without
// first asking whether others have them: the machine had them before it crashed.
func quicken(name string) {
	dir := filepath.Join("/proc/sys/net/ipv6/conf", name)
	for _, file := range []string{"dad_transmits", "router_solicitation_delay"} {
		// Without IPv6 there is no such file, and nothing to quicken.
		_ = os.WriteFile(filepath.Join(dir, file), []byte("0"), 0)
	}
}

func (u *bringUp) makeVLAN(l Link) error {
	parent, ok := u.devices[l.VLAN.Parent]
	if !ok {
		return fmt.Errorf("%s is not there", l.VLAN.Parent)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = l.Name, parent.index
	return u.addLink(l, &netlink.Vlan{LinkAttrs: attrs, VlanId: l.VLAN.ID, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
}

// miimon is how often a bond looks for the links of its slaves. The kernel's
// default is never.
const miimon = 100 * time.Millisecond

func (u *bringUp) makeBond(l Link) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = l.Name
	bond := netlink.NewLinkBond(attrs)
	bond.Mode = netlink.StringToBondMode(l.Bond.Mode)
	bond.Miimon = int(miimon.Milliseconds())
	if err := u.addLink(l, bond); err != nil {
		return err
	}
	count := 0
	for _, name := range l.Bond.Slaves {
		slave, ok := u.devices[name]
		if !ok {
			u.say("%s: goes without %s", l.Name, name)
			continue
		}
		quicken(slave.here)
		// Only what is down becomes a slave.
		err := errors.Join(netlink.LinkSetDown(slave.netlink()), netlink.LinkSetMasterByIndex(slave.netlink(), u.devices[l.Name].index))
		if err != nil {
			u.say("%s: goes without %s: %v", l.Name, name, err)
			continue
		}
		count++
	}
	if count == 0 {
		return errors.New("has no slaves")
	}
	return nil
}

// addLink adds a link to the kernel's, in place of one of that name that is there:
// the driver of bonds makes one when it is loaded, and this may be the second try.
func (u *bringUp) addLink(l Link, made netlink.Link) error {
	err := netlink.LinkAdd(made)
	if old, found := netlink.LinkByName(l.Name); errors.Is(err, unix.EEXIST) && found == nil && old.Type() == made.Type() {
		err = errors.Join(netlink.LinkDel(old), netlink.LinkAdd(made))
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = fmt.Errorf("%w: the kernel has no %s, and no module for it was loaded", err, made.Type())
	}
	if err != nil {
		return err
	}
	added, err := netlink.LinkByName(l.Name)
	if err != nil {
		return err
	}
	u.devices[l.Name] = device{l, added.Attrs().Index, l.Name}
	return nil
}

// since returns how long it has been, for messages.
func since(t time.Time) time.Duration { return time.Since(t).Round(100 * time.Millisecond) }
