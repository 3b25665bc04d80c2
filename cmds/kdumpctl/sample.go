// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"flag"
	"io"

	"github.com/ukdump/ukdump/initramfs"
)

const sampleHelp = `usage: kdumpctl sample

Prints a commented configuration to start from:

  kdumpctl sample > /etc/kdump.conf
`

func runSample(args []string, stdout, _ io.Writer) error {
	if err := parse(flag.NewFlagSet("sample", flag.ContinueOnError), args); err != nil {
		return err
	}
	_, err := io.WriteString(stdout, initramfs.SampleConfig)
	return err
}
