// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"os"
	"time"
)

// awaitBalloon asks the host to inflate the balloon, and waits until it has.
func awaitBalloon() error {
	before, err := memTotal()
	if err != nil {
		return err
	}
	say("inflate")
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		now, err := memTotal()
		if err != nil {
			return err
		}
		if now < before {
			say("the balloon has %d KiB and more", before-now)
			return nil
		}
	}
	return fmt.Errorf("memory is still %d KiB", before)
}

// memTotal returns how much memory there is, in KiB. The balloon's is not in it.
func memTotal() (int, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	var size int
	_, err = fmt.Sscanf(string(text), "MemTotal: %d kB", &size)
	return size, err
}
