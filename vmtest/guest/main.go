// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Guest is /sbin/init of the machines that the VM tests start. It does what
// GUEST_STEPS= on the kernel command line says (the kernel makes environment
// variables of words that it does not know), commands with semicolons between:
//
//	modprobe NAME...         load modules with what they need
//	mount TYPE DEVICE DIR    mount a file system
//	write FILE LINE|LINE...  write a text file
//	network LINK [ADDRESS/PREFIX [via GATEWAY] [dns SERVER] [valid SECONDS]]
//	                         set a link up, and give it an address
//	network LINK dhcp        the same, with what a DHCP server says
//	network LINK auto6       the same, with what an IPv6 router says
//	dial HOST:PORT           connect to a server, and say what it says first
//	vlan NAME ID LINK        make a link that is a VLAN on another one
//	bond NAME MODE LINK...   make a link that is a bond of others
//	bridge NAME LINK...      make a link that is a bridge between others
//	arm-raw                  arm the image /boot/raw.cpio, whose /init is this
//	                         program and copies /proc/vmcore as it is to the
//	                         second NVMe namespace
//	fill MIB                 fill about so much memory, so that every class of
//	                         page is there
//	balloon                  say "guest: inflate", and wait until the host has taken
//	                         memory away with the virtio balloon
//	crash                    panic, if a capture kernel is armed
//	exhaust                  take memory until the kernel panics
//	await TEXT               say a text, and wait for the host to act on it
//	insmod NAME PARAM...     load one module with parameters, in which @SYMBOL is
//	                         the address of a symbol of the kernel
//	copy FROM TO             copy a program
//	replace FILE OLD NEW     replace a text in a file
//	cut FILE BYTES           take that many bytes from the end of a file
//	load-unchecked IMAGE OPTION...
//	                         arm an image as kdumpctl load does, but even if it
//	                         is damaged, with more options for the capture kernel
//	tar DIR                  write the files in DIR as an archive to the second
//	                         NVMe namespace
//	/PROGRAM ARGUMENT...     run a program
//
// What it says goes to the kernel log with "guest: " in front. It powers the
// machine off after the last step, or after "guest: FAILED" at the first that
// fails.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/kmod/unpack"
	"golang.org/x/sys/unix"
)

func main() {
	playHook(filepath.Base(os.Args[0]))
	if len(os.Args) > 1 && os.Args[1] == "sleeper" {
		sleeper()
	}
	mountAll()
	run := runSteps
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

func runSteps() error {
	for line := range strings.SplitSeq(os.Getenv("GUEST_STEPS"), ";") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := step(words[0], words[1:]); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(words, " "), err)
		}
	}
	return nil
}

func step(name string, args []string) error {
	switch name {
	case "modprobe":
		return modprobe(args)
	case "mount":
		if err := os.MkdirAll(args[2], 0o755); err != nil {
			return err
		}
		return unix.Mount(args[1], args[2], args[0], 0, "")
	case "write":
		text := strings.ReplaceAll(strings.Join(args[1:], " "), "|", "\n") + "\n"
		return os.WriteFile(args[0], []byte(text), 0o600) // some are secrets
	case "network":
		return network(args[0], args[1:])
	case "dial":
		return dial(args[0])
	case "vlan", "bond", "bridge":
		return stack(name, args)
	case "arm-raw":
		return armRaw()
	case "fill":
		size, err := strconv.Atoi(args[0])
		fill(size)
		return err
	case "balloon":
		return awaitBalloon()
	case "crash":
		return crash()
	case "exhaust":
		return exhaust()
	case "await":
		return await(strings.Join(args, " "))
	case "insmod":
		return insmod(args[0], args[1:])
	case "copy":
		return copyFile(args[0], args[1])
	case "replace":
		return replaceIn(args[0], args[1], args[2])
	case "cut":
		return cut(args[0], args[1])
	case "load-unchecked":
		return loadUnchecked(args[0], args[1:])
	case "tar":
		return tarDir(args[0])
	}
	return runProgram(name, args)
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

// modprobe loads modules as udev and modprobe do on a machine that has them.
func modprobe(names []string) error {
	release, err := kernelRelease()
	if err != nil {
		return err
	}
	tree, err := kmod.OpenTree("/lib/modules/" + release)
	if err != nil {
		return err
	}
	modules, err := tree.Closure(names...)
	if err != nil {
		return err
	}
	for _, m := range modules {
		code, err := unpack.ReadModule(m.File)
		if err != nil {
			return err
		}
		if err := unix.InitModule(code, ""); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	return nil
}

func kernelRelease() (string, error) {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return "", err
	}
	return unix.ByteSliceToString(uts.Release[:]), nil
}

func runProgram(name string, args []string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	say("$ %s %s took %.2f s\n%s", name, strings.Join(args, " "), time.Since(began).Seconds(), out)
	return err
}

func crash() error {
	loaded, err := os.ReadFile("/sys/kernel/kexec_crash_loaded")
	if err != nil || strings.TrimSpace(string(loaded)) != "1" {
		return fmt.Errorf("/sys/kernel/kexec_crash_loaded is %q, %v", loaded, err)
	}
	if err := os.WriteFile("/proc/sys/kernel/sysrq", []byte("1"), 0); err != nil {
		return err
	}
	say("crash")
	return os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
}
