// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"flag"
	"fmt"
	"io"

	"github.com/ukdump/ukdump/pkg/kexec"
)

const unloadHelp = `usage: kdumpctl unload

Disarms the machine: a panic no longer saves a dump. The memory stays reserved,
and the image stays where it is. Needs root.
`

func runUnload(args []string, stdout, _ io.Writer) error {
	if err := parse(flag.NewFlagSet("unload", flag.ContinueOnError), args); err != nil {
		return err
	}
	if err := kexec.Unload(); err != nil {
		return err
	}
	fmt.Fprintln(stdout, "not armed")
	return nil
}
