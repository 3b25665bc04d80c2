// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"os"
	"time"

	"github.com/ukdump/ukdump/vmtest"
)

// contest is the machine that all rivals crash.
type contest struct {
	kernel vmtest.Kernel
	root   string
	hook   time.Duration // how long kdump-tools took to make its initramfs
}

// newContest makes the machine for all parts that need it, once.
func (b *bench) newContest() (*contest, error) {
	if b.contest != nil {
		return b.contest, nil
	}
	k, err := vmtest.FindKernel("bookworm")
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, "making the machine's root file system")
	root, hook, err := vmtest.MakeVersusRoot(k)
	if err != nil {
		return nil, err
	}
	b.contest = &contest{k, root, hook}
	return b.contest, nil
}

// race crashes a machine with the rival armed, and says how it went.
func (c *contest) race(label string, r vmtest.Rival, crashkernel string) (*vmtest.Capture, error) {
	began := time.Now()
	capture, err := r.Race(c.kernel, c.root, crashkernel)
	took := fmt.Sprintf("%v", err)
	if err == nil {
		took = fmt.Sprintf("%.2f s, %.2f s of CPU, dump of %.1f MB",
			capture.User.Seconds(), capture.CPU.Seconds(), float64(capture.Bytes)/1e6)
	}
	fmt.Fprintf(os.Stderr, "%s, %s: %s (%.0f s in all)\n", label, crashkernel, took, time.Since(began).Seconds())
	return capture, err
}
