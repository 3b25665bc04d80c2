// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Outcome is what came of a fault when it was tried.
type Outcome struct {
	Release string   // of the kernel
	Seconds float64  // from the crash to the reboot
	Saved   []string // as in Fault
}

func outcomePath(fault string) string {
	return filepath.Join(Build, "faults", "outcomes", fault+".json")
}

// save keeps the outcome for the table.
func (o Outcome) save(fault string) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	path := outcomePath(fault)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644))
}

// readOutcome returns the last outcome of a fault; nil if it has not been tried
// or has failed.
func readOutcome(fault string) (*Outcome, error) {
	text, err := os.ReadFile(outcomePath(fault))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	o := &Outcome{}
	return o, json.Unmarshal(text, o)
}

// WriteTable writes the table of faults with their last outcomes.
func WriteTable(w *bytes.Buffer, faults []Fault) error {
	for _, group := range groups(faults) {
		fmt.Fprintf(w, "\n### %s\n\n| fault | what happens | what is saved | what names it | seconds |\n|---|---|---|---|---|\n", group)
		for _, f := range faults {
			if f.Group != group {
				continue
			}
			outcome, err := readOutcome(f.Name)
			if err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			saved, seconds := "not tried", ""
			if outcome != nil {
				saved, seconds = savedText(outcome.Saved), fmt.Sprintf("%.0f", outcome.Seconds)
			}
			fmt.Fprintf(w, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.What, saved, f.namedBy(), seconds)
		}
	}
	return nil
}

// namedBy says where the fault is named, and how.
func (f *Fault) namedBy() string {
	switch {
	case len(f.Log) > 0:
		return "`kdump.log`: " + f.Log[0]
	case len(f.Said) > 0:
		return "the console: " + f.Said[0]
	}
	return ""
}

// savedText says in words what the files are.
func savedText(files []string) string {
	if files == nil {
		return "nothing"
	}
	var words []string
	for _, what := range []struct{ file, word string }{
		{"vmcore-dmesg.txt", "the kernel log"},
		{"vmcore", "the dump"},
		{"vmcore-incomplete", "a part of the dump"},
	} {
		if slices.Contains(files, what.file) {
			words = append(words, what.word)
		}
	}
	if words == nil {
		return "kdump.log alone"
	}
	return strings.Join(words, ", ")
}
