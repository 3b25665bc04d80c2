// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || s3

package capture

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/s3"
)

// openBucket opens a bucket of an object store.
func openBucket(ctx context.Context, r *run, s state) (target.Store, error) {
	o, err := bucketOptions(s.Target, crashTime(s.core))
	if err != nil {
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

func bucketOptions(t config.Target, crashed time.Time) (s3.Options, error) {
	o, err := s3.Parse(t.Address)
	if err != nil {
		return o, err
	}
	if t.Credentials != "" {
		text, err := os.ReadFile(t.Credentials)
		if err != nil {
			return o, err
		}
		if err := o.SetCredentials(text); err != nil {
			return o, fmt.Errorf("%s: %w", t.Credentials, err)
		}
	}
	o.Region = t.Region
	o.TLS, err = clientTLS(t, crashed)
	return o, err
}
