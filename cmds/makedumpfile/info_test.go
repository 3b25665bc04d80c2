// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package makedumpfile

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// bareKernel is a machine whose core the real makedumpfile understands without
// VMCOREINFO: for one with KASLR it needs KERNELOFFSET=.
func bareKernel() coretest.Kernel {
	return coretest.Kernel{Era: coretest.Linux6_1(), Model: coretest.Pointer, Blocks: []coretest.Block{
		{PFN: 0x101, Is: coretest.LRU | coretest.Mapping, Times: 3},
		{PFN: 0x121, Is: coretest.LRU | coretest.SwapBacked | coretest.Anon, Times: 7},
		{PFN: 0x140, Order: 4, Is: coretest.Buddy},
	}}
}

// withoutInfo writes a core whose VMCOREINFO note is called otherwise.
func withoutInfo(t *testing.T, core *coretest.Core) string {
	t.Helper()
	core.File = bytes.Replace(core.File, []byte("VMCOREINFO"), []byte("OTHER-INFO"), 1)
	return core.Write(t)
}

func writeFile(t *testing.T, contents string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(contents), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// keptPages returns what a dump describes.
func keptPages(t *testing.T, path string) *mem.Bitmap {
	t.Helper()
	dump, err := vmcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	kept := mem.NewBitmap(dump.End().PFN(12))
	dump.FillPresent(kept, 12)
	return kept
}

func sameKept(t *testing.T, name string, got, want *mem.Bitmap) {
	t.Helper()
	if want.Count() == 0 || got.Len() != want.Len() {
		t.Errorf("%s: %d of %d pages, want %d of %d", name, got.Count(), got.Len(), want.Count(), want.Len())
	}
	for p := mem.PFN(0); p < want.Len(); p++ {
		if got.Test(p) != want.Test(p) {
			t.Fatalf("%s: page %#x is kept: %v, want %v", name, p, got.Test(p), want.Test(p))
		}
	}
}

// TestInfoFile takes what a core lacks from a file, as makedumpfile does, and
// sees that the dump has VMCOREINFO then.
func TestInfoFile(t *testing.T) {
	core := bareKernel().Build()
	info := writeFile(t, core.Info)
	bare, dir := withoutInfo(t, core), t.TempDir()
	ours, theirs := filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
	if status, _, stderr := run("-d31", bare, ours); status != 1 || !strings.Contains(stderr, "VMCOREINFO") {
		t.Errorf("without -i: status %d, %q, want 1 and a word of VMCOREINFO", status, stderr)
	}
	if status, _, stderr := run("-c", "-d31", "-i", info, bare, ours); status != 0 || strings.Contains(stderr, "makedumpfile:") {
		t.Fatalf("status %d, %q, want 0 and no warning", status, stderr)
	}
	dump, err := vmcore.Open(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer dump.Close()
	if dump.Info == nil || dump.Info.OSRelease() != "6.1.0" {
		t.Errorf("the dump's VMCOREINFO is %v, %v", dump.Info, dump.InfoErr)
	}
	again := filepath.Join(dir, "again")
	if status, _, stderr := run("-c", "-d31", ours, again); status != 0 {
		t.Fatalf("the dump again: status %d: %s", status, stderr)
	}
	sameKept(t, "the dump again", keptPages(t, again), keptPages(t, ours))

	if status, _ := oracle(t, "-c", "-d31", "-i", info, bare, theirs); status != 0 {
		t.Fatalf("makedumpfile: status %d, want 0", status)
	}
	sameKept(t, "makedumpfile's", keptPages(t, ours), keptPages(t, theirs))
}

// TestOtherKernel gives files about other kernels. makedumpfile has a status of
// its own for that.
func TestOtherKernel(t *testing.T) {
	core := bareKernel().Build()
	other := strings.Replace(core.Info, "OSRELEASE=6.1.0", "OSRELEASE=6.1.0-2", 1)
	for name, path := range map[string]string{"VMCOREINFO": core.Write(t), "none": withoutInfo(t, core)} {
		args := []string{"-d31", "-i", writeFile(t, other), path}
		status, _, stderr := run(append(args, filepath.Join(t.TempDir(), "dump"))...)
		if status != 2 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "6.1.0-2") {
			t.Errorf("core with %s: status %d, %q, want 2 and one line that names the release", name, status, stderr)
		}
		if want, _ := oracle(t, append(args, filepath.Join(t.TempDir(), "dump"))...); status != want {
			t.Errorf("core with %s: status %d, makedumpfile has %d", name, status, want)
		}
	}
}

// TestInfoBad has errors about files.
func TestInfoBad(t *testing.T) {
	core := bareKernel().Write(t)
	dir := t.TempDir()
	out, none, text := filepath.Join(dir, "out"), filepath.Join(dir, "none"), writeFile(t, "text\n")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-x", none, core, out}, none},
		{[]string{"-i", none, core, out}, none},
		{[]string{"-x", dir, core, out}, dir},
		{[]string{"-i", dir, core, out}, dir},
		{[]string{"-x", text, core, out}, text},
		{[]string{"-i", text, core, out}, text},
		{[]string{"-x", core, core, out}, core},
		{[]string{"-i", "/dev/zero", core, out}, "/dev/zero"},
		{[]string{"-g", out, "-x", text}, text},
		{[]string{"-g", filepath.Join(none, "out"), "-x", text}, text},
		{[]string{"-g", out, "-x", text, core}, "-g"},
		{[]string{"-x", "", core, out}, "-x"},
	} {
		status, _, stderr := run(test.args...)
		if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, test.want) {
			t.Errorf("%q: status %d, %q, want 1 and one line with %q", test.args, status, stderr, test.want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v are left, want nothing", left, err)
	}
}

// TestInfoCommandLines gives command lines with -x, -i and -g to both programs.
func TestInfoCommandLines(t *testing.T) {
	for _, line := range []string{
		"-x X CORE OUT", "-xX CORE OUT", "-i I CORE OUT", "-d31 -zi I CORE OUT", "-g G -x X", "-D -x X -g G",
		"--dump-dmesg -x X CORE OUT", "-F -x X CORE", "--mem-usage CORE", "--mem-usage -f CORE",
		"-x X -i I CORE OUT", "-g G", "-g G -x X CORE", "-g G -x X -c", "-g G -x X -d 31", "-g G -x X -E", "-g G -x X -i I",
		"-g G -x X --dry-run", "-R -x X OUT", "-R -i I OUT", "--reassemble -x X P1 P2 OUT", "-x", "-i", "-g",
	} {
		args := strings.Fields("--check-params " + line)
		want, _ := oracle(t, args...)
		if got, _, stderr := run(args...); got != want {
			t.Errorf("%s: status %d, makedumpfile has %d: %s", line, got, want, stderr)
		}
	}
}

// TestRealInfo makes VMCOREINFO of a real kernel's file. makedumpfile takes it
// for the kernel's core, and comes to the same dump as without.
func TestRealInfo(t *testing.T) {
	const release = "6.1.*"
	cores, _ := filepath.Glob(filepath.Join(cmp.Or(os.Getenv("UKDUMP_CORES"), "../../build/cores"), release+".elf"))
	if len(cores) == 0 {
		t.Skip("no core of Linux 6.1 (make cores)")
	}
	core := cores[0]
	kernel := filepath.Join(filepath.Dir(core), "../debug", strings.TrimSuffix(filepath.Base(core), ".elf"), "vmlinux")
	if _, err := os.Stat(kernel); err != nil {
		t.Skipf("no kernel file (vmtest/fetch debug): %v", err)
	}
	dir := t.TempDir()
	info := filepath.Join(dir, "info")
	for range 2 { // the second time the file is there
		if status, stdout, stderr := run("-g", info, "-x", kernel); status != 0 || !strings.Contains(stdout, "is saved to "+info) {
			t.Fatalf("status %d, %q, %q, want 0 and a message", status, stdout, stderr)
		}
	}
	for i, args := range [][]string{{"-i", info}, nil} {
		out := filepath.Join(dir, string(rune('a'+i)))
		if status, stdout := oracle(t, append(args, "-l", "-d31", core, out)...); status != 0 {
			t.Fatalf("makedumpfile %q: status %d, %s", args, status, stdout)
		}
	}
	sameKept(t, "makedumpfile -i", keptPages(t, filepath.Join(dir, "a")), keptPages(t, filepath.Join(dir, "b")))
}
