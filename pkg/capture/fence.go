// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || network

package capture

import (
	"context"
	"time"

	"github.com/ukdump/ukdump/pkg/fence"
)

// fencePhases returns what it takes until the other nodes of a cluster are told
// that this one is saving a dump.
func fencePhases() []phase {
	return []phase{
		{name: "network", once: true, limit: within(time.Minute), when: wantsFence, do: bringUpNetwork},
		{name: "fence", limit: within(10 * time.Second), needs: []string{"network"}, when: wantsFence, do: startFence},
	}
}

// startFence has messages sent from now on. They go on until the machine reboots.
func startFence(_ context.Context, r *run, s state) (state, error) {
	options, err := fence.ParseOptions(s.config.FenceArgs)
	if err != nil {
		return s, err
	}
	go func() {
		defer func() { _ = recover() }()
		fence.Send(context.Background(), s.config.FenceNodes, options, func(err error) { r.log.printf("fence: %v", err) })
	}()
	return s, nil
}
