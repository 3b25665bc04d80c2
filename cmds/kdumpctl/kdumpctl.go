// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package kdumpctl is the applet that administers the crash dump on the host:
// it builds the capture image, arms and disarms it, and says what is armed.
package kdumpctl

import (
	"fmt"
	"io"
)

// Run runs the applet and returns its exit status.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fmt.Fprintln(stderr, "kdumpctl: not written yet")
	return 1
}
