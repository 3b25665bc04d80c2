// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// What a machine with 2 GiB has to spare for its dump.
const (
	smallReservation = "80M"
	mostImageMiB     = 4
	mostResidentMiB  = 24e6 / (1 << 20) // 24 MB
)

var (
	saidImage    = regexp.MustCompile(`img: ([0-9.]+) MiB as zstd`)
	saidResident = regexp.MustCompile(`ukdump: result=ok .* rss=([0-9.]+)`)
)

// TestSmall saves a dump of level 31 with little memory set aside for it.
func TestSmall(t *testing.T) {
	begin(t)
	ukdump(t)
	k := needKernel(t, "bookworm")
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk")
	if err := MakeDisk(disk, "ext4", "1G", mkfs["ext4"]...); err != nil {
		t.Fatal(err)
	}
	m := Machine{Kernel: k, Root: root, Virtio: []string{disk}, MemoryMiB: 2048, Crashkernel: smallReservation}
	m.Steps = slices.Concat(AttachVirtio("ext4"), []string{
		"write /etc/kdump.conf ext4 UUID=" + uuid + "|path /dumps|core_collector makedumpfile -z -d 31",
		kdumpctl + "build", kdumpctl + "load", "fill 768", "crash"})
	console, err := m.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the machine did not end by itself: %v", err)
	}
	atMost(t, console, "MiB in the image", saidImage, mostImageMiB)
	atMost(t, console, "MiB resident", saidResident, mostResidentMiB)
	start, started := console.Find("ukdump: start ")
	durable, saved := console.Find("ukdump: dmesg: done")
	if started && saved {
		t.Logf("the kernel log is on disk %.2f s after the start", (durable.At - start.At).Seconds())
	}

	files := t.TempDir()
	if err := readExt4(disk, files); err != nil {
		t.Fatalf("reading the target: %v", err)
	}
	dumps := filepath.Join(files, "dumps")
	checkSaved(t, k, console, dumps)
	// makedumpfile reads every page of the dump for another one.
	output(t, needTool(t, "makedumpfile", "forky"), "-l", "-d", "0",
		filepath.Join(onlyDump(t, dumps), "vmcore"), filepath.Join(t.TempDir(), "again"))
}

// atMost holds a figure that the machine says, the first group of said, against
// the most that it may be.
func atMost(t *testing.T, console *Console, what string, said *regexp.Regexp, most float64) {
	t.Helper()
	for _, line := range console.Lines {
		found := said.FindStringSubmatch(line.Text)
		if found == nil {
			continue
		}
		figure, err := strconv.ParseFloat(found[1], 64)
		if err != nil || figure > most {
			t.Errorf("%s %s (%v), want at most %.1f", found[1], what, err, most)
		}
		t.Logf("%s %s", found[1], what)
		return
	}
	t.Errorf("the machine does not say how many %s", what)
}
