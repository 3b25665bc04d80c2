// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build image && network && !s3

package capture

import (
	"context"
	"errors"

	"github.com/ukdump/ukdump/pkg/target"
)

func openBucket(context.Context, *run, state) (target.Store, error) {
	return nil, errors.New("the program in this image knows no object stores; build the image again")
}
