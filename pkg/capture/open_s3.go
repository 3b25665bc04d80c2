// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || s3

package capture

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/s3"
)

// openBucket opens a bucket of an object store.
func openBucket(ctx context.Context, r *run, s state) (target.Store, error) {
	o, err := s3.Parse(s.Address)
	if err != nil {
		return nil, err
	}
	if s.Credentials != "" {
		text, err := os.ReadFile(s.Credentials)
		if err != nil {
			return nil, err
		}
		if err := o.SetCredentials(text); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Credentials, err)
		}
	}
	o.Region = s.Region
	if o.TLS, err = clientTLS(s.Target, crashTime(s.core)); err != nil {
		return nil, err
	}
	o.SetClock = func(now time.Time) error {
		r.log.printf("connect: the clock is wrong; the server has %s", now.Format(time.RFC3339))
		if !r.machine.ours {
			return nil
		}
		return unix.Settimeofday(&unix.Timeval{Sec: now.Unix()})
	}
	return opened(s3.Open(ctx, o))
}
