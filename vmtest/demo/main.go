// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Demo crashes a machine in QEMU, with ukdump armed as an administrator would
// arm it, and shows what was saved. "make demo" runs it.
//
//	demo SUITE     with the kernel of that Debian suite
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ukdump/ukdump/vmtest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo SUITE")
		os.Exit(1)
	}
	if err := demo(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

func demo(suite string) error {
	kernel, err := vmtest.FindKernel(suite)
	if err != nil {
		return err
	}
	dir := filepath.Join(vmtest.Build, "demo")
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	root, err := vmtest.MakeRoot(kernel)
	if err != nil {
		return err
	}
	disk := filepath.Join(dir, "disk.img")
	if err := vmtest.MakeDisk(disk, "ext4", "1G", "-q"); err != nil {
		return err
	}

	title("A machine with Linux %s boots, arms ukdump, and crashes", kernel.Release)
	machine := vmtest.Machine{
		Kernel: kernel, Root: root, Virtio: []string{disk}, Print: narrate,
		Steps: append(vmtest.AttachVirtio("ext4"),
			"mount ext4 /dev/vda /var/crash",
			"/usr/sbin/ukdump kdumpctl build",
			"/usr/sbin/ukdump kdumpctl load",
			"fill 768", "crash"),
	}
	console, err := machine.Run()
	if err != nil {
		for _, line := range console.Lines {
			fmt.Println(line.Text)
		}
		return err
	}
	saved := filepath.Join(dir, "disk")
	if err := os.MkdirAll(saved, 0o755); err != nil {
		return err
	}
	if err := vmtest.Extract(kernel, root, disk, "ext4", saved); err != nil {
		return err
	}
	return show(console, saved)
}

func title(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	fmt.Printf("\n── %s %s\n\n", text, strings.Repeat("─", max(0, 74-len(text))))
}

// narrate prints what the machine says, without the kernel's boot messages.
func narrate(line string) {
	for _, text := range []string{"guest: ", "ukdump: ", "Kernel panic", "reboot: Restarting"} {
		if _, after, found := strings.Cut(line, "] "); found && strings.Contains(after, text) {
			fmt.Printf("  %.110s\n", strings.TrimPrefix(after, "guest: "))
			return
		}
	}
}
