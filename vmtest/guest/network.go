// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// network configures a link as the tools of a distribution would: with an
// address, or with what a DHCP server says.
func network(name string, args []string) error {
	link, err := linkUp(name)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return nil // it is the slave of another, or IPv6 does the rest
	}
	switch args[0] {
	case "auto6":
		return awaitGlobal(link)
	case "dhcp":
		if args, err = lease(name); err != nil {
			return err
		}
	}
	address, err := netlink.ParseAddr(args[0])
	if err != nil {
		return err
	}
	for _, option := range pairs(args[1:]) {
		switch option[0] {
		case "valid": // seconds, as of addresses from DHCP
			if address.ValidLft, err = strconv.Atoi(option[1]); err != nil {
				return err
			}
			address.PreferedLft = address.ValidLft
		case "via":
			// After the address.
		case "dns":
			if err := os.WriteFile("/etc/resolv.conf", []byte("nameserver "+option[1]+"\n"), 0o644); err != nil {
				return err
			}
		default:
			return fmt.Errorf("what is %q?", option[0])
		}
	}
	if err := netlink.AddrAdd(link, address); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	for _, option := range pairs(args[1:]) {
		if option[0] == "via" {
			index := link.Attrs().Index // the first network card has the best default route
			route := &netlink.Route{LinkIndex: index, Gw: net.ParseIP(option[1]), Priority: 100 + index}
			if err := netlink.RouteAdd(route); err != nil {
				return fmt.Errorf("via %s: %w", option[1], err)
			}
		}
	}
	return nil
}

// awaitGlobal waits until the kernel has given the link an address of the network
// that a router advertises.
func awaitGlobal(link netlink.Link) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		addresses, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // by a change: the next list has it
			return err
		}
		for _, a := range addresses {
			if a.Scope != int(netlink.SCOPE_LINK) && a.Flags&unix.IFA_F_TENTATIVE == 0 {
				say("%s: %v", link.Attrs().Name, a.IPNet)
				return nil
			}
		}
	}
	return errors.New("no router advertises a network")
}

func pairs(words []string) (pairs [][2]string) {
	for i := 0; i+1 < len(words); i += 2 {
		pairs = append(pairs, [2]string{words[i], words[i+1]})
	}
	return pairs
}

// linkUp waits for a network card to appear, and for its cable.
func linkUp(name string) (netlink.Link, error) {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		link, err := netlink.LinkByName(name)
		if err != nil {
			continue
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return nil, err
		}
		if state := link.Attrs().OperState; state == netlink.OperUp || state == netlink.OperUnknown {
			return link, nil
		}
	}
	return nil, fmt.Errorf("%s does not come up", name)
}

// lease asks a DHCP server and returns what network takes.
func lease(name string) ([]string, error) {
	client, err := nclient4.New(name)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	lease, err := client.Request(ctx)
	if err != nil {
		return nil, err
	}
	ones, _ := lease.ACK.SubnetMask().Size()
	args := []string{fmt.Sprintf("%v/%d", lease.ACK.YourIPAddr, ones)}
	args = append(args, "valid", fmt.Sprint(int(lease.ACK.IPAddressLeaseTime(time.Hour).Seconds())))
	for _, router := range lease.ACK.Router() {
		args = append(args, "via", router.String())
	}
	for _, server := range lease.ACK.DNS() {
		args = append(args, "dns", server.String())
	}
	say("%s: %s", name, strings.Join(args, " "))
	return args, nil
}

// stack makes a link of others: "vlan NAME ID PARENT", "bond NAME MODE SLAVE..." or
// "bridge NAME PORT...".
func stack(kind string, args []string) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = args[0]
	switch kind {
	case "vlan":
		id, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		parent, err := linkUp(args[2])
		if err != nil {
			return err
		}
		attrs.ParentIndex = parent.Attrs().Index
		return netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id})
	case "bond":
		bond := netlink.NewLinkBond(attrs)
		bond.Mode = netlink.StringToBondMode(args[1])
		bond.Miimon = 100
		return join(bond, args[2:])
	}
	return join(&netlink.Bridge{LinkAttrs: attrs}, args[1:])
}

// join makes a link and makes it the master of others.
func join(master netlink.Link, names []string) error {
	if old, err := netlink.LinkByName(master.Attrs().Name); err == nil {
		// The driver of bonds makes one when it is loaded.
		if err := netlink.LinkDel(old); err != nil {
			return err
		}
	}
	if err := netlink.LinkAdd(master); err != nil {
		return err
	}
	for _, name := range names {
		slave, err := linkUp(name)
		if err != nil {
			return err
		}
		// Only a link that is down can become a slave of a bond.
		if err := errors.Join(netlink.LinkSetDown(slave), netlink.LinkSetMaster(slave, master), netlink.LinkSetUp(slave)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// dial says the first line of what a server says.
func dial(address string) error {
	conn, err := net.DialTimeout("tcp", address, 30*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	say("%s says %s", address, line)
	return err
}
