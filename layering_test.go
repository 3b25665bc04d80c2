// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package ukdump has no code: its test keeps imports in the direction that
// docs/architecture.md describes.
package ukdump

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ukdump/ukdump/"

// layers are the folders of pkg, from the bottom up, and the layers that each
// may import besides itself.
var layers = []struct {
	name, packages, imports string
}{
	{"words", "mem", ""},
	{"core", "vmcore elfcore diskdump vmcoreinfo compress", "words"},
	{"meaning", "addrxlat kstruct kallsyms btf vmlinux printk memmap pagefilter", "words core"},
	{"output", "dump lastlog", "words core meaning"},
	{"target", "target", ""}, // moves bytes and knows no dump
	{"machine", "config kmod blockdev netconf watchdog kexec efivar hook fence", "words"},
	{"wholes", "collector capture image receiver", "words core meaning output target machine"},
}

// testSupport is imported by tests, and by vmtest, alone.
var testSupport = []string{"pkg/coretest", "pkg/target/targettest", "pkg/target/servertest", "pkg/target/ssh/sshdtest", "pkg/target/s3/s3test"}

// pkg is what go list says of a package.
type pkg struct {
	ImportPath string
	Name       string
	Imports    []string
}

// list returns the packages of the module.
func list(t *testing.T, tags string) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Name,Imports", "-tags", tags, "./...").Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Skipf("no go command to ask: %v", err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// layerOf returns the name of the layer of a package below pkg/, and the layers
// that it may import.
func layerOf(path string) (name string, imports []string) {
	folder, _, _ := strings.Cut(strings.TrimPrefix(path, "pkg/"), "/")
	for _, l := range layers {
		if slices.Contains(strings.Fields(l.packages), folder) {
			return l.name, append(strings.Fields(l.imports), l.name)
		}
	}
	return "", nil
}

func TestLayers(t *testing.T) {
	for _, tags := range []string{"", "image"} {
		for _, p := range list(t, tags) {
			from := strings.TrimPrefix(p.ImportPath, module)
			for _, imported := range p.Imports {
				if to, ours := strings.CutPrefix(imported, module); ours {
					checkImport(t, from, to)
				}
			}
			if p.Name == "main" && from != "cmds/ukdump" && !strings.HasPrefix(from, "vmtest/") {
				t.Errorf("%s is a main, cmds/ukdump is to be the only one", from)
			}
		}
	}
}

func checkImport(t *testing.T, from, to string) {
	t.Helper()
	top := func(path string) string { folder, _, _ := strings.Cut(path, "/"); return folder }
	switch {
	case slices.Contains(testSupport, to):
		if top(from) != "vmtest" && !slices.Contains(testSupport, from) {
			t.Errorf("%s imports %s, which is for tests", from, to)
		}
	case slices.Contains(testSupport, from):
		if layer, _ := layerOf(to); layer != "words" && top(to) == "pkg" && !strings.HasPrefix(from, to+"/") {
			t.Errorf("%s imports %s: then tests of %s could not import it", from, to, to)
		}
	case top(to) == "cmds" && top(from) != "cmds", top(to) == "vmtest" && top(from) != "vmtest":
		t.Errorf("%s imports %s, which nobody may", from, to)
	case top(from) == "pkg" && top(to) == "pkg":
		layer, allowed := layerOf(from)
		if below, _ := layerOf(to); layer == "" || !slices.Contains(allowed, below) {
			t.Errorf("%s (%s) imports %s (%s), which is not below it", from, layer, to, below)
		}
	}
}

// TestLayersKnown finds folders that have no layer, or more than one.
func TestLayersKnown(t *testing.T) {
	seen := map[string]string{}
	for _, l := range layers {
		for folder := range strings.FieldsSeq(l.packages) {
			if seen[folder] != "" {
				t.Errorf("%s is in layers %s and %s", folder, seen[folder], l.name)
			}
			seen[folder] = l.name
		}
	}
	for _, p := range list(t, "") {
		path := strings.TrimPrefix(p.ImportPath, module)
		if layer, _ := layerOf(path); strings.HasPrefix(path, "pkg/") && layer == "" && !slices.Contains(testSupport, path) {
			t.Errorf("%s is in no layer", path)
		}
	}
}
