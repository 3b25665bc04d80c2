// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

// Package fence tells the other nodes of a cluster that this one is saving a dump.
// A node that has crashed does not answer any more, and the cluster would switch it
// off to be sure that it is dead; a node on which fence_kdump of the fence-agents
// runs waits for these messages, and takes them for a proof of that instead.
package fence

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Options are those of fence_kdump_send(8).
type Options struct {
	Port     int
	Network  string // "udp", "udp4" or "udp6"
	Count    int    // messages for each node; 0: for as long as it takes
	Interval time.Duration
}

// ParseOptions reads the options of fence_kdump_send, without nodes. What it does
// not mention has fence_kdump_send's default.
func ParseOptions(args []string) (Options, error) {
	o := Options{Network: "udp"}
	var seconds int
	var ignored bool
	flags := flag.NewFlagSet("fence_kdump_send", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	for _, name := range []string{"p", "ipport"} {
		flags.IntVar(&o.Port, name, 7410, "")
	}
	for _, name := range []string{"f", "family"} {
		flags.Func(name, "", func(s string) (err error) { o.Network, err = network(s); return err })
	}
	for _, name := range []string{"c", "count"} {
		flags.IntVar(&o.Count, name, 0, "")
	}
	for _, name := range []string{"i", "interval"} {
		flags.IntVar(&seconds, name, 10, "")
	}
	for _, name := range []string{"v", "verbose"} {
		flags.BoolVar(&ignored, name, false, "")
	}
	if err := flags.Parse(separate(args)); err != nil {
		return Options{}, err
	}
	o.Interval = time.Duration(seconds) * time.Second
	switch {
	case flags.NArg() > 0:
		return Options{}, fmt.Errorf("%.60q is no option; hosts are named by fence_kdump_nodes", flags.Arg(0))
	case o.Port < 1 || o.Port > 65535:
		return Options{}, fmt.Errorf("-p %d: ports are from 1 to 65535", o.Port)
	case o.Count < 0:
		return Options{}, fmt.Errorf("-c %d: a count is not below 0", o.Count)
	case seconds < 1 || seconds > 3600:
		return Options{}, fmt.Errorf("-i %d: an interval is from 1 to 3600 seconds", seconds)
	}
	return o, nil
}

// separate makes two words of a short option that its value follows at once.
func separate(args []string) []string {
	var words []string
	for _, arg := range args {
		if len(arg) > 2 && arg[0] == '-' && strings.IndexByte("pfci", arg[1]) >= 0 && strings.IndexByte("0123456789", arg[2]) >= 0 {
			words = append(words, arg[:2], arg[2:])
			continue
		}
		words = append(words, arg)
	}
	return words
}

// network returns what package net calls a family of addresses.
func network(family string) (string, error) {
	switch strings.ToLower(family) {
	case "auto":
		return "udp", nil
	case "ipv4":
		return "udp4", nil
	case "ipv6":
		return "udp6", nil
	}
	return "", errors.New("it is auto, ipv4 or ipv6")
}

// message is what is sent: a magic number and a version, in the byte order of the
// machine (message.h of fence-agents).
func message() []byte {
	const magic, version = 0x1b302a40, 1
	m := binary.NativeEndian.AppendUint32(nil, magic)
	return binary.NativeEndian.AppendUint32(m, version)
}

// resolveTime bounds looking up the name of a node, and sendTime sending a message
// to it.
const (
	resolveTime = 5 * time.Second
	sendTime    = time.Second
)

// Send sends messages to the nodes until ctx ends, or as many as the options say.
// The first thing that goes wrong with a node is handed to warn, which may be called
// from several goroutines; a node is tried again with each message, as it may just
// be booting.
func Send(ctx context.Context, nodes []string, o Options, warn func(error)) {
	var all sync.WaitGroup
	for _, node := range nodes {
		all.Go(func() {
			defer func() { _ = recover() }()
			tell(ctx, node, o, warn)
		})
	}
	all.Wait()
}

// tell sends messages to one node.
func tell(ctx context.Context, node string, o Options, warn func(error)) {
	var c net.Conn
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	warned := false
	ticker := time.NewTicker(o.Interval)
	defer ticker.Stop()
	for sent := 1; ; sent++ {
		if err := send(ctx, &c, node, o); err != nil && !warned && ctx.Err() == nil {
			warned = true
			warn(fmt.Errorf("%s: %w", node, err))
		}
		if sent == o.Count {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// send sends a message to the node, by a connection that is made if there is none.
func send(ctx context.Context, c *net.Conn, node string, o Options) error {
	if *c == nil {
		dialer := net.Dialer{Timeout: resolveTime}
		made, err := dialer.DialContext(ctx, o.Network, net.JoinHostPort(strings.Trim(node, "[]"), strconv.Itoa(o.Port)))
		if err != nil {
			return err
		}
		*c = made
	}
	if err := (*c).SetWriteDeadline(time.Now().Add(sendTime)); err != nil {
		return err
	}
	_, err := (*c).Write(message())
	return err
}
