// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package netconf

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"
)

// The files that Go's resolver reads.
const (
	resolvPath = "/etc/resolv.conf"
	hostsPath  = "/etc/hosts"
)

// lookupWait is how long names that are remembered are looked up before what is
// remembered is used.
const lookupWait = 10 * time.Second

// names makes the names known. Those that the plan remembers are looked up, as
// they may have other addresses by now; where nobody answers, they get the old ones.
//
// The order matters: Go's resolver keeps what it has read of hostsPath for some
// seconds, but not that there was no such file.
func (u *bringUp) names(ctx context.Context, plan *Plan) error {
	servers := slices.Concat(plan.Servers, u.servers)
	search := slices.Concat(plan.Search, u.search)
	if err := os.MkdirAll("/etc", 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(resolvPath, []byte(resolvText(servers, search)), 0o644); err != nil {
		return err
	}
	unknown := map[string]bool{}
	if len(servers) > 0 {
		unknown = u.lookUp(ctx, plan.Hosts)
	}
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	for _, h := range plan.Hosts {
		if !h.Remembered || len(servers) == 0 || unknown[h.Name] {
			hosts += fmt.Sprintf("%v %s\n", h.Addr, h.Name)
		}
	}
	return os.WriteFile(hostsPath, []byte(hosts), 0o644)
}

// resolvText returns the contents of resolvPath. A server gets two seconds, twice.
func resolvText(servers []netip.Addr, search []string) string {
	text := "options timeout:2 attempts:2\n"
	for _, server := range servers {
		text += fmt.Sprintf("nameserver %v\n", server)
	}
	if len(search) > 0 {
		text += "search " + strings.Join(search, " ") + "\n"
	}
	return text
}

// lookUp looks up the names that are remembered, side by side, and returns those
// that could not be.
func (u *bringUp) lookUp(ctx context.Context, hosts []Host) map[string]bool {
	ctx, cancel := context.WithTimeout(ctx, lookupWait)
	defer cancel()
	errs := map[string]chan error{}
	for _, h := range hosts {
		if h.Remembered && errs[h.Name] == nil {
			found := make(chan error, 1)
			errs[h.Name] = found
			go func() {
				found <- guarded(func() error {
					_, err := net.DefaultResolver.LookupNetIP(ctx, "ip", h.Name)
					return err
				})
			}()
		}
	}
	unknown := map[string]bool{}
	for name, found := range errs {
		if err := <-found; err != nil {
			u.say("%v: taking the address that it had when the image was built", err)
			unknown[name] = true
		}
	}
	return unknown
}
