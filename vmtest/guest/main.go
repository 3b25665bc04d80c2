// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Guest is /sbin/init of the machine that the VM tests crash. It arms a capture
// kernel, fills memory so that every class of page is there, and panics.
//
// What it arms is chosen on the kernel command line (words with "=" that the
// kernel does not know become init's environment):
//
//	GUEST_ARM=ukdump   run the steps in /etc/arm, one command a line: the real
//	                   ukdump, as an administrator would
//	GUEST_ARM=raw      arm the image /boot/raw.cpio, whose /init is this program:
//	                   it copies /proc/vmcore as it is to the second NVMe
//	                   namespace, for tests that want an untouched core
//
// Everything it says goes to the kernel log with "guest: " in front. It ends in
// a panic, or, when something fails, in "guest: FAILED" and power off.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "sleeper" {
		sleeper()
	}
	mountAll()
	run := crash
	if _, err := os.Stat("/proc/vmcore"); err == nil {
		run = copyCore
	}
	if err := run(); err != nil {
		say("FAILED: %v", err)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

func mountAll() {
	for _, m := range []struct{ kind, dir string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"},
	} {
		_ = os.MkdirAll(m.dir, 0o755)
		// EBUSY: the kernel has mounted /dev already.
		if err := unix.Mount(m.kind, m.dir, m.kind, 0, ""); err != nil && err != unix.EBUSY {
			say("mount %s: %v", m.dir, err)
		}
	}
}

// say writes a line to the kernel log: there, lines keep their order with the
// kernel's own, and they are in the log that the dump is tested for.
func say(format string, args ...any) {
	kmsg, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer kmsg.Close()
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		fmt.Fprintf(kmsg, "<5>guest: %s\n", strings.TrimRight(line, "\n"))
	}
}

func crash() error {
	arm := armRaw
	if os.Getenv("GUEST_ARM") == "ukdump" {
		arm = armUkdump
	}
	if err := arm(); err != nil {
		return err
	}
	loaded, err := os.ReadFile("/sys/kernel/kexec_crash_loaded")
	if err != nil || strings.TrimSpace(string(loaded)) != "1" {
		return fmt.Errorf("/sys/kernel/kexec_crash_loaded is %q, %v", loaded, err)
	}
	fill()
	say("panic at %d", time.Now().Unix())
	if err := os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0); err != nil {
		return err
	}
	return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
}

// armUkdump runs the commands of /etc/arm.
func armUkdump() error {
	steps, err := os.ReadFile("/etc/arm")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(steps)) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
		out, err := cmd.CombinedOutput()
		say("$ %s\n%s", strings.Join(words, " "), out)
		if err != nil {
			return fmt.Errorf("%s: %w", strings.Join(words, " "), err)
		}
	}
	return nil
}
