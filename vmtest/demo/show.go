// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/vmtest"
)

// show prints what was saved in dir.
func show(console *vmtest.Console, dir string) error {
	dumps, err := filepath.Glob(filepath.Join(dir, "127.0.0.1-*"))
	if err != nil || len(dumps) != 1 {
		return fmt.Errorf("%d dumps were saved, want one (%v)", len(dumps), err)
	}
	title("What is on its disk")
	if err := list(dumps[0]); err != nil {
		return err
	}
	title("The end of the crashed kernel's log")
	if err := tail(filepath.Join(dumps[0], "vmcore-dmesg.txt")); err != nil {
		return err
	}
	title("The dump")
	return summary(console, dumps[0])
}

func list(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	fmt.Printf("  /var/crash/%s/\n", filepath.Base(dir))
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Printf("    %12d bytes  %s\n", info.Size(), entry.Name())
	}
	return nil
}

// tail prints the lines from a little before the panic on.
func tail(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	panicked := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, "Kernel panic") })
	for _, line := range lines[max(0, panicked-4):] {
		fmt.Printf("  %.110s\n", line)
	}
	return nil
}

// run is what ukdump said of the capture run on the console.
type run struct {
	ram, kept, zero                                    int // pages
	cache, privateCache, user, free, poisoned, offline int // pages that were left out
	dir                                                string
	level, bytes, unreadable                           int
	seconds, rss                                       float64
}

func parseRun(console *vmtest.Console) (run, error) {
	var r run
	found := 0
	for _, l := range console.Lines {
		_, line, _ := strings.Cut(l.Text, "ukdump: ")
		n, _ := fmt.Sscanf(line, "dump: %d of %d pages kept, %d of them zero", &r.kept, &r.ram, &r.zero)
		found += n
		n, _ = fmt.Sscanf(line, "dump: left out %d pages of cache, %d of private cache, %d of users, %d free, %d poisoned, %d offline",
			&r.cache, &r.privateCache, &r.user, &r.free, &r.poisoned, &r.offline)
		found += n
		n, _ = fmt.Sscanf(line, "result=ok dir=%s level=%d bytes=%d unreadable=%d seconds=%f rss=%f",
			&r.dir, &r.level, &r.bytes, &r.unreadable, &r.seconds, &r.rss)
		found += n
	}
	if found != 3+6+6 {
		return r, errors.New("the console does not tell of a dump")
	}
	return r, nil
}

func summary(console *vmtest.Console, dir string) error {
	r, err := parseRun(console)
	if err != nil {
		return err
	}
	core, err := vmcore.Open(filepath.Join(dir, "vmcore"))
	if err != nil {
		return err
	}
	defer core.Close()
	if core.Info == nil {
		return core.InfoErr
	}

	row := func(name, format string, args ...any) { fmt.Printf("  %-16s %s\n", name, fmt.Sprintf(format, args...)) }
	row("kernel", "Linux %s, %s", core.Info.OSRelease(), core.Machine())
	row("crashed", "%s", time.Unix(core.Info.CrashTime(), 0).UTC().Format("2006-01-02 15:04:05 UTC"))
	row("dump", "%.1f MiB of %.0f MiB of memory, %s, level %d", mib(r.bytes), mib(r.ram*4096), core.Format, r.level)
	fmt.Println()
	for _, class := range []struct {
		name  string
		pages int
		fate  string
	}{
		{"page cache", r.cache, "left out"},
		{"private cache", r.privateCache, "left out"},
		{"user data", r.user, "left out"},
		{"free", r.free, "left out"},
		{"poisoned", r.poisoned, "left out"},
		{"offline", r.offline, "left out"},
		{"zero", r.zero, "stored once"},
		{"kernel and rest", r.kept - r.zero, "dumped"},
	} {
		row(class.name, "%8d pages %8.1f MiB  %s", class.pages, mib(class.pages*4096), class.fate)
	}
	fmt.Println()
	if err := timing(console, r, row); err != nil {
		return err
	}
	fmt.Printf("\n  It is in %s\n\n", dir)
	return nil
}

// timing tells what the capture took.
func timing(console *vmtest.Console, r run, row func(name, format string, args ...any)) error {
	panicked, found := console.Find("Kernel panic - not syncing")
	image, imageFound := console.Find("unpacked")
	start, startFound := console.Find("ukdump: start ")
	if !found || !imageFound || !startFound {
		return errors.New("the console does not tell what the capture took")
	}
	var memory, available int
	_, said, _ := strings.Cut(start.Text, "memory=")
	if _, err := fmt.Sscanf(said, "%d available=%d", &memory, &available); err != nil {
		return fmt.Errorf("%q: %w", start.Text, err)
	}
	_, size, _ := strings.Cut(image.Text, ".img: ")
	row("panic to reboot", "%.1f s (in software emulation), %.1f s of them in ukdump", (console.Ended - panicked.At).Seconds(), r.seconds)
	row("capture image", "%s", strings.TrimSpace(size))
	row("capture memory", "%.1f MiB at the peak, of %d MiB that the capture kernel has", r.rss, memory)
	return nil
}

func mib(bytes int) float64 { return float64(bytes) / (1 << 20) }
