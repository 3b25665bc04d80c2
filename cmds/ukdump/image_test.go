// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// imageBudget bounds the size of the image build, in bytes. All of it is memory
// that the machine sets aside for good; raise it only for what is worth that.
const imageBudget = 3584 << 10

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

// TestImageDeps keeps out of the image build what is large, or slow to start,
// and has slipped in elsewhere by an innocent import.
func TestImageDeps(t *testing.T) {
	out := goCommand(t, "list", "-deps", "-tags", "image", ".")
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "github.com/ukdump/ukdump/pkg/collector") {
		t.Errorf("the image build does not depend on pkg/collector: this test looks at the wrong thing: %q", deps)
	}
	// encoding/json is not among them: klauspost/compress/s2 imports it for a
	// function that nobody calls. TestImageSize sees to it that it is not linked.
	for _, d := range deps {
		switch first, _, _ := strings.Cut(d, "/"); {
		case first == "net", first == "go", first == "testing", first == "plugin",
			d == "crypto/tls", d == "crypto/x509", d == "text/template", d == "regexp", d == "debug/elf",
			d == "encoding/gob", d == "encoding/xml", d == "os/exec",
			strings.HasPrefix(d, "github.com/u-root/u-root/pkg/cpio"),
			strings.HasPrefix(d, "github.com/ukdump/ukdump/pkg/image") && !strings.HasSuffix(d, "/manifest"),
			d == "github.com/ukdump/ukdump/cmds/kdumpctl", d == "github.com/ukdump/ukdump/pkg/kmod/unpack":
			t.Errorf("the image build depends on %s; go list -deps -tags image ./cmds/ukdump shows it", d)
		}
	}
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
