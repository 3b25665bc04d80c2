// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// table is a part of the report.
type table struct {
	Title   string
	Columns []string
	Lines   []line
	Notes   []string
}

// line is a line of a table: a label and a figure for each column; one without a
// value is not known.
type line struct {
	Label   string
	Figures []spread
}

func (t *table) add(label string, figures []spread) {
	t.Lines = append(t.Lines, line{label, figures})
}

// note adds a sentence, of one line, to what stands below the table.
func (t *table) note(format string, args ...any) {
	t.Notes = append(t.Notes, strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " "))
}

// print writes the table as text.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n\n", t.Title)
	tw := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintf(tw, "\t%s\n", strings.Join(t.Columns, "\t"))
	for _, l := range t.Lines {
		fmt.Fprint(tw, l.Label)
		for _, f := range l.Figures {
			fmt.Fprintf(tw, "\t%s", f)
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
	for _, n := range t.Notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
	fmt.Fprintln(w)
}

// markdown writes the table as Markdown.
func (t *table) markdown(w io.Writer) {
	fmt.Fprintf(w, "### %s\n\n| | %s |\n|---|%s\n", t.Title, strings.Join(t.Columns, " | "),
		strings.Repeat("---|", len(t.Columns)))
	for _, l := range t.Lines {
		fmt.Fprintf(w, "| %s |", l.Label)
		for _, f := range l.Figures {
			fmt.Fprintf(w, " %s |", f)
		}
		fmt.Fprintln(w)
	}
	for _, n := range t.Notes {
		fmt.Fprintf(w, "\n%s.\n", n)
	}
	fmt.Fprintln(w)
}

// putInto puts the tables of a part into the Markdown file at path, between the
// marks of that part, and says where they come from.
func putInto(path, part string, tables []*table) error {
	beginMark, endMark := "<!-- bench "+part+": begin -->\n", "<!-- bench "+part+": end -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found1 := strings.Cut(string(text), beginMark)
	_, after, found2 := strings.Cut(rest, endMark)
	if !found1 || !found2 {
		return fmt.Errorf("%s: no lines %q and %q", path, beginMark, endMark)
	}
	var b bytes.Buffer
	b.WriteString(before + beginMark + "\n")
	for _, t := range tables {
		t.markdown(&b)
	}
	fmt.Fprintf(&b, "Measured on %s, with %s.\n\n", time.Now().Format("2 January 2006"), machine())
	b.WriteString(endMark + after)
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// machine says what this machine is.
func machine() string {
	model := "an unknown CPU"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	var uts unix.Utsname
	unix.Uname(&uts)
	release, _, _ := strings.Cut(unix.ByteSliceToString(uts.Release[:]), "-")
	return fmt.Sprintf("%d CPUs (%s), Linux %s, %s", runtime.NumCPU(), model, release, runtime.Version())
}

// printJSON writes tables for machines.
func printJSON(w io.Writer, tables []*table) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(tables)
}
