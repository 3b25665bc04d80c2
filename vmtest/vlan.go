// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
)

// VLAN is a network as UserNet behind a switch, whose port for the machine takes
// and gives nothing but packets of one VLAN (IEEE 802.1Q).
type VLAN struct {
	listeners []net.Listener
	cmd       *exec.Cmd // a QEMU without a machine, which makes the network
}

// ServeVLAN makes the network of that number, and returns what NIC.Net is for it.
// The folder gets the sockets.
func ServeVLAN(dir string, id uint16) (v *VLAN, nic string, err error) {
	v = &VLAN{}
	connect := [2]string{}
	for i, name := range []string{"tagged", "untagged"} {
		path := filepath.Join(dir, name)
		listener, err := net.Listen("unix", path)
		if err != nil {
			v.Close()
			return nil, "", err
		}
		v.listeners = append(v.listeners, listener)
		connect[i] = "stream,server=off,addr.type=unix,addr.path=" + path
	}
	v.cmd = exec.Command("qemu-system-x86_64", "-M", "none", "-nodefaults", "-display", "none",
		"-netdev", UserNet+",id=user", "-netdev", "hubport,id=h0,hubid=0,netdev=user",
		"-netdev", connect[1]+",id=cable", "-netdev", "hubport,id=h1,hubid=0,netdev=cable")
	if err := v.cmd.Start(); err != nil {
		v.Close()
		return nil, "", err
	}
	go func() { _ = v.relay(id) }() // until the machine or the network ends
	return v, connect[0], nil
}

// relay passes packets on, and takes off or puts on the tag.
func (v *VLAN) relay(id uint16) error {
	untagged, err := v.listeners[1].Accept()
	if err != nil {
		return err
	}
	defer untagged.Close()
	tagged, err := v.listeners[0].Accept()
	if err != nil {
		return err
	}
	defer tagged.Close()
	go func() {
		_ = pass(untagged, tagged, func(p []byte) []byte {
			if len(p) < 18 || binary.BigEndian.Uint32(p[12:])&0xffff_0fff != tag(id) {
				return nil
			}
			return append(p[:12:12], p[16:]...)
		})
	}()
	return pass(tagged, untagged, func(p []byte) []byte {
		if len(p) < 14 {
			return nil
		}
		return append(binary.BigEndian.AppendUint32(p[:12:12], tag(id)), p[12:]...)
	})
}

// tag returns what comes after the two addresses in a packet of a VLAN.
func tag(id uint16) uint32 { return 0x8100<<16 | uint32(id) }

// pass passes packets on. In QEMU's streams, their length comes before each,
// big-endian.
func pass(to io.Writer, from io.Reader, change func([]byte) []byte) error {
	var size [4]byte
	for {
		if _, err := io.ReadFull(from, size[:]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(size[:])
		if n > 1<<17 {
			return fmt.Errorf("a packet of %d bytes", n)
		}
		packet := make([]byte, n)
		if _, err := io.ReadFull(from, packet); err != nil {
			return err
		}
		if packet = change(packet); packet == nil {
			continue
		}
		if _, err := to.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...)); err != nil {
			return err
		}
	}
}

// Close ends the network.
func (v *VLAN) Close() error {
	var err error
	for _, listener := range v.listeners {
		err = errors.Join(err, listener.Close())
	}
	if v.cmd != nil && v.cmd.Process != nil {
		err = errors.Join(err, v.cmd.Process.Kill())
		_ = v.cmd.Wait() // it was killed
	}
	return err
}
