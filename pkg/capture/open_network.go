// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package capture

import (
	"context"
	"fmt"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/encrypt"
	"github.com/ukdump/ukdump/pkg/target/nfs"
)

// networkPhases returns what it takes until a target across the network is open.
// The network is brought up once.
func networkPhases(config.Target) []phase {
	return []phase{
		{name: "connect", limit: within(2 * time.Minute), do: connect},
	}
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
	}
	return nil, fmt.Errorf("nobody knows how to reach %s", s.Kind)
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
