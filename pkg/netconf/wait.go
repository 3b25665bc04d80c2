// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package netconf

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// lookAgain is how long await waits for the kernel to say something before it
// looks again. The kernel says it all; this is for messages that were lost.
const lookAgain = 2 * time.Second

// await calls done when it begins and whenever links, addresses or routes change,
// until it returns true or an error, or ctx ends, which is returned as its cause.
func await(ctx context.Context, done func() (bool, error)) error {
	changes, err := listen()
	if err != nil {
		return err
	}
	defer changes.Close()
	// The past ends a Read.
	defer context.AfterFunc(ctx, func() { changes.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, 64<<10)
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := changes.SetReadDeadline(time.Now().Add(lookAgain)); err != nil {
			return err
		}
		if ctx.Err() != nil { // before the deadline was put off, or since
			return context.Cause(ctx)
		}
		// What it says does not matter, and ENOBUFS says that there was too much.
		_, err := changes.Read(buf)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
	}
}

// listen opens a socket on which the kernel announces changes of links,
// addresses and routes.
func listen() (*os.File, error) {
	const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
		unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("socket for changes of the network: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("socket for changes of the network: %w", err)
	}
	return os.NewFile(uintptr(fd), "rtnetlink"), nil // non-blocking: deadlines work
}
