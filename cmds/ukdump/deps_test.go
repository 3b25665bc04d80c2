// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"slices"
	"strings"
	"testing"
)

const (
	ownModule = "github.com/ukdump/ukdump/"
	compressM = "github.com/klauspost/compress/"
)

// imageLibraries are the packages of others that the smallest image build is
// made of.
var imageLibraries = []string{
	"github.com/cespare/xxhash/v2",
	"github.com/klauspost/compress",
	compressM + "flate", compressM + "fse", compressM + "huff0", compressM + "s2", compressM + "snappy",
	compressM + "zstd", compressM + "zstd/internal/xxhash",
	compressM + "internal/cpuinfo", compressM + "internal/le", compressM + "internal/race",
	compressM + "internal/regmask", compressM + "internal/snapref",
	"golang.org/x/sys/unix",
}

// imageUnwanted are packages of the standard library that make a program large
// or slow to start, with all below them, and those of ours that a host alone needs.
//
// encoding/json is not among them: klauspost/compress/s2 imports it for a
// function that nobody calls. TestImageSize sees to it that it is not linked.
var imageUnwanted = []string{
	"archive", "crypto/tls", "crypto/x509", "database", "debug", "embed", "encoding/asn1", "encoding/gob",
	"encoding/pem", "encoding/xml", "expvar", "go", "html", "image", "index", "internal/trace/traceviewer",
	"log/slog", "log/syslog", "mime", "net", "os/exec", "os/user", "plugin", "regexp", "testing", "text",
	ownModule + "cmds/kdumpctl", ownModule + "pkg/kmod/unpack", ownModule + "pkg/vmlinux", ownModule + "vmtest",
}

// TestImageDeps keeps out of the image build what has slipped in elsewhere by an
// innocent import.
func TestImageDeps(t *testing.T) {
	out := goCommand(t, "list", "-deps", "-f", "{{.ImportPath}} {{.Standard}}", "-tags", "image", ".")
	found := false
	for line := range strings.Lines(string(out)) {
		path, standard, _ := strings.Cut(strings.TrimSpace(line), " ")
		found = found || path == ownModule+"pkg/collector"
		foreign := standard == "false" && !strings.HasPrefix(path, ownModule)
		unwanted := path == ownModule+"pkg/image" || slices.ContainsFunc(imageUnwanted, func(u string) bool {
			return path == u || strings.HasPrefix(path, u+"/")
		})
		if unwanted || foreign && !slices.Contains(imageLibraries, path) {
			t.Errorf("the image build depends on %s; go list -deps -tags image ./cmds/ukdump shows it", path)
		}
	}
	if !found {
		t.Errorf("the image build does not depend on pkg/collector: this test looks at the wrong thing: %q", out)
	}
}
