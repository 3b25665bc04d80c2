// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ukdump/ukdump/pkg/image/manifest"
)

// checkImage compares the files of the image with its manifest. The kernel goes
// on with what it could unpack where memory does not suffice for all of it, and
// a panic may come from memory that does not keep what is written to it. The run
// does its best with a damaged image, too, but its log names the cause.
func checkImage(ctx context.Context, r *run, s state) (state, error) {
	f, err := os.Open(r.machine.manifest)
	if err != nil {
		return s, err
	}
	defer f.Close()
	entries, err := manifest.Parse(f)
	if err != nil {
		return s, fmt.Errorf("%s: %w", r.machine.manifest, err)
	}
	damaged := 0
	for _, e := range entries {
		if ctx.Err() != nil {
			return s, context.Cause(ctx)
		}
		if err := checkFile(r.machine.root, e); err != nil {
			r.log.printf("image: %v", err)
			damaged++
		}
	}
	if damaged > 0 {
		return s, fmt.Errorf("%d of %d files are damaged; is crashkernel= too small?", damaged, len(entries))
	}
	return s, nil
}

func checkFile(root string, e manifest.Entry) error {
	f, err := os.Open(root + e.Path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is missing", e.Path)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return e.Check(f)
}
