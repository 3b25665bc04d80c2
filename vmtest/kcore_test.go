// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestMemUsage asks running machines what their memory is used for, and holds
// the table against what the kernel itself says of its memory.
func TestMemUsage(t *testing.T) {
	begin(t)
	for _, suite := range suites() {
		t.Run(suite, func(t *testing.T) {
			k := needKernel(t, suite)
			ukdump(t)
			root, err := MakeRoot(k)
			if err != nil {
				t.Fatal(err)
			}
			m := Machine{Kernel: k, Root: root, MemoryMiB: 1024, Steps: []string{
				"fill 256",
				"write /proc/sysrq-trigger m", // show_mem()
				"/usr/sbin/ukdump makedumpfile --message-level 6 --mem-usage /proc/kcore",
			}}
			console, err := m.Run()
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for _, line := range console.Lines {
				text.WriteString(line.Text + "\n")
			}
			checkUsage(t, text.String())
		})
	}
}

func checkUsage(t *testing.T, console string) {
	t.Helper()
	pages := func(pattern string) int {
		found := regexp.MustCompile(pattern).FindStringSubmatch(console)
		if found == nil {
			t.Fatalf("no %s in the console:\n%s", pattern, console)
		}
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	total := 0
	for _, row := range []string{"ZERO", "NON_PRI_CACHE", "PRI_CACHE", "USER", "FREE", "KERN_DATA"} {
		total += pages(`\b` + row + `\t+(\d+) +\t(?:yes|no)\t`)
	}
	all := pages(`Total pages on system:\t(\d+)`)
	if damaged, _, found := strings.Cut(console, "struct pages are damaged"); found {
		t.Errorf("struct pages were read wrongly:%s", damaged[strings.LastIndex(damaged, "\n"):])
	}
	// Poisoned and offline pages have no row, and a machine of 1 GiB has set 256
	// MiB aside.
	if total > all || total < all-100 || all > 768<<8 || all < 700<<8 {
		t.Errorf("the rows sum up to %d of %d pages", total, all)
	}
	t.Logf("%d pages", all)
	for _, test := range []struct {
		row    string
		kernel int
	}{
		{"FREE", pages(`\bfree:(\d+) free_pcp`)},
		{"USER", pages(`\bactive_anon:(\d+)`) + pages(`\binactive_anon:(\d+)`)},
	} {
		got, want := pages(`\b`+test.row+`\t+(\d+) `), test.kernel
		// Between the two, the machine lived on.
		if diff := got - want; diff < -all/20 || diff > all/20 {
			t.Errorf("%s is %d pages, the kernel says %d", test.row, got, want)
		}
		t.Logf("%s is %d pages, the kernel says %d", test.row, got, want)
	}
}
