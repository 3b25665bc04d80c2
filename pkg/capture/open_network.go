// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/netconf"
	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/encrypt"
	"github.com/ukdump/ukdump/pkg/target/http"
	"github.com/ukdump/ukdump/pkg/target/nfs"
	"github.com/ukdump/ukdump/pkg/target/ssh"
)

// networkPhases returns what it takes until a target across the network is open.
// The network is brought up once.
func networkPhases(config.Target) []phase {
	return []phase{
		{name: "network", once: true, limit: within(2 * time.Minute), when: lacksNetwork, do: bringUpNetwork},
		{name: "connect", limit: within(2 * time.Minute), needs: []string{"network"}, do: connect},
	}
}

func lacksNetwork(s state) bool { return !s.networkUp }

// bringUpNetwork does what the plan in the image says. An image without one needs
// nothing: its kernel has brought up the network.
func bringUpNetwork(ctx context.Context, r *run, s state) (state, error) {
	text, err := os.ReadFile(r.machine.network)
	if errors.Is(err, os.ErrNotExist) {
		r.log.printf("network: left as it is")
		s.networkUp = true
		return s, nil
	}
	if err != nil {
		return s, err
	}
	if s.damaged[r.machine.network] {
		return s, fmt.Errorf("%s is damaged", r.machine.network)
	}
	plan, err := netconf.Parse(r.machine.network, string(text))
	if err != nil {
		return s, err
	}
	err = netconf.Up(ctx, plan, func(line string) { r.log.printf("network: %s", line) })
	s.networkUp = err == nil
	return s, err
}

// connect opens the target's store.
func connect(ctx context.Context, r *run, s state) (state, error) {
	store, err := openRemote(ctx, r, s)
	if err != nil {
		return s, err
	}
	r.log.printf("connect: %v", store)
	s.store = store
	return s, nil
}

func openRemote(ctx context.Context, r *run, s state) (target.Store, error) {
	switch s.Kind {
	case "nfs":
		server, export, err := nfs.Parse(s.Address)
		if err != nil {
			return nil, err
		}
		return opened(nfs.Open(ctx, nfs.Options{Server: server, Export: export, Dir: s.Dir, Mount: r.mountPoint(s)}))
	case "ssh":
		o, err := sshOptions(s.Target)
		if err != nil {
			return nil, err
		}
		return opened(ssh.Open(ctx, o))
	case "http":
		o, err := webOptions(s.Target, crashTime(s.core))
		if err != nil {
			return nil, err
		}
		return opened(http.Open(ctx, o))
	case "s3":
		return openBucket(ctx, r, s)
	}
	return nil, fmt.Errorf("nobody knows how to reach %s", s.Kind)
}

func sshOptions(t config.Target) (ssh.Options, error) {
	o, err := ssh.Parse(t.Address)
	if err != nil {
		return o, err
	}
	o.Dir, o.KnownHosts = t.Dir, t.KnownHosts
	o.Key, err = os.ReadFile(t.SSHKey)
	return o, err
}

func webOptions(t config.Target, crashed time.Time) (http.Options, error) {
	o := http.Options{URL: t.Address}
	if t.Token != "" {
		token, err := os.ReadFile(t.Token)
		if err != nil {
			return o, err
		}
		if o.Token = strings.TrimSpace(string(token)); o.Token == "" {
			return o, fmt.Errorf("%s: there is no token in it", t.Token)
		}
	}
	var err error
	o.TLS, err = clientTLS(t, crashed)
	return o, err
}

// opened makes an interface of what a kind's Open returns, and of nothing nothing.
func opened[S target.Store](store S, err error) (target.Store, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}

// encrypted returns a target that encrypts what it writes to t.
func encrypted(t target.Target, keys []string) (target.Target, error) {
	recipients, err := encrypt.ParseRecipients(keys)
	if err != nil {
		return nil, err
	}
	return encrypt.New(t, recipients)
}
