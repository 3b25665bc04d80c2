// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package watchdog

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOpenAll has no watchdogs: a real one would reset the machine that tests
// run on. The VM tests have them.
func TestOpenAll(t *testing.T) {
	sys, dev := t.TempDir(), t.TempDir()
	for _, class := range []string{"watchdog0", "watchdog1"} { // the last without a node
		if err := os.MkdirAll(filepath.Join(sys, "class/watchdog", class), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range []string{"watchdog", "watchdog0"} {
		if err := os.WriteFile(filepath.Join(dev, node), []byte("no watchdog"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	warnings := 0
	got := OpenAll(sys, dev, time.Minute, func(err error) {
		t.Log(err)
		warnings++
	})
	if len(got) != 0 || warnings != 2 {
		t.Errorf("OpenAll = %v with %d warnings, want nothing and 2", got, warnings)
	}
	if text, err := os.ReadFile(filepath.Join(dev, "watchdog0")); err != nil || string(text) != "no watchdog" {
		t.Errorf("OpenAll has changed a file that is no watchdog to %q, %v", text, err)
	}
}

func TestFeeder(t *testing.T) {
	// A pipe takes a write as a watchdog does.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var f Feeder
	if !f.Empty() {
		t.Error("a feeder without a watchdog is not empty")
	}
	f.Until(time.Now().Add(time.Hour))
	f.Add(&Device{f: w, Timeout: 60 * time.Millisecond})
	if f.Empty() {
		t.Error("a feeder with a watchdog is empty")
	}
	meals := make([]byte, 3)
	for i := range meals { // hangs if it is not fed
		if _, err := r.Read(meals[i : i+1]); err != nil || meals[i] != 0 {
			t.Fatalf("meal %d is %d, %v, want 0", i, meals[i], err)
		}
	}
	f.Disarm()
	for last := byte(0); last != 'V'; { // what means that the close is meant
		if _, err := r.Read(meals[:1]); err != nil {
			t.Fatalf("the last that it got is %d, then %v; want V", last, err)
		}
		last = meals[0]
	}
	if n, err := r.Read(meals); err == nil {
		t.Errorf("after that it got %q", meals[:n])
	}
	if !f.Empty() {
		t.Error("a feeder is not empty after Disarm")
	}
}

func TestClass(t *testing.T) {
	for node, want := range map[string]string{"/dev/watchdog": "watchdog0", "/dev/watchdog12": "watchdog12"} {
		if got := class(node); got != want {
			t.Errorf("class(%s) = %s, want %s", node, got, want)
		}
	}
}
