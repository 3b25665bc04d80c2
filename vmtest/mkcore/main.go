// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Mkcore crashes a machine with the kernel of each Debian suite named and
// leaves the untouched core at build/cores/<release>.elf.
package main

import (
	"fmt"
	"os"

	"github.com/ukdump/ukdump/vmtest"
)

func main() {
	for _, suite := range os.Args[1:] {
		if err := makeCore(suite); err != nil {
			fmt.Fprintf(os.Stderr, "mkcore: %v\n", err)
			os.Exit(1)
		}
	}
}

func makeCore(suite string) error {
	kernel, err := vmtest.FindKernel(suite)
	if err != nil {
		return err
	}
	return vmtest.MakeCore(kernel, func(line string) { fmt.Println(line) })
}
