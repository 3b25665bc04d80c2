// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"net"
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
