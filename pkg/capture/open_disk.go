// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build image && !network

package capture

import (
	"context"
	"errors"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target"
)

// errDisksOnly is for configurations that were changed after the image was built.
var errDisksOnly = errors.New("the program in this image knows only disks; build the image again")

func networkPhases(config.Target) []phase {
	return []phase{{name: "connect", limit: within(time.Minute), do: func(_ context.Context, _ *run, s state) (state, error) {
		return s, errDisksOnly
	}}}
}

func fencePhases() []phase {
	return []phase{{name: "fence", limit: within(time.Minute), when: wantsFence, do: func(_ context.Context, _ *run, s state) (state, error) {
		return s, errDisksOnly
	}}}
}

// encrypted must not return t: nothing is to be written that can be read.
func encrypted(target.Target, []string) (target.Target, error) { return nil, errDisksOnly }
