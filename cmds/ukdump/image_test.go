// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// imageBudget bounds the size of the image build, in bytes. All of it is memory
// that the machine sets aside for good; raise it only for what is worth that.
const imageBudget = 3680 << 10

// goCommand runs the go command and returns its output.
func goCommand(t *testing.T, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command here")
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, &stderr)
	}
	return out
}

// TestImageSize builds the image build as make does and looks at the result.
func TestImageSize(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	file := filepath.Join(t.TempDir(), "ukdump-image")
	goCommand(t, "build", "-tags", "image", "-trimpath", "-ldflags", "-s -w", "-o", file, ".")
	program, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(program))
	if len(program) > imageBudget {
		t.Errorf("the image build has %d bytes, want at most %d", len(program), imageBudget)
	}
	// A stripped program still has the names of its functions.
	for function, want := range map[string]bool{
		"pkg/collector.Save":              true,
		"encoding/json.(*decodeState)":    false,
		"reflect.Value.MethodByName":      false, // would keep every exported method
		"github.com/ukdump/ukdump/initra": false,
	} {
		if got := bytes.Contains(program, []byte(function)); got != want {
			t.Errorf("the image build contains %s = %v, want %v", function, got, want)
		}
	}
}
