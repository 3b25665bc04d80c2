// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/kexec"
)

// insmod loads a module without what it may need. In its parameters, @SYMBOL stands for the
// address of a symbol of the kernel, and @vmcoreinfo for that of the note of
// this name.
func insmod(name string, params []string) error {
	release, err := kernelRelease()
	if err != nil {
		return err
	}
	code, err := os.ReadFile("/lib/modules/" + release + "/" + name + ".ko")
	if err != nil {
		return err
	}
	symbols, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		return err
	}
	line := strings.Join(params, " ")
	for {
		before, after, found := strings.Cut(line, "@")
		if !found {
			break
		}
		symbol := after[:strings.IndexAny(after+" ", ":+>/ ")]
		address, err := addressOf(symbol, symbols)
		if err != nil {
			return err
		}
		line = before + address + after[len(symbol):]
	}
	say("insmod %s %s", name, line)
	return unix.InitModule(code, line)
}

// addressOf returns the address in hexadecimal, without 0x.
func addressOf(name string, symbols []byte) (string, error) {
	if name == "vmcoreinfo" {
		text, err := os.ReadFile("/sys/kernel/vmcoreinfo")
		address, _, _ := strings.Cut(strings.TrimPrefix(string(text), "0x"), " ")
		return address, err
	}
	for line := range bytes.Lines(symbols) {
		if fields := strings.Fields(string(line)); len(fields) == 3 && fields[2] == name {
			return fields[0], nil
		}
	}
	return "", fmt.Errorf("no symbol %s", name)
}

// replaceIn replaces the first occurrence of a text in a file. An uncompressed
// image is damaged in this way.
func replaceIn(file, old, with string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(old)) {
		return fmt.Errorf("%q is not in %s", old, file)
	}
	return os.WriteFile(file, bytes.Replace(data, []byte(old), []byte(with), 1), 0o600)
}

// cut takes bytes from the end of a file.
func cut(file, bytes string) error {
	n, err := strconv.ParseInt(bytes, 10, 64)
	if err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	return os.Truncate(file, info.Size()-n)
}

// loadUnchecked arms an image as kdumpctl does, even if it is damaged.
func loadUnchecked(image string, options []string) error {
	release, err := kernelRelease()
	if err != nil {
		return err
	}
	running, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	line := kexec.CommandLine{Running: string(running), Append: strings.Join(options, " "), Arch: runtime.GOARCH}
	return kexec.Load("/boot/vmlinuz-"+release, image, line.String())
}

// exhaust takes all memory. The kernel is to panic over that.
func exhaust() error {
	for {
		if err := anonymous(16*mib, unix.MADV_NOHUGEPAGE); err != nil {
			return err
		}
	}
}

// await says a text, for the host to do something about, and waits for the end.
func await(text string) error {
	say("%s", text)
	time.Sleep(time.Minute)
	return errors.New("nothing has happened")
}

// Names of this program as a hook of the capture run, whose parts they play.
const (
	hookSleeps = "hook-sleeps" // for ever
	hookFloods = "hook-floods" // with lines
	hookForks  = "hook-forks"  // and leaves a process behind
	hookAgain  = "hook-again"  // saves the dump once more
)

// playHook plays the part of a hook, if that is the program's name.
func playHook(name string) {
	switch name {
	case hookSleeps:
		stay()
	case hookFloods:
		for {
			fmt.Println("and another line")
		}
	case hookForks:
		if len(os.Args) > 1 && os.Args[1] == "stay" {
			stay()
		}
		child := exec.Command(os.Args[0], "stay")
		child.Dir = os.Getenv("UKDUMP_DIR") // which keeps the target busy
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.SysProcAttr = &unix.SysProcAttr{Setsid: true}
		if err := child.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	case hookAgain:
		if err := saveAgain(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// stay ends for no signal that can be ignored.
func stay() {
	signal.Ignore()
	for {
		time.Sleep(time.Hour)
	}
}

// copyFile copies a program.
func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}
