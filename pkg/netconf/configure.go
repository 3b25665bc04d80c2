// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package netconf

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// configureAll gives the links their addresses and routes, side by side, and
// returns how many have all that they should.
func (u *bringUp) configureAll(ctx context.Context, links []Link) (count int) {
	type result struct {
		device
		err error
	}
	var leaves []device
	for _, l := range links {
		if d, ok := u.devices[l.Name]; ok && (l.configured() || !isUnder(l.Name, links)) {
			leaves = append(leaves, d)
		}
	}
	anyCtx, enough := context.WithCancelCause(ctx)
	defer enough(nil)
	results := make(chan result, len(leaves))
	for _, d := range leaves {
		ctx := ctx
		if d.oneOfMany {
			ctx = anyCtx
		}
		go func() { results <- result{d, guarded(func() error { return u.configure(ctx, d) })} }()
	}
	for range leaves {
		r := <-results
		if r.err != nil {
			u.fail(r.err)
			continue
		}
		count++
		if r.oneOfMany {
			defer time.AfterFunc(anyWait, func() { enough(errors.New("another is up")) }).Stop()
		}
	}
	return count
}

// guarded makes an error of a panic.
func guarded(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v: %s", v, debug.Stack())
		}
	}()
	return do()
}

// configured reports whether the link is to have addresses of its own.
func (l *Link) configured() bool { return len(l.Addresses) > 0 || l.DHCP4 || l.SLAAC }

// isUnder reports whether one of the links is made of the one of that name.
func isUnder(name string, links []Link) bool {
	return slices.ContainsFunc(links, func(l Link) bool { return slices.Contains(l.under(), name) })
}

// configure gives a link its addresses and routes.
func (u *bringUp) configure(ctx context.Context, d device) error {
	if err := awaitCarrier(ctx, d); err != nil {
		return err
	}
	if err := u.checkLeases(ctx, &d); err != nil {
		return err
	}
	if d.DHCP4 {
		if err := u.askServer(ctx, &d); err != nil {
			return fmt.Errorf("%v: %w", &d.Link, err)
		}
	}
	if err := addAll(d); err != nil {
		return err
	}
	if d.SLAAC {
		if err := awaitRouter(ctx, d); err != nil {
			return err
		}
	}
	u.say("%v: %s", &d.Link, addressesOf(d))
	return nil
}

// awaitCarrier waits until the link can carry packets.
func awaitCarrier(ctx context.Context, d device) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, linkWait)
	defer cancel()
	err := await(ctx, func() (bool, error) {
		l, err := netlink.LinkByIndex(d.index)
		if err != nil {
			return false, err
		}
		// IFF_RUNNING comes up to a second later.
		return l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0, nil
	})
	if ctx.Err() != nil {
		return fmt.Errorf("no carrier on %v after %v: is the cable in?", &d.Link, since(began))
	}
	if err != nil {
		return fmt.Errorf("waiting for the carrier of %v: %w", &d.Link, err)
	}
	return nil
}

// checkLeases takes care that no address is used that somebody else has got from
// the DHCP server by now: the link then gets what is IPv4 from the server, too.
func (u *bringUp) checkLeases(ctx context.Context, d *device) error {
	for _, a := range d.Addresses {
		if !a.Leased || !a.Addr().Is4() {
			continue
		}
		owner, err := ownerOf(ctx, d.here, a.Addr())
		if err != nil {
			return fmt.Errorf("%v: asking for the owner of %v: %w", &d.Link, a.Addr(), err)
		}
		if owner == nil {
			continue
		}
		u.say("%v: %v has %v now; asking for another address", &d.Link, owner, a.Addr())
		d.DHCP4 = true
		d.Addresses = slices.DeleteFunc(slices.Clone(d.Addresses), func(a Address) bool { return a.Addr().Is4() })
		d.Routes = slices.DeleteFunc(slices.Clone(d.Routes), func(r Route) bool { return r.Dst.Addr().Is4() })
		return nil
	}
	return nil
}

// askServer completes the link by what a DHCP server says.
func (u *bringUp) askServer(ctx context.Context, d *device) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	l, err := askDHCP(ctx, d.here)
	if err != nil {
		return fmt.Errorf("no address from a DHCP server after %v: %w", since(began), err)
	}
	d.Addresses = append(slices.Clone(d.Addresses), Address{Prefix: l.address})
	d.Routes = append(l.routes, d.Routes...)
	if d.MTU == 0 && l.mtu != 0 {
		// A card that cannot do that goes on with its own.
		_ = netlink.LinkSetMTU(d.netlink(), l.mtu)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.servers = append(u.servers, l.servers...)
	u.search = append(u.search, l.search...)
	return nil
}

// addAll adds the addresses, then the routes.
func addAll(d device) error {
	for _, a := range d.Addresses {
		addr := &netlink.Addr{IPNet: ipNet(a.Prefix)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(d.netlink(), addr); err != nil {
			return fmt.Errorf("%v: address %v: %w", &d.Link, a, err)
		}
	}
	for _, r := range d.Routes {
		if err := netlink.RouteReplace(kernelRoute(d, r)); err != nil {
			return fmt.Errorf("%v: route to %v: %w", &d.Link, r.Dst, err)
		}
	}
	return nil
}

// kernelRoute returns the route as package netlink has it. Gateways are taken to
// be on the link, as they are in clouds that give out addresses without a network.
func kernelRoute(d device, r Route) *netlink.Route {
	route := &netlink.Route{LinkIndex: d.index, Dst: ipNet(r.Dst), Priority: r.Metric, MTU: r.MTU}
	if r.Gateway.IsValid() {
		route.Gw = r.Gateway.AsSlice()
		route.Flags = int(netlink.FLAG_ONLINK)
	} else if r.Dst.Addr().Is4() {
		route.Scope = netlink.SCOPE_LINK
	}
	return route
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// awaitRouter waits until the kernel has made an address of what a router says.
func awaitRouter(ctx context.Context, d device) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, leaseWait)
	defer cancel()
	err := await(ctx, func() (bool, error) {
		addrs, err := netlink.AddrList(d.netlink(), netlink.FAMILY_V6)
		return slices.ContainsFunc(addrs, fromRouter), ignoreInterrupted(err)
	})
	if ctx.Err() != nil {
		return fmt.Errorf("%v: no address from an IPv6 router after %v", &d.Link, since(began))
	}
	return err
}

// fromRouter reports whether an address comes from a router and can be used.
func fromRouter(a netlink.Addr) bool {
	return a.Scope != int(netlink.SCOPE_LINK) && a.Flags&(unix.IFA_F_PERMANENT|unix.IFA_F_DADFAILED) == 0 &&
		(a.Flags&unix.IFA_F_TENTATIVE == 0 || a.Flags&unix.IFA_F_OPTIMISTIC != 0)
}

// ignoreInterrupted drops the error that says that a list changed while it was
// read: the change has been announced.
func ignoreInterrupted(err error) error {
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil
	}
	return err
}

// addressesOf describes what the link has now.
func addressesOf(d device) string {
	addrs, err := netlink.AddrList(d.netlink(), netlink.FAMILY_ALL)
	if err != nil && len(addrs) == 0 {
		return err.Error()
	}
	var words []string
	for _, a := range addrs {
		words = append(words, a.IPNet.String())
	}
	return strings.Join(words, " ")
}
