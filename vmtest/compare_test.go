// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLikeMakedumpfile compares our dumps of an untouched core with
// makedumpfile's at every level: both bitmaps bit by bit, the counts of each class
// of pages, and every page of ours with the core's.
func TestLikeMakedumpfile(t *testing.T) {
	begin(t)
	codecs := []string{"", "-c", "-z", "-p"}
	for _, suite := range suites() {
		for level := range 32 {
			codec := codecs[level%len(codecs)]
			t.Run(fmt.Sprintf("%s/level%d%s", suite, level, codec), func(t *testing.T) {
				compareWithMakedumpfile(t, suite, level, codec)
			})
		}
	}
}

func compareWithMakedumpfile(t *testing.T, suite string, level int, codec string) {
	k, corePath := needCore(t, suite)
	reference := needTool(t, "makedumpfile", suite)
	dir := t.TempDir()

	// The reference's codec does not matter, and LZO is the fastest.
	theirPath, ourPath := filepath.Join(dir, "theirs"), filepath.Join(dir, "ours")
	theirStats := output(t, reference, "--show-stats", "-l", "-d", fmt.Sprint(level), corePath, theirPath)
	args := []string{"makedumpfile", "--show-stats", "-d", fmt.Sprint(level), corePath, ourPath}
	if codec != "" {
		args = slices.Insert(args, 1, codec)
	}
	ourStats := output(t, ukdump(t), args...)

	theirs, ours := openDump(t, theirPath), openDump(t, ourPath)
	if ours.maxPFN != theirs.maxPFN {
		t.Fatalf("our dump ends at page frame %#x, makedumpfile's at %#x", ours.maxPFN, theirs.maxPFN)
	}
	compareBitmaps(t, k, "bitmap 1 (memory)", ours.ram, theirs.ram, ours.maxPFN)
	compareBitmaps(t, k, "bitmap 2 (kept)", ours.kept, theirs.kept, ours.maxPFN)
	if bytes.Equal(ours.kept, theirs.kept) {
		compareStats(t, ourStats, theirStats)
	}
	comparePages(t, openRawCore(t, corePath), ours)
}

// classCount is a line of --show-stats that counts the pages of a class.
var classCount = regexp.MustCompile(`(?m)^    ([A-Z][A-Za-z -]+[a-z]) +: (0x[0-9a-f]+)`)

// compareStats requires that we count what makedumpfile counts.
func compareStats(t *testing.T, ours, theirs string) {
	t.Helper()
	counts := map[string]string{}
	for _, match := range classCount.FindAllStringSubmatch(ours, -1) {
		counts[match[1]] = match[2]
	}
	want := classCount.FindAllStringSubmatch(theirs, -1)
	if len(want) < 7 {
		t.Fatalf("makedumpfile counts %d classes, want 7:\n%s", len(want), theirs)
	}
	for _, match := range want {
		if counts[match[1]] != match[2] {
			t.Errorf("%s: %s, want %s", match[1], or(counts[match[1]], "nothing"), match[2])
		}
	}
}

func compareBitmaps(t *testing.T, k Kernel, name string, ours, theirs []byte, maxPFN int) {
	t.Helper()
	if bytes.Equal(ours, theirs) {
		return
	}
	var differ []int
	for pfn := range maxPFN {
		if bit(ours, pfn) != bit(theirs, pfn) {
			differ = append(differ, pfn)
		}
	}
	if len(differ) == 0 {
		t.Fatalf("%s: bits are set behind the end", name)
	}
	explained := map[string]int{}
	unexplained := 0
	for i, page := range describePages(t, k, differ) {
		if why := explain(k, page, ours, theirs, differ[i]); why != "" {
			explained[why]++
			continue
		}
		if unexplained++; unexplained <= 40 {
			t.Errorf("%s: ours %t, makedumpfile's %t: %s", name, bit(ours, differ[i]), bit(theirs, differ[i]), page)
		}
	}
	for why, n := range explained {
		t.Logf("%s: %d page frames differ, because %s", name, n, why)
	}
	if unexplained > 0 {
		t.Errorf("%s: %d page frames differ without a reason known", name, unexplained)
	}
}

// describePages says what the crashed kernel knew of each page frame.
func describePages(t *testing.T, k Kernel, pfns []int) []string {
	t.Helper()
	cmd := exec.Command(needTool(t, "drgn", k.Suite), "-q", "-c", k.Core(), "-s", needVmlinux(t, k),
		filepath.Join(Build, "..", "vmtest", "pages.py"))
	var input strings.Builder
	for _, pfn := range pfns {
		fmt.Fprintln(&input, pfn)
	}
	cmd.Stdin = strings.NewReader(input.String())
	out, err := cmd.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(lines) != len(pfns) {
		t.Fatalf("%d page frames differ, first %#x, and drgn does not say what they are: %v\n%s", len(pfns), pfns[0], err, out)
	}
	return lines
}

var (
	since610 = regexp.MustCompile(`^(6\.1\d|[7-9])\.`)
	since71  = regexp.MustCompile(`^7\.[1-9]`)
	tailOf   = regexp.MustCompile(`tail of pfn (0x[0-9a-f]+)`)
)

// explain returns which known error of makedumpfile makes it differ from us in
// the page frame that drgn describes as page; "" if none does.
func explain(k Kernel, page string, ours, theirs []byte, pfn int) string {
	switch {
	case since610.MatchString(k.Release) && bit(theirs, pfn) && strings.Contains(page, "PG_waiters"):
		return "makedumpfile takes bit 7 for PG_slab, which is no flag since 6.10, and keeps the page"
	case since71.MatchString(k.Release) && bit(ours, pfn):
		// A tail page has its head's fate. makedumpfile 1.7.8 looks for
		// page.compound_head, which is called compound_info since 7.1.
		if match := tailOf.FindStringSubmatch(page); match != nil {
			head, err := strconv.ParseInt(match[1], 0, 64)
			if err == nil && bit(ours, int(head)) && bit(theirs, int(head)) {
				return "makedumpfile 1.7.8 does not recognise tail pages since 7.1, and drops those of kernel memory"
			}
		}
	}
	return ""
}

// comparePages holds every page of a dump against the core's.
func comparePages(t *testing.T, core *rawCore, dump *dumpFile) {
	t.Helper()
	pages, bad := 0, 0
	dump.eachPage(func(pfn int, page []byte, err error) {
		pages++
		if err == nil && !bytes.Equal(page, core.page(pfn)) {
			err = fmt.Errorf("not what the core has")
		}
		if err != nil {
			if bad++; bad <= 10 {
				t.Errorf("page frame %#x: %v", pfn, err)
			}
		}
	})
	if bad > 0 {
		t.Errorf("%d of %d pages are wrong", bad, pages)
	}
	if pages == 0 {
		t.Error("the dump has no pages")
	}
	t.Logf("%d pages compared", pages)
}
