// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPutInto renews one part's tables and leaves all else as it is.
func TestPutInto(t *testing.T) {
	const before, others = "# Page\n\n", "\ntext\n\n<!-- bench nfs: begin -->\nkept\n<!-- bench nfs: end -->\n"
	path := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(path, []byte(before+"<!-- bench capture: begin -->\nold\n<!-- bench capture: end -->\n"+others), 0o600); err != nil {
		t.Fatal(err)
	}
	results := &table{Title: "Title", Columns: []string{"s", "MB"}}
	results.add("ukdump", []spread{spreadOf(1, 3, 2), spreadOf(math.NaN(), 7)})
	results.add("rival", []spread{spreadOf(), spreadOf(math.Inf(1))})
	results.note("rival: it\nfailed")
	for range 2 { // what it has written it finds again
		if err := putInto(path, "capture", []*table{results}); err != nil {
			t.Fatal(err)
		}
	}
	const tables = "\n### Title\n\n| | s | MB |\n|---|---|---|\n| ukdump | 2.00 (1.00–3.00) | 7.00 |\n| rival | – | – |\n\nrival: it failed.\n\nMeasured on "
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rest, found := strings.CutPrefix(string(text), before+"<!-- bench capture: begin -->\n"+tables)
	if !found || strings.Contains(rest, "old") || !strings.HasSuffix(rest, ".\n\n<!-- bench capture: end -->\n"+others) {
		t.Errorf("the page is\n%s\nwant new tables in its first marks alone", text)
	}
	if err := putInto(path, "smallest", nil); err == nil {
		t.Error("tables of a part without marks were put somewhere")
	}
}
