// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// greeter is a server that says a line to whoever connects, and returns its port.
func greeter(t *testing.T, network, line string) int {
	t.Helper()
	address := map[string]string{"tcp4": "127.0.0.1:0", "tcp6": "[::1]:0"}[network]
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Skipf("the host has no loopback: %v", err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(conn, line)
			conn.Close()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// TestNetworkHarness has the guest reach the host in the ways that other tests
// rely on.
func TestNetworkHarness(t *testing.T) {
	begin(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	steps := append(AttachNetwork(), "network eth0 auto6", "modprobe vmxnet3", "network eth1 dhcp",
		fmt.Sprintf("dial 10.0.2.2:%d", greeter(t, "tcp4", "hello over IPv4")),
		fmt.Sprintf("dial [fec0::2]:%d", greeter(t, "tcp6", "hello over IPv6")))
	m := Machine{Kernel: k, Root: root, MemoryMiB: 512, Steps: steps,
		Args: Network(NIC{}, NIC{Model: "vmxnet3", Net: "user,net=10.0.3.0/24"})}
	console, err := m.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatal(err)
	}
	wantSaid(t, console, "hello over IPv4", "hello over IPv6", "eth1: 10.0.3.15/24 valid 86400 via 10.0.3.2 dns 10.0.3.3")
}

// TestNetwork has capture kernels find their way to a server, in the ways that
// running machines have one and that kdump.conf can say.
func TestNetwork(t *testing.T) {
	begin(t)
	ukdump(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	const two = "hubport,hubid=1" // on one wire with the other network card
	drivers := "modprobe virtio_pci virtio_net"
	for _, test := range []struct {
		name  string
		nics  []NIC
		args  []string
		steps []string // that make the running machine's network
		conf  string   // lines of kdump.conf
		host  string   // the server
		pull  string   // the card whose cable is out after the crash
		build string   // options
		want  []string
	}{
		{name: "static", steps: AttachNetwork(), host: "10.0.2.2",
			want: []string{"network: eth0 (52:54:00:6b:64:01): 10.0.2.15/24"}},
		{name: "leased", steps: []string{drivers, "network eth0 dhcp"}, host: "10.0.2.2",
			want: []string{"address eth0 10.0.2.15/24 leased", "network: eth0 (52:54:00:6b:64:01): 10.0.2.15/24"}},
		// What is in /etc/hosts is known without a DNS server.
		{name: "named", steps: append(AttachNetwork(), "write /etc/hosts 10.0.2.2 dumps.test", "write /etc/resolv.conf nameserver 10.0.2.99"),
			host: "dumps.test", want: []string{"host 10.0.2.2 dumps.test", "@dumps.test:"}},
		{name: "dhcp", steps: AttachNetwork(), conf: "network eth0 dhcp", host: "10.0.2.2", want: []string{"dhcp4 eth0", "network: eth0 (52:54:00:6b:64:01): 10.0.2.15/24"}},
		{name: "generic", nics: []NIC{{Net: "hubport,hubid=7"}, {Model: "vmxnet3"}}, steps: []string{drivers}, build: " --generic", host: "10.0.2.2",
			want: []string{"dhcp4 any", "network: eth1 (52:54:00:6b:64:02): 10.0.2.15/24"}},
		{name: "ipv6", steps: []string{drivers, "network eth0 auto6"}, host: "[fec0::2]",
			want: []string{"network: eth0 (52:54:00:6b:64:01): fec0::5054:ff:fe6b:6401/64"}},
		{name: "auto6", steps: []string{drivers, "network eth0 auto6"}, conf: "network eth0 auto6", host: "[fec0::2]",
			want: []string{"slaac eth0", "network: eth0 (52:54:00:6b:64:01): fec0::5054:ff:fe6b:6401/64"}},
		{name: "bridge", steps: []string{drivers + " bridge", "bridge br0 eth0", "network br0 10.0.2.15/24 via 10.0.2.2"}, host: "10.0.2.2",
			want: []string{"address eth0 10.0.2.15/24", "network: eth0 (52:54:00:6b:64:01): 10.0.2.15/24"}},
		{name: "bond", nics: []NIC{{Net: two}, {Net: two}}, pull: "nic0",
			args:  []string{"-netdev", "user,id=user", "-netdev", two + ",id=wire,netdev=user"},
			steps: []string{drivers + " bonding", "bond bond0 active-backup eth0 eth1", "network bond0 10.0.2.15/24 via 10.0.2.2"},
			host:  "10.0.2.2", want: []string{"bond bond0 mode active-backup slaves eth0,eth1", "network: bond0: 10.0.2.15/24"}},
		{name: "vlan", nics: []NIC{{Net: "VLAN"}}, steps: []string{drivers + " 8021q", "vlan lan 42 eth0", "network lan 10.0.2.15/24 via 10.0.2.2"},
			host: "10.0.2.2", want: []string{"vlan lan id 42 on eth0", "network: lan: 10.0.2.15/24"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := serveSSH(t, "")
			if test.nics == nil {
				test.nics = []NIC{{}}
			}
			if test.nics[0].Net == "VLAN" {
				vlan, net, err := ServeVLAN(t.TempDir(), 42)
				if err != nil {
					t.Fatal(err)
				}
				defer vlan.Close()
				test.nics[0].Net = net
			}
			m := Machine{Kernel: k, Root: root, MemoryMiB: 1024, Args: append(Network(test.nics...), test.args...)}
			if test.pull != "" {
				pullOnCrash(t, &m, test.pull)
			}
			conf := strings.Replace(strings.Join(append(p.target, "machine tested", test.conf), "|"), "10.0.2.2", test.host, 1)
			m.Steps = slices.Concat(test.steps, p.steps, []string{"write /etc/kdump.conf " + conf,
				kdumpctl + "build" + test.build, kdumpctl + "load", kdumpctl + "status", "fill 128", "crash"})
			console, err := m.Run()
			logConsole(t, console)
			if err != nil {
				t.Fatalf("the machine did not end by itself: %v", err)
			}
			wantSaid(t, console, append(test.want, "ukdump: result=ok ")...)
			if line, found := console.Find("not as the image has it"); found {
				t.Errorf("kdumpctl status says of an image that was just built: %s", line.Text)
			}
			if dumps := glob(t, filepath.Join(p.saved, "*/vmcore")); len(dumps) != 1 {
				t.Errorf("the server has the dumps %q, want one", dumps)
			}
		})
	}
}

// TestNetworkDown has the cable out: the next target, a disk, gets the dump.
func TestNetworkDown(t *testing.T) {
	begin(t)
	ukdump(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := MakeDisk(disk, "ext4", "512M", mkfs["ext4"]...); err != nil {
		t.Fatal(err)
	}
	p := serveSSH(t, "")
	m := Machine{Kernel: k, Root: root, MemoryMiB: 1024, Virtio: []string{disk}, Args: Network(NIC{})}
	pullOnCrash(t, &m, "nic0")
	conf := strings.Join(append(p.target, "machine tested", "ext4 UUID="+uuid, "path /dumps"), "|")
	m.Steps = slices.Concat(AttachVirtio("ext4"), AttachNetwork(), p.steps, []string{"write /etc/kdump.conf " + conf,
		kdumpctl + "build", kdumpctl + "load", "fill 128", "crash"})
	console, err := m.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the machine did not end by itself: %v", err)
	}
	wantSaid(t, console, "network: no carrier on eth0 (52:54:00:6b:64:01) after 30", "network: failed", "connect: skipped", "target: 2 of 2", "ukdump: result=ok ")
	saved := t.TempDir()
	if err := Extract(k, root, disk, "ext4", saved); err != nil {
		t.Fatal(err)
	}
	if dumps := glob(t, filepath.Join(saved, "dumps/*/vmcore")); len(dumps) != 1 {
		t.Errorf("the disk has the dumps %q, want one", dumps)
	}
}

// pullOnCrash pulls the cable of a network card out when the machine crashes.
func pullOnCrash(t *testing.T, m *Machine, nic string) {
	t.Helper()
	listener, args, err := ListenMonitor(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	m.Args = append(m.Args, args...)
	crashed := make(chan struct{})
	var once sync.Once
	m.Print = func(line string) {
		if strings.Contains(line, "guest: crash") {
			once.Do(func() { close(crashed) })
		}
	}
	go func() {
		monitor, _, err := Listen(listener)
		if err != nil {
			t.Errorf("QEMU's monitor: %v", err)
			return
		}
		<-crashed
		if err := monitor.SetLink(nic, false); err != nil {
			t.Errorf("pulling out the cable: %v", err)
		}
	}()
}
