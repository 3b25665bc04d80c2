// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package ssh

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Parse splits an address as kdump.conf has it: "user@host", "user@host:port" or
// "user@[fe80::1]:port". An IPv6 address alone needs no brackets.
func Parse(address string) (Options, error) {
	wrong := fmt.Errorf("%.80q is not USER@HOST or USER@HOST:PORT, such as kdump@dumps.example.org", address)
	user, host, ok := strings.Cut(address, "@")
	if !ok || user == "" || strings.ContainsAny(address, " \t/\\") {
		return Options{}, wrong
	}
	o := Options{User: user, Host: host}
	inside, bracketed := strings.CutPrefix(host, "[")
	if _, err := netip.ParseAddr(host); err == nil {
		return o, nil
	}
	switch {
	case bracketed && strings.HasSuffix(inside, "]"):
		o.Host = strings.TrimSuffix(inside, "]")
	case strings.Contains(host, ":"):
		name, port, err := net.SplitHostPort(host)
		n, portErr := strconv.ParseUint(port, 10, 16)
		if err != nil || portErr != nil || n == 0 {
			return Options{}, wrong
		}
		o.Host, o.Port = name, int(n)
	}
	if ip, err := netip.ParseAddr(o.Host); bracketed && (err != nil || !ip.Is6()) || o.Host == "" || strings.ContainsAny(o.Host, "[]@") {
		return Options{}, wrong
	}
	return o, nil
}

// address returns where the server listens.
func (o Options) address() string { return net.JoinHostPort(o.Host, strconv.Itoa(cmp.Or(o.Port, 22))) }

// at names a path on the server, as scp does.
func (o Options) at(path string) string {
	host := o.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return o.User + "@" + host + ":" + path
}
