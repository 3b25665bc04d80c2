// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmcore

import "errors"

// Open opens the core at path and recognises its format.
func Open(path string) (*Core, error) { return nil, errors.New("not written yet") }
