// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const uuid = TargetUUID

// mkfs says how to make each file system with uuid, or what vfat has of it.
var mkfs = map[string][]string{
	"ext4":  {"-q", "-U", uuid},
	"xfs":   {"-q", "-m", "uuid=" + uuid},
	"btrfs": {"-q", "-U", uuid},
	"vfat":  {"-F", "32", "-i", "0d6ba0c1"},
}

// scenario is a machine that crashes.
type scenario struct {
	suite string
	fs    string   // of the target
	size  string   // of the target's disk
	arm   []string // the steps that arm ukdump
	fill  int      // MiB of memory to fill
}

// crash lets the scenario happen and returns what was said, and the directory
// that the target's files are in now.
func (s scenario) crash(t *testing.T) (console *Console, saved string) {
	t.Helper()
	ukdump(t)
	k := needKernel(t, s.suite)
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := MakeDisk(disk, s.fs, or(s.size, "1G"), mkfs[s.fs]...); err != nil {
		t.Fatal(err)
	}
	m := Machine{Kernel: k, Root: root, Virtio: []string{disk}}
	m.Steps = slices.Concat(AttachVirtio(s.fs), s.arm, []string{fmt.Sprintf("fill %d", or(s.fill, 256)), "crash"})
	console, err = m.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the machine did not end by itself: %v", err)
	}
	t.Logf("ended after %.1f s", console.Ended.Seconds())

	saved = t.TempDir()
	if err := Extract(k, root, disk, s.fs, saved); err != nil {
		t.Fatalf("reading the target: %v", err)
	}
	return console, saved
}

// logConsole logs what we and the guest said; all that the machine said goes to
// a file under build/logs, and to the log, too, if the test fails.
func logConsole(t *testing.T, console *Console) {
	var all, ours strings.Builder
	for _, line := range console.Lines {
		text := fmt.Sprintf("%6.2f %s\n", line.At.Seconds(), line.Text)
		all.WriteString(text)
		if strings.Contains(text, "guest: ") || strings.Contains(text, "ukdump: ") || strings.Contains(text, "panic") {
			ours.WriteString(text)
		}
	}
	path := filepath.Join(Build, "logs", strings.ReplaceAll(t.Name(), "/", "-")+".log")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(all.String()), 0o644); err != nil {
		t.Error(err)
	}
	t.Logf("console, ours only; all of it is in %s:\n%s", path, ours.String())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("all that the machine said:\n%s", all.String())
		}
	})
}

// TestCapture crashes machines and looks at what was saved, on every file system
// that can be a target.
func TestCapture(t *testing.T) {
	begin(t)
	build := []string{kdumpctl + "build", kdumpctl + "load", kdumpctl + "status"}
	device := func(fs string) string {
		if fs == "vfat" {
			return "vfat UUID=0D6B-A0C1"
		}
		return fs + " UUID=" + uuid
	}
	for _, suite := range suites() {
		// As installed: the sample configuration, which saves to whatever is
		// mounted at /var/crash.
		t.Run(suite+"/as-installed", func(t *testing.T) {
			s := scenario{suite: suite, fs: "ext4", fill: 768,
				arm: append([]string{"mount ext4 /dev/vda /var/crash"}, build...)}
			console, saved := s.crash(t)
			checkSaved(t, needKernel(t, suite), console, saved)
		})
	}
	for _, fs := range []string{"xfs", "btrfs", "vfat"} {
		t.Run(fs, func(t *testing.T) {
			s := scenario{suite: suites()[0], fs: fs, arm: append(
				[]string{"write /etc/kdump.conf " + device(fs) + "|path /dumps"}, build...)}
			console, saved := s.crash(t)
			checkSaved(t, needKernel(t, s.suite), console, filepath.Join(saved, "dumps"))
		})
	}
}

var directoryName = regexp.MustCompile(`^(127\.0\.0\.1|tested)-\d{4}-\d\d-\d\d-\d\d[:-]\d\d[:-]\d\d$`)

// wantSaid requires that the machine has said each of the texts.
func wantSaid(t *testing.T, console *Console, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, found := console.Find(text); !found {
			t.Errorf("the machine does not say %q", text)
		}
	}
}

var indent = regexp.MustCompile(`(?m)^ +`)

// checkSaved checks the one dump that is in dir.
func checkSaved(t *testing.T, k Kernel, console *Console, dir string) {
	t.Helper()
	wantSaid(t, console, "ukdump: result=ok ", "ukdump: end action=reboot")
	checkWhole(t, k, onlyDump(t, dir))
}

// checkWhole checks the directory of a dump that was saved as a whole.
func checkWhole(t *testing.T, k Kernel, dump string) {
	t.Helper()
	wantFiles(t, dump, "kdump.log", "vmcore", "vmcore-dmesg.txt")

	log := readFile(t, filepath.Join(dump, "vmcore-dmesg.txt"))
	for _, text := range []string{"Linux version " + k.Release, "guest: memory filled", "Kernel panic - not syncing: sysrq triggered crash"} {
		if !strings.Contains(log, text) {
			t.Errorf("vmcore-dmesg.txt does not have %q", text)
		}
	}
	if log := readFile(t, filepath.Join(dump, "kdump.log")); !strings.Contains(log, "result=ok") {
		t.Errorf("kdump.log does not have the result:\n%s", log)
	}
	checkDump(t, k, filepath.Join(dump, "vmcore"), log)
}

// checkDump opens the dump with everything that people open dumps with.
func checkDump(t *testing.T, k Kernel, vmcore, log string) {
	t.Helper()
	report := output(t, needTool(t, "drgn", k.Suite), "-q", "-c", vmcore, "-s", needVmlinux(t, k),
		filepath.Join(Build, "..", "vmtest", "report.py"))
	for _, text := range []string{"release " + k.Release, "sysrq_handle_crash"} {
		if !strings.Contains(report, text) {
			t.Errorf("drgn does not find %q in the dump", text)
		}
	}
	// drgn does not indent the further lines of a record, as others do.
	_, drgnsLog, _ := strings.Cut(report, "\nlog\n")
	sameLines(t, indent.ReplaceAllString(log, ""), indent.ReplaceAllString(drgnsLog, ""))

	if !crashKnows(k) {
		return
	}
	commands := filepath.Join(t.TempDir(), "commands")
	if err := os.WriteFile(commands, []byte("bt\nquit\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	trace := output(t, needTool(t, "crash", k.Suite), "-s", needVmlinux(t, k), vmcore, "-i", commands)
	if !strings.Contains(trace, "sysrq_handle_crash") {
		t.Errorf("crash does not find sysrq_handle_crash in the dump:\n%s", trace)
	}
}

// onlyDump returns the only directory of a dump in dir.
func onlyDump(t *testing.T, dir string) string {
	t.Helper()
	found := ""
	for _, entry := range listDir(t, dir) {
		if entry.Name() == "lost+found" || entry.Name() == ".ukdump-attempts" {
			continue
		}
		if !directoryName.MatchString(entry.Name()) || found != "" {
			t.Fatalf("%s is among the dumps, want a single directory of a dump", entry.Name())
		}
		found = filepath.Join(dir, entry.Name())
	}
	if found == "" {
		t.Fatalf("nothing was saved in %s", dir)
	}
	return found
}

// wantFiles requires that dir has the files, and nothing else.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	var names []string
	for _, entry := range listDir(t, dir) {
		names = append(names, entry.Name())
	}
	if !slices.Equal(names, want) {
		t.Errorf("%s has %q, want %q", dir, names, want)
	}
}

func listDir(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}
