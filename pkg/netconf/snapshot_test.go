// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package netconf

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// takeSnapshot returns the snapshot of how the peers are reached, and what was said.
func takeSnapshot(t *testing.T, peers ...string) (plan *Plan, said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	plan, err = Snapshot(ctx, peers, func(line string) { said += line + "\n" })
	return plan, said, err
}

// wantPlan requires that the plan has the statements.
func wantPlan(t *testing.T, plan *Plan, statements ...string) {
	t.Helper()
	if want := strings.Join(append(statements, ""), "\n"); plan.Text() != want {
		t.Errorf("the plan is\n%s\nwant\n%s", plan.Text(), want)
	}
}

// twoNets makes two network cards as they are on many machines: one with an
// address from a DHCP server and the default route, another with a static one of
// both families, and addresses besides them that only the running machine may use.
func twoNets(t *testing.T) {
	t.Helper()
	cable(t, "eth0", mac1, "p0")
	cable(t, "eth1", mac2, "p1")
	ip(t, "-n peer address add 192.0.2.1/24 dev p0")
	ip(t, "-n peer address add 203.0.113.1/24 dev p1")
	ip(t, "-n peer address add 2001:db8::1/64 dev p1 nodad")
	ip(t, "link set eth0 mtu 1400 up")
	ip(t, "link set eth1 up")
	ip(t, "address add 192.0.2.7/24 dev eth0 valid_lft 3600 preferred_lft 3600")
	ip(t, "address add 192.0.2.77/24 dev eth0") // of a cluster
	ip(t, "route add default via 192.0.2.1 dev eth0 metric 100")
	ip(t, "address add 203.0.113.7/24 dev eth1")
	ip(t, "address add 2001:db8::7/64 dev eth1 nodad")
	ip(t, "route add default via 203.0.113.1 dev eth1 metric 200 mtu 1300")
	ip(t, "route add 198.51.100.0/25 via 203.0.113.2 dev eth1")
	ip(t, "-6 route add 2001:db8:1::/48 via 2001:db8::1 dev eth1")
}

// TestSnapshot takes snapshots, and compares with what was set up with ip.
func TestSnapshot(t *testing.T) {
	if !inSpace(t) {
		return
	}
	twoNets(t)
	for _, test := range []struct {
		peers, want []string
	}{
		{nil, nil},
		{[]string{"192.0.2.9"}, []string{"link eth0 mac " + mac1 + " mtu 1400", "address eth0 192.0.2.7/24 leased",
			"route eth0 default4 via 192.0.2.1 metric 100"}},
		{[]string{"198.51.100.200"}, []string{"link eth0 mac " + mac1 + " mtu 1400", "address eth0 192.0.2.7/24 leased",
			"route eth0 default4 via 192.0.2.1 metric 100"}},
		{[]string{"198.51.100.9", "203.0.113.9"}, []string{"link eth1 mac " + mac2, "address eth1 203.0.113.7/24",
			"route eth1 198.51.100.0/25 via 203.0.113.2", "route eth1 default4 via 203.0.113.1 metric 200 mtu 1300"}},
		{[]string{"2001:db8:1::9"}, []string{"link eth1 mac " + mac2, "address eth1 2001:db8::7/64",
			"route eth1 2001:db8:1::/48 via 2001:db8::1 metric 1024"}},
		{[]string{"fe80::1%eth1"}, []string{"link eth1 mac " + mac2}},
	} {
		plan, said, err := takeSnapshot(t, test.peers...)
		if err != nil || said != "" {
			t.Errorf("Snapshot(%q) = %v, and says %q", test.peers, err, said)
			continue
		}
		wantPlan(t, plan, test.want...)
	}
	for peer, want := range map[string]string{
		"192.0.2.7":       "is this machine",
		"2001:db8:2::1":   "no route to 2001:db8:2::1",
		"no.such.example": "no.such.example",
	} {
		if plan, _, err := takeSnapshot(t, peer); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Snapshot(%s) = %+v, %v, want an error with %q", peer, plan, err, want)
		}
	}
}

// TestSnapshotHosts has a name in /etc/hosts, and a DNS server on the machine itself,
// which is of no use after a crash; the one that it asks is.
func TestSnapshotHosts(t *testing.T) {
	if !inSpace(t) {
		return
	}
	twoNets(t)
	writeFile(t, hostsPath, "127.0.0.1 localhost\n192.0.2.9 nas nas.example.org # storage\n")
	writeFile(t, resolvPath, "nameserver 127.0.0.53\nsearch example.org\n")
	if err := os.MkdirAll("/run/systemd/resolve", 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "/run/systemd/resolve/resolv.conf", "nameserver 192.0.2.1\n")
	plan, said, err := takeSnapshot(t, "NAS")
	if err != nil || said != "" {
		t.Fatalf("Snapshot = %v, and says %q", err, said)
	}
	wantPlan(t, plan, "link eth0 mac "+mac1+" mtu 1400", "address eth0 192.0.2.7/24 leased", "route eth0 default4 via 192.0.2.1 metric 100",
		"dns 192.0.2.1", "search example.org", "host 192.0.2.9 NAS")
}

// TestSnapshotNames has a name that is looked up, by another link than that which
// leads to it.
func TestSnapshotNames(t *testing.T) {
	if !inSpace(t) {
		return
	}
	twoNets(t)
	dnsmasq(t, "--address=/server.example.org/203.0.113.9")
	writeFile(t, resolvPath, "nameserver 192.0.2.1\nsearch example.org\n")
	plan, said, err := takeSnapshot(t, "server")
	if err != nil || said != "" {
		t.Fatalf("Snapshot = %v, and says %q", err, said)
	}
	wantPlan(t, plan,
		"link eth1 mac "+mac2, "address eth1 203.0.113.7/24", "route eth1 default4 via 203.0.113.1 metric 200 mtu 1300",
		"link eth0 mac "+mac1+" mtu 1400", "address eth0 192.0.2.7/24 leased", "route eth0 default4 via 192.0.2.1 metric 100",
		"dns 192.0.2.1", "search example.org", "remembered 203.0.113.9 server")
}

// TestSnapshotUp takes a snapshot, wipes the network, brings it up again from the
// plan, and has the kernel route packets as before.
func TestSnapshotUp(t *testing.T) {
	if !inSpace(t) {
		return
	}
	twoNets(t)
	ip(t, "-n peer address add 198.51.100.9/32 dev lo")
	ip(t, "-n peer address add 203.0.113.2/24 dev p1")
	ip(t, "-n peer -6 address add 2001:db8:1::9/128 dev lo")
	ip(t, "-n peer address add 198.51.100.200/32 dev lo")
	peers := []string{"198.51.100.9", "198.51.100.200", "2001:db8:1::9", "203.0.113.9"}
	plan, _, err := takeSnapshot(t, peers...)
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]string{}
	for _, peer := range peers {
		before[peer] = ip(t, "route get "+peer)
	}
	for _, name := range []string{"eth0", "eth1"} {
		ip(t, "address flush dev "+name)
		ip(t, "link set "+name+" down mtu 1500")
	}
	ip(t, "link set eth0 name eth2")
	if said, err := up(t, plan.Text()); err != nil {
		t.Fatalf("Up = %v, and says %q", err, said)
	}
	for _, peer := range peers {
		if after := ip(t, "route get "+peer); after != before[peer] {
			t.Errorf("the route to %s is\n%s\nit was\n%s", peer, after, before[peer])
		}
	}
	for _, peer := range peers[:3] {
		pong(t, peer)
	}
	wantNot(t, "ip address", ip(t, "address"), "192.0.2.77")
}

// TestForHost completes what kdump.conf says by what this machine has.
func TestForHost(t *testing.T) {
	if !inSpace(t) {
		return
	}
	twoNets(t)
	writeFile(t, resolvPath, "nameserver 192.0.2.53\n")
	writeFile(t, hostsPath, "192.0.2.9 nas\n")
	var said string
	forHost := func(lines ...string) *Plan {
		plan, err := ForHost(t.Context(), lines, []string{"nas", "192.0.2.8"}, func(line string) { said += line })
		if err != nil {
			t.Fatalf("ForHost(%q) = %v", lines, err)
		}
		return plan
	}
	wantPlan(t, forHost("eth1 static 203.0.113.8/24"), "link eth1 mac "+mac2, "address eth1 203.0.113.8/24",
		"dns 192.0.2.53", "host 192.0.2.9 nas")
	plan := forHost(mac1 + " dhcp")
	wantPlan(t, plan, "link nic525400000001 mac "+mac1, "dhcp4 nic525400000001", "host 192.0.2.9 nas")
	if cards, err := plan.Cards(); err != nil || len(cards) != 1 || cards[0] != "eth0" {
		t.Errorf("Cards() = %q, %v, want eth0", cards, err)
	}
	wantPlan(t, forHost(), "link eth0 mac "+mac1+" mtu 1400", "address eth0 192.0.2.7/24 leased",
		"route eth0 default4 via 192.0.2.1 metric 100", "dns 192.0.2.53", "host 192.0.2.9 nas")
	if plan := forHost("none"); plan != nil {
		t.Errorf("ForHost(none) = %q", plan.Text())
	}
	if plan, err := ForHost(t.Context(), []string{"eth9 dhcp"}, nil, nil); err == nil || !strings.Contains(err.Error(), "no network card eth9 here; there are eth0 ("+mac1) {
		t.Errorf("ForHost(eth9 dhcp) = %+v, %v, want an error that says what there is", plan, err)
	}
	if said != "" {
		t.Errorf("ForHost says %q", said)
	}
}

// TestStale changes the network after a plan was made.
func TestStale(t *testing.T) {
	if !inSpace(t) {
		return
	}
	twoNets(t)
	writeFile(t, hostsPath, "203.0.113.9 nas\n")
	writeFile(t, resolvPath, "nameserver 192.0.2.1\n")
	for _, test := range []struct {
		lines, change []string
		want          string
	}{
		{nil, []string{"address add 203.0.113.77/24 dev eth1", "route add 198.51.100.128/25 via 203.0.113.2 dev eth1"}, ""}, // not the way to a peer
		{nil, []string{"route replace default via 203.0.113.3 dev eth1 metric 200 mtu 1300"}, "route eth1 default4 via 203.0.113.1 metric 200 mtu 1300"},
		{nil, []string{"link set eth0 mtu 1500"}, "link eth0 mac " + mac1 + " mtu 1400"},
		{nil, []string{"route add 192.0.2.1/32 via 192.0.2.2 dev eth0"}, "route eth0 192.0.2.1/32 via 192.0.2.2"},
		{[]string{"eth1 dhcp"}, []string{"address del 203.0.113.7/24 dev eth1"}, ""}, // which the plan does not have
		{[]string{"any dhcp"}, nil, ""},
	} {
		plan, err := ForHost(t.Context(), test.lines, []string{"nas"}, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		stale := func() string {
			stale, err := plan.Stale(t.Context(), test.lines, []string{"nas"})
			if err != nil {
				t.Fatal(err)
			}
			return stale
		}
		if got := stale(); got != "" {
			t.Errorf("%q: Stale() = %q before anything has changed", test.lines, got)
		}
		for _, args := range test.change {
			ip(t, args)
		}
		if got := stale(); got != test.want {
			t.Errorf("after %q: Stale() = %q, want %q", test.change, got, test.want)
		}
	}
	plan, err := ForHost(t.Context(), nil, []string{"192.0.2.9"}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	ip(t, "link set eth0 down")
	if stale, err := plan.Stale(t.Context(), nil, []string{"192.0.2.9"}); err == nil || !strings.Contains(err.Error(), "192.0.2.9") {
		t.Errorf("without a route, Stale() = %q, %v, want an error that names the peer", stale, err)
	}
}
