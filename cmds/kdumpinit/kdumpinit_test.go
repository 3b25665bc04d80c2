// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpinit

import (
	"os"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/config"
)

func TestHelp(t *testing.T) {
	var stdout, stderr strings.Builder
	if status := Run([]string{"-h"}, nil, &stdout, &stderr); status != 0 || stderr.Len() > 0 {
		t.Errorf("Run(-h) = %d, stderr %q", status, &stderr)
	}
	for _, want := range []string{config.Path, "vmcore-dmesg.txt", "kdump.log", "ukdump: result=ok"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the help does not speak of %s", want)
		}
	}
}

// TestRefuses runs it where it would do harm: here.
func TestRefuses(t *testing.T) {
	if os.Getpid() == 1 {
		t.Skip("the test is PID 1")
	}
	var stdout, stderr strings.Builder
	status := Run(nil, nil, &stdout, &stderr)
	if status != 1 || stdout.Len() > 0 || !strings.HasPrefix(stderr.String(), "kdumpinit: this is process ") ||
		strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("Run = %d, %q, %q, want 1 and one line that says why", status, &stdout, &stderr)
	}
}
