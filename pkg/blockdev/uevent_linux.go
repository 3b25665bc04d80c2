// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package blockdev

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxUevent is larger than any message of the kernel (UEVENT_BUFFER_SIZE in
// include/linux/kobject.h is 2048, and the header comes on top), in bytes.
const maxUevent = 8 << 10

// event is what the kernel says about a block device.
type event struct {
	name string // of the device; empty if messages were lost
}

// listen opens the socket on which the kernel announces changes of devices and
// sends those of block devices to the channel, until stop is called. Whoever
// lists the devices after listen returned misses none.
//
// The messages are "ACTION@DEVPATH", then "KEY=VALUE" strings, all ended by a
// zero byte (lib/kobject_uevent.c).
func listen() (events <-chan event, stop func(), err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err != nil {
		return nil, nil, fmt.Errorf("socket for uevents: %w", err)
	}
	const fromKernel = 1 // multicast group
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: fromKernel}); err != nil {
		unix.Close(fd)
		return nil, nil, fmt.Errorf("socket for uevents: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "uevents") // non-blocking: Close ends a Read
	found := make(chan event, 16)
	go receive(socket, found)
	return found, func() { socket.Close() }, nil
}

// receive forwards events until the socket is closed, and then closes the
// channel. It never blocks on the channel: for a receiver that has a full
// channel to work off, one event more says nothing new, provided that it looks
// at all devices then.
func receive(socket *os.File, events chan<- event) {
	defer close(events)
	buf := make([]byte, maxUevent)
	for {
		n, err := socket.Read(buf)
		var e event
		switch {
		case errors.Is(err, unix.ENOBUFS): // the kernel dropped some
		case err != nil:
			return
		default:
			var ok bool
			if e, ok = parseUevent(buf[:n]); !ok {
				continue
			}
		}
		select {
		case events <- e:
		default:
		}
	}
}

// parseUevent reads a message; ok is false if it is not about a block device
// that is there.
func parseUevent(message []byte) (e event, ok bool) {
	isBlock := false
	for field := range bytes.SplitSeq(message, []byte{0}) {
		key, value, _ := bytes.Cut(field, []byte("="))
		switch string(key) {
		case "ACTION":
			if string(value) == "remove" {
				return event{}, false
			}
		case "SUBSYSTEM":
			isBlock = string(value) == "block"
		case "DEVPATH":
			e.name = string(value[bytes.LastIndexByte(value, '/')+1:])
		}
	}
	return e, isBlock && e.name != ""
}
