// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"net"
	"path/filepath"
)

// NIC is a network card of a machine. The first is called eth0 in the guest and
// in its capture kernel, and nic0 in QEMU's monitor (Monitor.SetLink), and so on.
type NIC struct {
	// MAC is its address; 52:54:00:6b:64:01 and so on if empty.
	MAC string
	// Model is QEMU's name of the card; virtio-net-pci if empty. vmxnet3 is
	// another one that the kernels of the tests have a driver for.
	Model string
	// Net is what the card is connected to, as QEMU's -netdev takes it, but
	// without an id; UserNet if empty.
	Net string
}

// UserNet is a network that QEMU makes. Its DHCP server gives the machine
// 10.0.2.15/24, its router advertises fec0::/64, 10.0.2.2 and fec0::2 are the
// loopback addresses of the host that the tests run on, and names are looked up
// at 10.0.2.3 with the host's resolver.
const UserNet = "user"

// MAC returns the address of a machine's nth network card, from 0 on, where none
// is given.
func MAC(n int) string { return fmt.Sprintf("52:54:00:6b:64:%02x", n+1) }

// Network returns what Machine.Args needs for the network cards.
func Network(nics ...NIC) []string {
	var args []string
	for i, nic := range nics {
		args = append(args,
			"-netdev", fmt.Sprintf("%s,id=net%d", or(nic.Net, UserNet), i),
			"-device", fmt.Sprintf("%s,id=nic%d,netdev=net%d,mac=%s", or(nic.Model, "virtio-net-pci"), i, i, or(nic.MAC, MAC(i))))
	}
	return args
}

// AttachNetwork returns the steps that make the first network card appear and
// give it the address that the DHCP server of UserNet would.
func AttachNetwork() []string {
	return []string{"modprobe virtio_pci virtio_net", "network eth0 10.0.2.15/24 via 10.0.2.2 dns 10.0.2.3"}
}

// ListenMonitor opens the socket, in dir, that a machine with the returned
// arguments connects its monitor to. Listen then takes the connection; it waits
// until the machine is started, so it is called from another goroutine.
func ListenMonitor(dir string) (net.Listener, []string, error) {
	socket := filepath.Join(dir, "qmp")
	listener, err := net.Listen("unix", socket)
	return listener, []string{"-qmp", "unix:" + socket}, err
}

// SetLink plugs the cable of the network card into it, or pulls it out.
func (m *Monitor) SetLink(nic string, up bool) error {
	return m.Execute("set_link", map[string]any{"name": nic, "up": up})
}
