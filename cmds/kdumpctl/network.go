// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image"
	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/netconf"
	"github.com/ukdump/ukdump/pkg/target/nfs"
	"github.com/ukdump/ukdump/pkg/target/s3"
	"github.com/ukdump/ukdump/pkg/target/ssh"
)

// lookupTime bounds the search for how the targets are reached.
const lookupTime = 30 * time.Second

// planNetwork returns how the capture kernel is to bring up the network; nil if
// nothing in the configuration needs it to.
func (o *buildOptions) planNetwork(cfg *config.Config, stderr io.Writer) (*netconf.Plan, error) {
	peers, err := peersOf(cfg)
	if err != nil || len(peers) == 0 {
		return nil, err
	}
	if !o.thisMachine() {
		return netconf.ForAny(cfg.Network)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	plan, err := netconf.ForHost(ctx, cfg.Network, peers, func(line string) {
		fmt.Fprintf(stderr, "kdumpctl build: network: %s\n", line)
	})
	if err != nil {
		return nil, fmt.Errorf("finding out how the targets are reached: %w (network in %s can say it)", err, config.Path)
	}
	return plan, nil
}

// peersOf returns the names and addresses of those that the capture kernel talks to.
func peersOf(cfg *config.Config) ([]string, error) {
	peers := slices.Clone(cfg.FenceNodes)
	for _, t := range cfg.Targets {
		if !t.OverNetwork() {
			continue
		}
		host, err := hostOf(t)
		if err != nil {
			return nil, err
		}
		peers = append(peers, host)
	}
	return peers, nil
}

// networkChange returns what is not as in the plan of the network that an image with
// the configuration has; "" if it has none, or if that is still true of this machine.
func networkChange(cfg *config.Config, plan []byte) string {
	p, err := netconf.Parse(netconf.Path, string(plan))
	if err != nil {
		return err.Error()
	}
	peers, err := peersOf(cfg)
	if err != nil || len(peers) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	change, err := p.Stale(ctx, cfg.Network, peers)
	if err != nil {
		return err.Error()
	}
	return change
}

// hostOf returns the name or address of a target's server.
func hostOf(t config.Target) (string, error) {
	switch t.Kind {
	case "nfs":
		server, _, err := nfs.Parse(t.Address)
		return server, err
	case "ssh":
		o, err := ssh.Parse(t.Address)
		return o.Host, err
	case "s3":
		o, err := s3.Parse(t.Address)
		if err != nil {
			return "", err
		}
		return hostOfURL(o.Endpoint)
	}
	return hostOfURL(t.Address)
}

func hostOfURL(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	return u.Hostname(), nil
}

// networkModules returns the names of the modules that the plan takes.
func (o *buildOptions) networkModules(tree *kmod.Tree, plan *netconf.Plan) ([]string, error) {
	switch {
	case plan == nil:
		return nil, nil
	case o.thisMachine():
		return image.NetworkModules(tree, plan)
	case o.generic:
		return image.GenericNetworkModules(tree, plan), nil
	}
	return nil, nil // --modules names them
}
