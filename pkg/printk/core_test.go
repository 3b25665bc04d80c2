// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/printk"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// logKeys are the lines of VMCOREINFO that the log is read with.
var logKeys = regexp.MustCompile(`(?m)^[A-Z]+\((printk_|prb|clear_seq|latched_seq|atomic_long_t).*\n`)

// TestRealCores reads the logs of real cores whose VMCOREINFO says nothing of
// them. They must be the same as with it.
func TestRealCores(t *testing.T) {
	dir := os.Getenv("UKDUMP_CORES")
	if dir == "" {
		dir = "../../build/cores"
	}
	cores, err := filepath.Glob(filepath.Join(dir, "*.elf"))
	if err != nil {
		t.Fatal(err)
	}
	if len(cores) == 0 {
		t.Skipf("no real cores in %s (set UKDUMP_CORES)", dir)
	}
	for _, path := range cores {
		t.Run(filepath.Base(path), func(t *testing.T) { testWithoutKeys(t, path) })
	}
}

func testWithoutKeys(t *testing.T, path string) {
	core, err := vmcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	if _, ok := core.Info.Symbol("kallsyms_names"); !ok {
		t.Skipf("%s does not say where its symbols are (6.0 and later do)", core.Info.OSRelease())
	}
	want := log(t, core)
	if n := strings.Count(want, "\n"); n < 100 {
		t.Fatalf("a log of %d lines: the test tests little", n)
	}
	text := logKeys.ReplaceAll(core.Info.Raw(), nil)
	if core.Info, err = vmcoreinfo.Parse(text); err != nil {
		t.Fatal(err)
	}
	if _, ok := core.Info.Symbol("prb"); ok {
		t.Fatal("VMCOREINFO still has SYMBOL(prb)")
	}
	if got := log(t, core); got != want {
		t.Errorf("%d bytes of log without the keys, %d with them", len(got), len(want))
	}
}

// log returns the log of a core since it was last cleared, with callers: what
// takes all keys to read.
func log(t *testing.T, core *vmcore.Core) string {
	t.Helper()
	space, err := addrxlat.New(core)
	if err != nil {
		t.Skip(err)
	}
	kernel := kstruct.New(core.Info, space, core.Order())
	var out bytes.Buffer
	opts := printk.Options{Caller: true, SinceClear: true}
	if _, err := printk.Write(&out, kernel, space, core.Order(), opts); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
