// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package netconf

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// Whoever has an address answers to this many questions, each of which is given
// that time. RFC 5227 has three in seven seconds, for who cannot know.
const (
	arpProbes = 2
	arpWait   = 300 * time.Millisecond
)

// ownerOf asks the neighbours by ARP whether one of them has the address, and
// returns its hardware address, or nil.
func ownerOf(ctx context.Context, name string, addr netip.Addr) (net.HardwareAddr, error) {
	card, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	if len(card.HardwareAddr) != 6 {
		return nil, nil // no Ethernet, nobody to ask
	}
	conn, err := packet.Listen(card, packet.Datagram, unix.ETH_P_ARP, nil)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	everybody := &packet.Addr{HardwareAddr: bytes.Repeat([]byte{0xff}, 6)}
	for range arpProbes {
		if err := conn.SetReadDeadline(time.Now().Add(arpWait)); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if _, err := conn.WriteTo(arpProbe(card.HardwareAddr, addr), everybody); err != nil {
			return nil, err
		}
		owner, err := listenFor(conn, card.HardwareAddr, addr)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return owner, err
		}
	}
	return nil, nil
}

// listenFor waits for a packet from somebody else who has the address.
func listenFor(conn net.PacketConn, own net.HardwareAddr, addr netip.Addr) (net.HardwareAddr, error) {
	buf := make([]byte, 256)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return nil, err
		}
		if sender, has := arpSender(buf[:n]); has == addr && !bytes.Equal(sender, own) {
			return sender, nil
		}
	}
}

// An ARP packet of Ethernet and IPv4 (RFC 826), big-endian: what the addresses are
// and how long (6 bytes), 1 in a question and 2 in an answer (2), and the hardware
// (6) and IPv4 addresses (4) of who sends it and of who it is about.
const (
	arpHeader = "\x00\x01\x08\x00\x06\x04"
	arpSize   = 28
)

// arpProbe returns the question who has the address. It names no address of the
// one who asks, so that nobody learns a wrong one (RFC 5227).
func arpProbe(own net.HardwareAddr, addr netip.Addr) []byte {
	p := binary.BigEndian.AppendUint16([]byte(arpHeader), 1)
	p = append(p, own...)
	p = append(p, make([]byte, 4+6)...)
	return append(p, addr.AsSlice()...)
}

// arpSender returns the addresses of who has sent a packet; not valid ones if it
// is not understood.
func arpSender(p []byte) (net.HardwareAddr, netip.Addr) {
	if len(p) < arpSize || string(p[:len(arpHeader)]) != arpHeader {
		return nil, netip.Addr{}
	}
	return bytes.Clone(p[8:14]), netip.AddrFrom4([4]byte(p[14:18]))
}
