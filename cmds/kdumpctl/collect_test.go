// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/lastlog"
)

// TestCollectPstore collects what kernels leave in pstore, and nothing twice.
func TestCollectPstore(t *testing.T) {
	pstore, to := t.TempDir(), filepath.Join(t.TempDir(), "crash")
	crashed := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)
	records := map[string]string{
		"dmesg-efi-170000000001001": "Panic#1 Part1\n", "dmesg-efi-170000000002001": "Panic#1 Part2\n",
		"console-ramoops-0": strings.Repeat("x", maxRecordSize),
	}
	for name, text := range records {
		path := filepath.Join(pstore, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, crashed, crashed); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	c := collection{to: to, stdout: &out}
	for range 2 { // the second time there is nothing any more
		if err := c.pstore(pstore); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(to, "pstore-2026-01-31-23:59:59")
	if want := "collected to " + dir + "\n"; out.String() != want {
		t.Errorf("says %q, want %q", out.String(), want)
	}
	for name, text := range records {
		if len(text) >= maxRecordSize { // there may be more of it
			name += "-incomplete"
		}
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
			t.Errorf("%s has %d bytes, %v, want %d", name, len(got), err, len(text))
		}
	}
	if left, err := os.ReadDir(pstore); err != nil || len(left) > 0 {
		t.Errorf("%v are left in pstore, %v", left, err)
	}
	if err := c.pstore(filepath.Join(pstore, "none")); err != nil {
		t.Errorf("without pstore: %v", err)
	}
}

// TestCollectNoRoom leaves records where they are that cannot be copied.
func TestCollectNoRoom(t *testing.T) {
	pstore := t.TempDir()
	record := filepath.Join(pstore, "dmesg-efi-1")
	if err := os.WriteFile(record, []byte("Panic#1 Part1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := collection{to: filepath.Join(record, "crash"), stdout: &strings.Builder{}} // below a file
	if err := c.pstore(pstore); err == nil {
		t.Error("collecting to nowhere works")
	}
	if _, err := os.Stat(record); err != nil {
		t.Errorf("the record is gone: %v", err)
	}
}

// TestLeftLogs puts variables of two crashes together. One lacks a piece, and
// some are none.
func TestLeftLogs(t *testing.T) {
	first := time.Date(2026, 1, 31, 23, 59, 59, 0, time.UTC)
	second := first.Add(time.Hour)
	logs := map[time.Time]leftLog{}
	add := func(file lastlog.File, crashed time.Time, text string, without int) {
		t.Helper()
		pieces, err := lastlog.Pack(file, crashed, []byte(text), 256)
		if err != nil {
			t.Fatal(err)
		}
		for i, piece := range pieces {
			if i != without {
				addPiece(logs, lastlog.Name(file, crashed, i), piece)
			}
		}
	}
	var lines strings.Builder
	for i := range 1000 {
		lines.WriteString(strings.Repeat(string(rune('a'+i%26)), i%70) + "\n")
	}
	add(lastlog.Dmesg, first, lines.String(), -1)
	add(lastlog.Report, first, "result=partial\n", -1)
	add(lastlog.Dmesg, second, lines.String(), 1)
	addPiece(logs, "UkdumpAttempts", []byte("2026-01-31T23:59:59Z\n"))
	addPiece(logs, "Empty", nil)

	if len(logs) != 2 {
		t.Fatalf("logs of %d crashes, want 2", len(logs))
	}
	files := logs[first].files()
	want := []leftFile{{"vmcore-dmesg.txt", []byte(lines.String()), true}, {"kdump.log", []byte("result=partial\n"), true}}
	if !slices.EqualFunc(files, want, func(a, b leftFile) bool {
		return a.name == b.name && string(a.content) == string(b.content) && a.whole == b.whole
	}) {
		t.Errorf("files of the first crash: %+v", files)
	}
	files = logs[second].files()
	if len(files) != 1 || files[0].whole || !strings.Contains(string(files[0].content), "[1 pieces of") {
		t.Errorf("files of the second crash: %+v", files)
	}
}
