// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/mem"
)

// TestKilled kills runs that write a dump of 64 MiB, each after another number
// of bytes. Whatever has a final name then is complete, and the mark of the run
// that was cut short is there.
func TestKilled(t *testing.T) {
	if core := os.Getenv("UKDUMP_TEST_CORE"); core != "" {
		r, _ := testRun(fakeMachine(t, core, os.Getenv("UKDUMP_TEST_CONF")))
		r.carryOutAll(initial(r.machine))
		return
	}
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	const kills, size = 20, 64 << 20
	core := coretest.Kernel{Era: coretest.Linux6_1(), RAM: []mem.PhysRange{{Start: 32 << 20, End: 32<<20 + size}}}.Write(t)
	cut := 0
	for i := range kills {
		image := newDisk(t, 128<<20, "mkfs.ext4", "-q", "-F")
		conf := "ext4 UUID=" + uuid(t, image) + "\ncore_collector makedumpfile -d 0\n"
		killAfter(t, core, conf, int64(i)*size/kills)
		if checkKilled(t, image) {
			cut++
		}
	}
	t.Logf("%d of %d runs were killed before they had saved their dump", cut, kills)
	if cut == 0 {
		t.Error("no run was killed before it had saved its dump")
	}
}

// killAfter has a process do a run, and kills it when it has written that many
// bytes. What it has mounted goes with it.
func killAfter(t *testing.T, core, conf string, written int64) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "UKDUMP_TEST_CORE="+core, "UKDUMP_TEST_CONF="+conf, "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := cmd.Start(); err != nil {
		t.Skipf("a process with mounts of its own: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait()
	}()
	for wroteBytes(cmd.Process.Pid) < written {
		select {
		case <-ended:
			return
		default:
		}
	}
	cmd.Process.Kill()
	<-ended
}

// wroteBytes returns how many bytes a process has written so far.
func wroteBytes(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0
	}
	var n int64
	for line := range bytes.Lines(text) {
		if _, err := fmt.Sscanf(string(line), "wchar: %d", &n); err == nil {
			return n
		}
	}
	return 0
}

// checkKilled checks what a run has left, and reports whether it was cut short.
func checkKilled(t *testing.T, image string) bool {
	t.Helper()
	mount := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop,ro", image, mount).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	defer exec.Command("umount", mount).Run()
	crash := filepath.Join(mount, "var/crash")
	_, unmarked := os.Stat(filepath.Join(crash, attemptsNote))
	dumps, _ := filepath.Glob(filepath.Join(crash, "127.0.0.1-*"))
	if len(dumps) == 0 {
		return true
	}
	if log, err := os.ReadFile(filepath.Join(dumps[0], "kdump.log")); err == nil && !strings.Contains(string(log), "\nresult=") {
		t.Errorf("kdump.log is not whole: %q", log)
	}
	dump, err := diskdump.Open(filepath.Join(dumps[0], "vmcore"))
	if os.IsNotExist(err) {
		if unmarked != nil {
			t.Errorf("there is no dump, and no mark of the run: %v", unmarked)
		}
		return true
	}
	if err != nil {
		t.Error(err)
		return false
	}
	defer dump.Close()
	if err := dump.Verify(t.Context(), func(finding string) { t.Errorf("vmcore: %s", finding) }); err != nil {
		t.Error(err)
	}
	return false
}
