// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package netconf

import (
	"context"
	"errors"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	mac1 = "52:54:00:00:00:01"
	mac2 = "52:54:00:00:00:02"
)

// TestUpStatic brings up a card that has another name here, and has ip say what
// came of it.
func TestUpStatic(t *testing.T) {
	if !inSpace(t) {
		return
	}
	cable(t, "eth0", mac2, "p1")
	cable(t, "eth7", mac1, "p0")
	ip(t, "-n peer address add 192.0.2.1/24 dev p0")
	ip(t, "-n peer address add 2001:db8::1/64 dev p0 nodad")
	if _, err := up(t, `
link lan0 mac `+mac1+` mtu 1400
address lan0 192.0.2.7/24
address lan0 2001:db8::7/64
route lan0 default4 via 192.0.2.1 metric 50
route lan0 default6 via 2001:db8::1 mtu 1300
route lan0 203.0.113.0/24 via 198.51.100.1
route lan0 198.51.100.128/25
`); err != nil {
		t.Fatal(err)
	}
	want(t, "ip address", ip(t, "address show dev lan0"), mac1, "mtu 1400", "state UP",
		"inet 192.0.2.7/24 brd 192.0.2.255", "inet6 2001:db8::7/64 scope global nodad")
	want(t, "ip route", ip(t, "route"), "default via 192.0.2.1 dev lan0 metric 50 onlink",
		"203.0.113.0/24 via 198.51.100.1 dev lan0 onlink", "198.51.100.128/25 dev lan0 scope link")
	want(t, "ip -6 route", ip(t, "-6 route"), "default via 2001:db8::1 dev lan0", "mtu 1300")
	want(t, "ip link", ip(t, "link show dev eth0"), "state DOWN") // the other card is left alone
	pong(t, "192.0.2.1")
	pong(t, "2001:db8::1")
}

// pong requires that the address answers.
func pong(t *testing.T, addr string) {
	t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		t.Skipf("nothing to ping with: %v", err)
	}
	if out, err := exec.Command(path, "ping", "-c1", "-w10", addr).CombinedOutput(); err != nil {
		t.Errorf("ping %s: %v\n%s", addr, err, out)
	}
}

// dnsmasq serves DHCP, IPv6 routers' advertisements and DNS on p0.
func dnsmasq(t *testing.T, args ...string) {
	t.Helper()
	serve(t, "started", "dnsmasq", append([]string{"--no-daemon", "--conf-file=/dev/null", "--user=root", "--group=root",
		"--interface=p0", "--bind-interfaces", "--no-hosts", "--no-resolv", "--log-dhcp", "--leasefile-ro", "--no-ping",
		"--except-interface=lo"}, args...)...)
}

// TestUpDHCP has dnsmasq give out an address with everything that is used.
func TestUpDHCP(t *testing.T) {
	if !inSpace(t) {
		return
	}
	cable(t, "eth0", mac1, "p0")
	ip(t, "-n peer address add 192.0.2.1/24 dev p0")
	dnsmasq(t, "--dhcp-range=192.0.2.100,192.0.2.200,1h", "--dhcp-host="+mac1+",192.0.2.123", "--domain=example.org",
		"--dhcp-option=option:mtu,1400", "--dhcp-option=option:domain-search,lab.example.org,example.org",
		"--address=/server.lab.example.org/192.0.2.1")
	said, err := up(t, "link eth0 mac "+mac1+"\ndhcp4 eth0\nremembered 192.0.2.99 server\n")
	if err != nil {
		t.Fatal(err)
	}
	want(t, "Up", said, "eth0 ("+mac1+"): 192.0.2.123/24")
	want(t, "ip address", ip(t, "address show dev eth0"), "inet 192.0.2.123/24", "mtu 1400")
	want(t, "ip route", ip(t, "route"), "default via 192.0.2.1 dev eth0")
	want(t, resolvPath, readFile(t, resolvPath), "nameserver 192.0.2.1\n", "search lab.example.org example.org\n")
	// The server knows the name, so the old address is of no interest.
	addrs, err := net.DefaultResolver.LookupHost(t.Context(), "server")
	if err != nil || !slices.Equal(addrs, []string{"192.0.2.1"}) {
		t.Errorf("LookupHost(server) = %v, %v, want 192.0.2.1", addrs, err)
	}
}

// TestUpDHCPRoutes has classless routes instead of a default gateway, one of them
// on the link.
func TestUpDHCPRoutes(t *testing.T) {
	if !inSpace(t) {
		return
	}
	cable(t, "eth0", mac1, "p0")
	ip(t, "-n peer address add 192.0.2.1/24 dev p0")
	dnsmasq(t, "--dhcp-range=192.0.2.100,192.0.2.100,1h", "--dhcp-option=option:router,192.0.2.250",
		"--dhcp-option=option:classless-static-route,198.51.100.0/24,192.0.2.2,203.0.113.5/32,0.0.0.0,0.0.0.0/0,192.0.2.3")
	if _, err := up(t, "link eth0 mac "+mac1+"\ndhcp4 eth0\n"); err != nil {
		t.Fatal(err)
	}
	routes := ip(t, "route")
	want(t, "ip route", routes, "default via 192.0.2.3 dev eth0", "198.51.100.0/24 via 192.0.2.2 dev eth0", "203.0.113.5 dev eth0 scope link")
	wantNot(t, "ip route", routes, "192.0.2.250")
}

// TestUpUdhcpd has another server, that comes up after the first question was
// asked.
func TestUpUdhcpd(t *testing.T) {
	if !inSpace(t) {
		return
	}
	cable(t, "eth0", mac1, "p0")
	ip(t, "-n peer address add 192.0.2.1/24 dev p0")
	ip(t, "-n peer link set p0 down")
	writeFile(t, "/etc/udhcpd.conf", "start 192.0.2.50\nend 192.0.2.50\ninterface p0\nlease_file /run/leases\n"+
		"pidfile /run/udhcpd.pid\nopt subnet 255.255.255.0\nopt router 192.0.2.1\nopt dns 192.0.2.53\n")
	writeFile(t, "/run/leases", "")
	serve(t, "started", "busybox", "udhcpd", "-f", "/etc/udhcpd.conf")
	timer := time.AfterFunc(time.Second, func() { exec.Command("ip", "-n", "peer", "link", "set", "p0", "up").Run() })
	defer timer.Stop()
	if _, err := up(t, "link eth0 mac "+mac1+"\ndhcp4 eth0\n"); err != nil {
		t.Fatal(err)
	}
	want(t, "ip address", ip(t, "address show dev eth0"), "inet 192.0.2.50/24")
	want(t, resolvPath, readFile(t, resolvPath), "nameserver 192.0.2.53\n")
}

// TestUpSLAAC has radvd advertise a network.
func TestUpSLAAC(t *testing.T) {
	if !inSpace(t) {
		return
	}
	cable(t, "eth0", mac1, "p0")
	ip(t, "-n peer address add 2001:db8::1/64 dev p0 nodad")
	writeFile(t, "/etc/radvd.conf", "interface p0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; prefix 2001:db8::/64 { }; };\n")
	if out, err := exec.Command("ip", "netns", "exec", "peer", "sysctl", "-w", "net.ipv6.conf.all.forwarding=1").CombinedOutput(); err != nil {
		t.Skipf("the other namespace cannot be a router: %v: %s", err, out)
	}
	serve(t, "started", "radvd", "-n", "-m", "stderr", "-d", "1", "-C", "/etc/radvd.conf", "-p", "/run/radvd.pid")
	began := time.Now()
	if _, err := up(t, "link eth0 mac "+mac1+"\nslaac eth0\n"); err != nil {
		t.Fatal(err)
	}
	t.Logf("up after %v", time.Since(began))
	want(t, "ip address", ip(t, "address show dev eth0"), "inet6 2001:db8::5054:ff:fe00:1/64 scope global dynamic")
	pong(t, "2001:db8::1")
}

// TestUpLeasedTaken has an address that a DHCP server gave before the crash, and
// that another machine has by now.
func TestUpLeasedTaken(t *testing.T) {
	if !inSpace(t) {
		return
	}
	cable(t, "eth0", mac1, "p0")
	ip(t, "-n peer address add 192.0.2.1/24 dev p0")
	ip(t, "-n peer address add 192.0.2.7/24 dev p0")
	dnsmasq(t, "--dhcp-range=192.0.2.100,192.0.2.100,1h")
	plan := "link eth0 mac " + mac1 + "\naddress eth0 192.0.2.7/24 leased\nroute eth0 default4 via 192.0.2.9\n"
	said, err := up(t, plan)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "Up", said, "has 192.0.2.7 now")
	wantNot(t, "ip address", ip(t, "address show dev eth0"), "192.0.2.7")
	want(t, "ip address", ip(t, "address show dev eth0"), "192.0.2.100/24")
	want(t, "ip route", ip(t, "route"), "default via 192.0.2.1 dev eth0")

	// When nobody has it, it is used, and no server is asked.
	ip(t, "-n peer address del 192.0.2.7/24 dev p0")
	ip(t, "address flush dev eth0")
	if _, err := up(t, plan); err != nil {
		t.Fatal(err)
	}
	want(t, "ip address", ip(t, "address show dev eth0"), "192.0.2.7/24")
	wantNot(t, "ip address", ip(t, "address show dev eth0"), "192.0.2.100")
}

// TestUpAny has the only card that a DHCP server answers on found.
func TestUpAny(t *testing.T) {
	if !inSpace(t) {
		return
	}
	cable(t, "eth0", mac2, "p1")
	cable(t, "eth1", mac1, "p0")
	ip(t, "-n peer address add 192.0.2.1/24 dev p0")
	dnsmasq(t, "--dhcp-range=192.0.2.100,192.0.2.100,1h")
	began := time.Now()
	said, err := up(t, "link any\ndhcp4 any\n")
	if err != nil {
		t.Fatal(err)
	}
	want(t, "Up", said, "eth1 ("+mac1+"): 192.0.2.100/24", "eth0 ("+mac2+"): no address from a DHCP server after ", ": another is up")
	want(t, "ip address", ip(t, "address show dev eth1"), "192.0.2.100/24")
	if took := time.Since(began); took > leaseWait {
		t.Errorf("Up waited %v for a second card", took)
	}
}

// TestUpFails has links that do not come up, and time that ends.
func TestUpFails(t *testing.T) {
	if !inSpace(t) {
		return
	}
	cable(t, "eth0", mac1, "p0")
	cable(t, "eth1", mac2, "p1")
	ip(t, "-n peer link set p1 down")
	const all = "link eth0 mac " + mac1 + "\ndhcp4 eth0\n" + // no server
		"link eth1 mac " + mac2 + "\naddress eth1 192.0.2.7/24\n" + // no carrier
		"link eth2 mac 52:54:00:00:00:03\naddress eth2 192.0.2.8/24\n" + // no card
		"vlan v on eth2 id 7\n"
	before := goroutines(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	began := time.Now()
	said, err := upWithin(ctx, t, all)
	if !errors.Is(err, ErrNoLink) {
		t.Fatalf("Up = %v, want ErrNoLink", err)
	}
	if took := time.Since(began); took > linkWait {
		t.Errorf("Up took %v, the context 3 s", took)
	}
	want(t, "Up", said, "no network card eth2 (52:54:00:00:00:03) after ", "; there are eth0 ("+mac1+"), eth1 ("+mac2+")",
		"eth2 is not there")
	goroutines(t, before)

	// Without the card that is missing, the time goes to the others.
	text, _, _ := strings.Cut(all, "link eth2")
	ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	said, err = upWithin(ctx, t, text)
	if !errors.Is(err, ErrNoLink) {
		t.Fatalf("Up = %v, want ErrNoLink", err)
	}
	want(t, "Up", said, "no carrier on eth1 ("+mac2+") after ", "eth0 ("+mac1+"): no address from a DHCP server after ", "s: no server answers")
	goroutines(t, before)

	// One link is enough.
	ip(t, "-n peer address add 198.51.100.1/24 dev p0")
	ctx, cancel = context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	text = "link eth0 mac " + mac1 + "\naddress eth0 198.51.100.7/24\n" + "link eth1 mac " + mac2 + "\naddress eth1 192.0.2.7/24\n"
	if _, err := upWithin(ctx, t, text); err != nil {
		t.Errorf("Up with one of two links = %v", err)
	}
	pong(t, "198.51.100.1")
}

// TestUpNames has names looked up of a server that does not answer.
func TestUpNames(t *testing.T) {
	if !inSpace(t) {
		return
	}
	cable(t, "eth0", mac1, "p0")
	ip(t, "-n peer address add 192.0.2.1/24 dev p0")
	said, err := up(t, "link eth0 mac "+mac1+"\naddress eth0 192.0.2.7/24\ndns 192.0.2.99\n"+
		"remembered 192.0.2.1 server.example.org\nremembered 2001:db8::1 server.example.org\nhost 192.0.2.2 fixed.example.org\n")
	if err != nil {
		t.Fatal(err)
	}
	want(t, "Up", said, "server.example.org", "taking the address that it had when the image was built")
	for name, want := range map[string][]string{
		"server.example.org": {"192.0.2.1", "2001:db8::1"}, "fixed.example.org": {"192.0.2.2"}, "localhost": {"127.0.0.1", "::1"},
	} {
		addrs, err := net.DefaultResolver.LookupHost(t.Context(), name)
		slices.Sort(addrs)
		if err != nil || !slices.Equal(addrs, want) {
			t.Errorf("LookupHost(%s) = %v, %v, want %v", name, addrs, err, want)
		}
	}
}
