// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package ssh

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

const (
	// uploadMiB is what TestMemory uploads, mostMiB the memory that it may take: a
	// capture kernel has little more.
	uploadMiB = 512
	mostMiB   = 16
)

// TestMemory uploads in a process of its own, as the test has much in memory, and
// with the least limit that capture sets.
func TestMemory(t *testing.T) {
	const env = "UKDUMP_TEST_UPLOAD" // has the options in the other process
	if options := os.Getenv(env); options != "" {
		upload(t, options)
		return
	}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		t.Skip("the race detector takes memory of its own")
	}
	s := newServer(t)
	options, err := json.Marshal(s.opts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemory$", "-test.v")
	cmd.Env = append(os.Environ(), env+"="+string(options), "GOMEMLIMIT=16MiB", "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the other process: %v\n%s", err, out)
	}
	_, rest, _ := strings.Cut(string(out), "memory: ")
	var peak, file int // KiB; the second is the program itself
	if _, err := fmt.Sscan(rest, &peak, &file); err != nil {
		t.Fatalf("the other process says %q: %v", out, err)
	}
	if peak-file > mostMiB<<10 {
		t.Errorf("%d KiB of memory besides the program, want at most %d MiB", peak-file, mostMiB)
	}
	t.Logf("%d KiB of memory, %d of them the program's", peak, file)
}

func upload(t *testing.T, options string) {
	var o Options
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		t.Fatal(err)
	}
	store, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	dir, err := store.Make(t.Context(), "dump")
	if err != nil {
		t.Fatal(err)
	}
	f, err := dir.Create(t.Context(), "vmcore", 0)
	if err != nil {
		t.Fatal(err)
	}
	text := random(1 << 20)
	for range uploadMiB {
		if _, err := f.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var numbers []string
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); fields[0] == "VmHWM:" || fields[0] == "RssFile:" {
			numbers = append(numbers, fields[1])
		}
	}
	fmt.Println("memory:", strings.Join(numbers, " "))
}
