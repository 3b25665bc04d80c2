// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// levels are the dump levels that are compared, each with one of the codecs.
// UKDUMP_TEST_LEVELS=all compares all of them.
func levels() map[int]string {
	levels := map[int]string{0: "", 1: "-c", 2: "-z", 4: "-p", 8: "-c", 16: "-z", 31: "-c"}
	if os.Getenv("UKDUMP_TEST_LEVELS") == "all" {
		for level := range 32 {
			levels[level] = "-p"
		}
	}
	return levels
}

// TestLikeMakedumpfile compares our dumps of an untouched core with
// makedumpfile's, bit by bit of both bitmaps, and every page of ours with the
// core's.
func TestLikeMakedumpfile(t *testing.T) {
	begin(t)
	for _, suite := range suites() {
		for level := range 32 {
			codec, wanted := levels()[level]
			if !wanted {
				continue
			}
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
	output(t, reference, "-l", "-d", fmt.Sprint(level), corePath, theirPath)
	args := []string{"makedumpfile", "-d", fmt.Sprint(level), corePath, ourPath}
	if codec != "" {
		args = append([]string{"makedumpfile", codec}, args[1:]...)
	}
	output(t, ukdump(t), args...)

	theirs, ours := openDump(t, theirPath), openDump(t, ourPath)
	if ours.maxPFN != theirs.maxPFN {
		t.Fatalf("our dump ends at page frame %#x, makedumpfile's at %#x", ours.maxPFN, theirs.maxPFN)
	}
	compareBitmaps(t, k, "bitmap 1 (memory)", ours.ram, theirs.ram, ours.maxPFN)
	compareBitmaps(t, k, "bitmap 2 (kept)", ours.kept, theirs.kept, ours.maxPFN)
	comparePages(t, openRawCore(t, corePath), ours)
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
