// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build image

package makedumpfile

import (
	"errors"

	"github.com/ukdump/ukdump/pkg/vmcore"
)

// What is for the host alone is not built into the capture image.

func (a *applet) memUsage(*vmcore.Core) error {
	return errors.New("option --mem-usage: not in the capture image")
}

func (a *applet) readInfo(*vmcore.Core) error {
	return errors.New("options -x and -i: not in the capture image, whose /proc/vmcore has VMCOREINFO")
}

func (a *applet) writeInfo() error {
	return errors.New("option -g: not in the capture image")
}

func (a *applet) reassemble() error {
	return errors.New("option --reassemble: not in the capture image")
}
