// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package makedumpfile

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
)

// run runs the applet and returns its exit status and what it printed.
func run(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = Run(args, strings.NewReader(""), &out, &err)
	return status, out.String(), err.String()
}

// checkFails runs the applet on a core that is none: it must end with status 1
// and one line that names the file and has the reason, and leave nothing behind.
func checkFails(t *testing.T, name, core, reason string, options ...string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "dump")
	status, _, stderr := run(append(options, core, out)...)
	if status != 1 {
		t.Errorf("%s: status %d, want 1", name, status)
	}
	if strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") ||
		!strings.Contains(stderr, core) || !strings.Contains(stderr, reason) {
		t.Errorf("%s: stderr %q, want one line with %q and %q", name, stderr, core, reason)
	}
	if left, err := os.ReadDir(filepath.Dir(out)); err != nil || len(left) > 0 {
		t.Errorf("%s: it left %v, %v, want nothing", name, left, err)
	}
}

func writeCore(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vmcore")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNoCore(t *testing.T) {
	executable, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, contents, reason string
	}{
		{"empty file", "", "not a core of a known format"},
		{"one byte", "K", "not a core of a known format"},
		{"text file", strings.Repeat("The quick brown fox\n", 1000), "not a core of a known format"},
		{"zeros", strings.Repeat("\x00", 1<<20), "not a core of a known format"},
		{"ELF magic alone", "\x7fELF", "cut off"},
		{"executable", string(executable), "ELF type"},
		{"dump's signature alone", "KDUMP   ", "cut off"},
	} {
		for _, level := range []string{"-d0", "-d31"} {
			checkFails(t, test.name, writeCore(t, []byte(test.contents)), test.reason, level)
		}
	}
	checkFails(t, "directory", t.TempDir(), "not a regular file", "-d31")
	checkFails(t, "missing file", filepath.Join(t.TempDir(), "none"), "no such file", "-d31")
}

// smallKernel is a machine whose core is small.
func smallKernel() coretest.Kernel {
	return coretest.Kernel{Era: coretest.Linux6_1(), RAM: []mem.PhysRange{{Start: 1 << 20, End: 1<<20 + 1<<18}}}
}

// TestCutOff cuts a core off at many places: a file that lacks something that a
// header promises is no core.
func TestCutOff(t *testing.T) {
	b := smallKernel().Build().File
	places := []int{5, 15, 16, 63, 64, 65, 119, 120, 121, 232, 4095, 4096, 4500, len(b) - 4096, len(b) - 1}
	for i := range 30 {
		places = append(places, len(b)*i/30)
	}
	for _, n := range places {
		reason := "cut off"
		if n < 4 {
			reason = "not a core"
		}
		for _, level := range []string{"-d1", "-d31"} {
			checkFails(t, fmt.Sprintf("first %d of %d bytes", n, len(b)), writeCore(t, b[:n]), reason, level)
		}
	}
}

// TestBadHeaders has program headers that point outside the file, or to memory
// that no machine has.
func TestBadHeaders(t *testing.T) {
	limitFiles(t)
	const note, load = 64, 64 + 2*56 // program headers: the note, the image, memory
	for _, test := range []struct {
		name   string
		off    int
		value  uint64
		reason string
	}{
		{"program headers outside the file", 32, 1 << 40, "cut off"},
		{"note outside the file", note + 8, 1 << 40, "outside the file"},
		{"note larger than the file", note + 32, 1 << 40, "outside the file"},
		{"memory outside the file", load + 8, 1 << 40, "outside the file"},
		{"memory larger than the file", load + 32, 1 << 40, "outside the file"},
		{"memory that wraps around the file", load + 8, 1<<64 - 4096, "outside the file"},
		{"memory smaller than in the file", load + 40, 1, "memory"},
		{"memory beyond all addresses", load + 24, 1<<64 - 4096, "physical address"},
		{"memory at 2^60", load + 24, 1 << 60, "physical address"},
		{"memory of 2^60 bytes", load + 40, 1 << 60, "physical address"},
		{"memory of 2^51 bytes", load + 40, 1 << 51, "too far apart"},
		{"memory at 2^51", load + 24, 1 << 51, "too far apart"},
		{"memory at 2^46", load + 24, 1 << 46, "too far apart"},
	} {
		b := smallKernel().Build().File
		binary.LittleEndian.PutUint64(b[test.off:], test.value)
		for _, level := range []string{"-d0", "-d31"} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			checkFails(t, test.name, writeCore(t, b), test.reason, level)
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; n > 256<<20 {
				t.Errorf("%s: %d bytes allocated, want less than 256 MiB", test.name, n)
			}
		}
	}
}

// limitFiles makes writes of large files fail, lest a bug fills the disk.
func limitFiles(t *testing.T) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 28, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Setrlimit(unix.RLIMIT_FSIZE, &old)
		signal.Reset(unix.SIGXFSZ)
	})
}

// TestBadInfo has VMCOREINFO that is missing or cannot be right. At level 31
// nothing can be done with it.
func TestBadInfo(t *testing.T) {
	good := smallKernel().Build().Info
	for _, test := range []struct {
		name, info, reason string
	}{
		{"no OSRELEASE", strings.ReplaceAll(good, "OSRELEASE=", "X="), "OSRELEASE"},
		{"no PAGESIZE", strings.ReplaceAll(good, "PAGESIZE=", "X="), "PAGESIZE"},
		{"no page table", strings.NewReplacer("init_top_pgt", "x", "swapper_pg_dir", "y").Replace(good), "init_top_pgt"},
		{"no struct page", strings.ReplaceAll(good, "SIZE(page)", "X"), "SIZE(page)"},
		{"no sections", strings.ReplaceAll(good, "SYMBOL(mem_section)", "X"), "mem_section"},
		{"release twice", good + "OSRELEASE=5.0\n", "OSRELEASE"},
		{"size twice", good + "SIZE(page)=128\n", "SIZE(page)"},
		{"page size 3", strings.ReplaceAll(good, "PAGESIZE=4096", "PAGESIZE=3"), "PAGESIZE"},
		{"page size 2^63", strings.ReplaceAll(good, "PAGESIZE=4096", "PAGESIZE=9223372036854775808"), "PAGESIZE"},
		{"symbol that is no number", strings.ReplaceAll(good, "SYMBOL(_stext)=", "SYMBOL(_stext)=x"), "SYMBOL(_stext)"},
		{"struct page of 2^62 bytes", strings.ReplaceAll(good, "SIZE(page)=64", "SIZE(page)=4611686018427387904"), "SIZE(page)"},
		{"flags 2^63 behind struct page", strings.ReplaceAll(good, "OFFSET(page.flags)=0", "OFFSET(page.flags)=9223372036854775808"), "OFFSET(page.flags)"},
		{"sections of 2^63 bytes", strings.ReplaceAll(good, "NUMBER(SECTION_SIZE_BITS)=27", "NUMBER(SECTION_SIZE_BITS)=63"), "sections"},
		{"sections elsewhere", strings.ReplaceAll(good, "SYMBOL(mem_section)=ffff8880", "SYMBOL(mem_section)=ffff9990"), "mem_section"},
		{"binary", strings.Repeat("\xff\xfe\x00=", 300), "OSRELEASE"},
	} {
		if test.info == good {
			t.Fatalf("%s: the replacement found nothing", test.name)
		}
		k := smallKernel()
		k.RawInfo = test.info
		checkFails(t, test.name, k.Write(t), test.reason, "-d31")
	}
	noNotes := coretest.ELF{Segments: []coretest.Segment{{Phys: 1 << 20, Data: make([]byte, 4096)}}}
	checkFails(t, "no VMCOREINFO", writeCore(t, noNotes.Bytes()), "no VMCOREINFO", "-d31")
	if status, _, stderr := run("-d1", writeCore(t, noNotes.Bytes()), filepath.Join(t.TempDir(), "dump")); status != 0 {
		t.Errorf("no VMCOREINFO: status %d at level 1, want 0: %s", status, stderr)
	}
}

// TestBadOutput has nowhere to write to.
func TestBadOutput(t *testing.T) {
	core := smallKernel().Write(t)
	dir := t.TempDir()
	existing := filepath.Join(dir, "existing")
	if err := os.WriteFile(existing, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, out, reason string
		options           []string
	}{
		{"existing file", existing, "-f", nil},
		{"existing directory", dir, "-f", nil},
		{"existing directory, forced", dir, "directory", []string{"-f"}},
		{"no such directory", filepath.Join(dir, "none", "dump"), "no such file", nil},
		{"file for a directory", filepath.Join(existing, "dump"), "not a directory", nil},
		{"no name", "", "", nil},
	} {
		status, _, stderr := run(append(test.options, "-d31", core, test.out)...)
		if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, test.out) || !strings.Contains(stderr, test.reason) {
			t.Errorf("%s: status %d, stderr %q, want 1 and one line with %q and %q", test.name, status, stderr, test.out, test.reason)
		}
	}
	if b, err := os.ReadFile(existing); string(b) != "precious" {
		t.Errorf("the existing file has %q, %v now", b, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v, %v are left, want the existing file alone", left, err)
	}
}

// TestOverwrite writes over a file, with -f.
func TestOverwrite(t *testing.T) {
	core, out := smallKernel().Write(t), filepath.Join(t.TempDir(), "dump")
	if err := os.WriteFile(out, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := run("-f", "-c", "-d31", core, out); status != 0 {
		t.Fatalf("status %d, want 0: %s", status, stderr)
	}
	if b, err := os.ReadFile(out); err != nil || !bytes.HasPrefix(b, []byte("KDUMP   ")) {
		t.Errorf("the file begins with %.8q, %v, want a dump", b, err)
	}
}

// TestCommandLine has errors in the command line.
func TestCommandLine(t *testing.T) {
	core, dir := smallKernel().Write(t), t.TempDir()
	out := filepath.Join(dir, "dump")
	for _, test := range []struct{ args, reason string }{
		{"", "file names"},
		{core, "file names"},
		{core + " " + out + " third", "file names"},
		{"-X " + core + " " + out, "-X"},
		{"-d 32 " + core + " " + out, `"32"`},
		{"--nonsense " + core + " " + out, "--nonsense"},
	} {
		status, _, stderr := run(strings.Fields(test.args)...)
		if status != 1 || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, test.reason) {
			t.Errorf("%q: status %d, stderr %q, want 1 and one line with %q", test.args, status, stderr, test.reason)
		}
	}
	for _, args := range []string{"--check-params -cd31 " + core + " " + out, "--dry-run -d31 " + core, "-h", "-v"} {
		if status, _, stderr := run(strings.Fields(args)...); status != 0 {
			t.Errorf("%q: status %d, want 0: %s", args, status, stderr)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v, %v are left, want nothing", left, err)
	}
}
