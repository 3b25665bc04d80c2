// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
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

func (t *table) note(format string, args ...any) {
	t.Notes = append(t.Notes, fmt.Sprintf(format, args...))
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

// printJSON writes tables for machines.
func printJSON(w io.Writer, tables []*table) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(tables)
}
