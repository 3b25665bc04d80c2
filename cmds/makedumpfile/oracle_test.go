// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package makedumpfile

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
)

// oracle runs the real makedumpfile, the one that the variable MAKEDUMPFILE names
// or the machine's, and returns its exit status and output.
func oracle(t *testing.T, args ...string) (status int, stdout string) {
	t.Helper()
	program, err := exec.LookPath(cmp.Or(os.Getenv("MAKEDUMPFILE"), "makedumpfile"))
	if err != nil {
		t.Skipf("no makedumpfile to compare with: %v", err)
	}
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatal(err)
		}
	}
	return cmd.ProcessState.ExitCode(), out.String()
}

// TestCommandLineOracle gives both programs the same command lines: what the real
// one takes, ours takes, and both refuse the same nonsense.
func TestCommandLineOracle(t *testing.T) {
	core, out := smallKernel().Write(t), filepath.Join(t.TempDir(), "dump")
	for _, line := range []string{
		"-c -d 31 CORE OUT", "-cd31 CORE OUT", "-d31 -c CORE OUT", "-cfD CORE OUT", "CORE -c OUT -d 31",
		"-c -d 1,2,31 CORE OUT", "-c -p CORE OUT", "-d 0 CORE OUT", "CORE OUT", "-b 3 CORE OUT",
		"--num-threads 2 -c CORE OUT", "--num-thr=2 CORE OUT", "--message-level 31 CORE OUT", "--message-level=0 CORE OUT",
		"--cyclic-buffer 1024 CORE OUT", "--cyclic=1 CORE OUT", "--work-dir /tmp CORE OUT", "--non-mmap CORE OUT",
		"--dry-run CORE OUT", "--show-stats -d 1 CORE OUT", "--dump-dmesg CORE OUT", "--dump-dmesg --partial-dmesg CORE OUT",

		"-d 32 CORE OUT", "-d -1 CORE OUT", "-d 1,33 CORE OUT", "-q CORE OUT", "-cq CORE OUT", "--nonsense CORE OUT",
		"--m 3 CORE OUT", "--message-level 32 CORE OUT", "--message-level -1 CORE OUT", "--dry-run=x CORE OUT", "-c CORE -d",
		"-- -c CORE OUT",
	} {
		args := strings.Fields(strings.NewReplacer("CORE", core, "OUT", out).Replace("--check-params " + line))
		want, _ := oracle(t, args...)
		if got, _, stderr := run(args...); got != want {
			t.Errorf("%s: status %d, makedumpfile has %d: %s", line, got, want, stderr)
		}
	}
}

// TestReportOracle compares the counts of a report. The pages of the whole core
// are not compared: makedumpfile counts those twice that are in two program
// headers.
func TestReportOracle(t *testing.T) {
	k := coretest.Kernel{Era: coretest.Linux6_1(), Blocks: []coretest.Block{
		{PFN: 0x110, Is: coretest.LRU, Times: 7},
		{PFN: 0x120, Is: coretest.LRU | coretest.Private, Times: 5},
		{PFN: 0x130, Is: coretest.LRU | coretest.Anon, Times: 3},
		{PFN: 0x140, Order: 4, Is: coretest.HugeTLB},
		{PFN: 0x160, Order: 5, Is: coretest.Buddy},
		{PFN: 0x190, Is: coretest.HWPoison, Times: 2},
		{PFN: 0x1a0, Is: coretest.Offline, Times: 11},
	}}
	core, dir := k.Write(t), t.TempDir()
	line := regexp.MustCompile(`(?m)^    (\S.*\S) *: 0x([0-9a-f]+)`)
	for _, level := range []string{"0", "1", "2", "4", "6", "8", "16", "31"} {
		want := map[string]uint64{}
		status, report := oracle(t, "-c", "--show-stats", "--message-level", "0", "-d", level, core, filepath.Join(dir, "theirs"+level))
		if status != 0 {
			t.Fatalf("makedumpfile -d %s: status %d", level, status)
		}
		for _, m := range line.FindAllStringSubmatch(report, -1) {
			want[m[1]], _ = strconv.ParseUint(m[2], 16, 64)
		}
		if len(want) < 7 {
			t.Fatalf("makedumpfile's report has %d counts: %s", len(want), report)
		}
		_, ours, _ := run("-c", "--show-stats", "-d", level, core, filepath.Join(dir, "ours"+level))
		for _, m := range line.FindAllStringSubmatch(ours, -1) {
			got, _ := strconv.ParseUint(m[2], 16, 64)
			if n, ok := want[m[1]]; ok && got != n {
				t.Errorf("level %s: %s: %d, makedumpfile has %d", level, m[1], got, n)
			}
			delete(want, m[1])
		}
		delete(want, "Extension filter pages")
		if len(want) > 0 {
			t.Errorf("level %s: our report lacks %v", level, want)
		}
	}
}
