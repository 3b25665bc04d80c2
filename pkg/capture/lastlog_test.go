// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

func TestTail(t *testing.T) {
	var all strings.Builder
	var end tail
	for i := range 20000 {
		line := fmt.Sprintf("line %d\n", i)
		all.WriteString(line)
		if _, err := end.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
		if end.buf.Len() > 2*maxLastLog+len(line) {
			t.Fatalf("%d bytes are kept", end.buf.Len())
		}
	}
	got := string(end.bytes(1000))
	note, rest, _ := strings.Cut(got, "\n")
	if !strings.HasPrefix(note, "[there was no room") || !strings.HasPrefix(rest, "line ") ||
		!strings.HasSuffix(all.String(), rest) || len(rest) < 980 {
		t.Errorf("the last 1000 bytes: %q", got)
	}
	end = tail{}
	end.Write([]byte("all of it\n"))
	if got := string(end.bytes(10)); got != "all of it\n" {
		t.Errorf("of a short log: %q", got)
	}
}

// TestLastLog keeps the log of a real kernel in a file that stands for memory that
// survives a reboot. The VM tests have firmware.
func TestLastLog(t *testing.T) {
	core, err := vmcore.Open(realCore(t))
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	m := fakeMachine(t, "", "")
	m.ours, m.dev = true, t.TempDir()
	kept := filepath.Join(m.dev, pmsg)
	r, _ := testRun(m)
	s := initial(m)
	s.core = core
	if got, err := saveLastLog(t.Context(), r, s); err == nil || got.lastLog != "" {
		t.Errorf("where nothing keeps a log: %q, %v", got.lastLog, err)
	}
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.config.Encrypt = []string{"age1"}
	if got, err := saveLastLog(t.Context(), r, s); err == nil || got.lastLog != "" {
		t.Errorf("where all has to be encrypted: %q, %v", got.lastLog, err)
	}
	if text, _ := os.ReadFile(kept); len(text) > 0 {
		t.Errorf("%d bytes were not encrypted", len(text))
	}
	s.config.Encrypt = nil
	s, err = saveLastLog(t.Context(), r, s)
	if err != nil || !strings.Contains(r.resultLine(s), "result=partial dir=pstore ") {
		t.Fatalf("%s, %v", r.resultLine(s), err)
	}
	text, err := os.ReadFile(kept)
	for _, want := range []string{"given up:", "result=partial dir=pstore ", "Linux version ", "Kernel panic - not syncing: sysrq triggered crash"} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%q is not among what is kept, %v", want, err)
		}
	}
}

// TestFirmwareEffort has marks in the firmware and on the target: what tries less
// counts.
func TestFirmwareEffort(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		inFirmware int
		smaller    bool
		want       effort
	}{
		{0, false, everything}, {1, false, smallerDump}, {2, false, logOnly}, {0, true, smallerDump}, {2, true, logOnly},
	} {
		r, _ := testRun(machine{})
		s := initial(machine{})
		s.core, s.smaller = crashedAt(now), test.smaller
		s.cutShort = slices.Repeat([]time.Time{now.Add(-time.Hour)}, test.inFirmware)
		s, err := markAttempt(t.Context(), r, s) // on a target that takes no notes
		if err != nil || s.effort != test.want {
			t.Errorf("after %d runs: effort %v, %v, want %v", test.inFirmware, s.effort, err, test.want)
		}
	}
	s := initial(machine{})
	s.effort = nothing
	r, console := testRun(machine{})
	if s = r.tryTargets(s); s.worth() > 0 || strings.Contains(console.String(), "target") {
		t.Errorf("targets are tried where nothing is to be: %s", console)
	}
	s.effort, s.dump.report = everything, &collector.Report{}
	if wantsLastLog(s) {
		t.Error("the log is kept in the firmware although there is a dump")
	}
}
