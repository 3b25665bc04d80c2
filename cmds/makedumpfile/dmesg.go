// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package makedumpfile

import (
	"errors"

	"github.com/ukdump/ukdump/pkg/vmcore"
)

func (a *applet) dumpDmesg(core *vmcore.Core) error { return errors.New("not written yet") }
