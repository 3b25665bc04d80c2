// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	var onlyOurs, onlyTheirs []int
	for pfn := range maxPFN {
		switch a, b := bit(ours, pfn), bit(theirs, pfn); {
		case a && !b:
			onlyOurs = append(onlyOurs, pfn)
		case !a && b:
			onlyTheirs = append(onlyTheirs, pfn)
		}
	}
	t.Errorf("%s: %d page frames only in ours, %d only in makedumpfile's", name, len(onlyOurs), len(onlyTheirs))
	t.Logf("only in ours:\n%s", describePages(k, onlyOurs))
	t.Logf("only in makedumpfile's:\n%s", describePages(k, onlyTheirs))
}

// describePages says what the crashed kernel knew of some of the page frames,
// where drgn and debug information are at hand; else only their numbers.
func describePages(k Kernel, pfns []int) string {
	const most = 40
	args := []string{"-q", "-c", k.Core(), "-s", k.Vmlinux(), filepath.Join(Build, "..", "vmtest", "pages.py")}
	// From all over the list, because neighbours tend to be alike.
	for i := 0; i < len(pfns); i += max(1, len(pfns)/most) {
		args = append(args, fmt.Sprintf("%#x", pfns[i]))
	}
	out, err := exec.Command(filepath.Join(Build, "tools", "drgn-forky"), args...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v\n(%v)\n%s", args[6:], err, out)
	}
	return string(out)
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
