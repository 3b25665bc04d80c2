// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Ukdump is the crash-dump userland for Linux in one static binary: a busybox
// whose applets are the packages beside this one. It runs an applet as
//
//	ukdump APPLET [ARGUMENT...]
//
// or through a link of the applet's name, and as PID 1 of a capture kernel,
// where the kernel starts it as /init, it is kdumpinit.
//
// The plain build has every applet and is for the host. The builds with the tag
// "image" have only what a capture kernel needs; kdumpctl packs the smallest that
// serves as /init, and the machine keeps every byte of it in memory: with that tag
// alone dumps go to disks, with "network" also over the network and encrypted, and
// with "s3" also to object storage. The tables of applets are in applets_host.go
// and applets_image.go.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
)

// applet is one command of the busybox.
type applet struct {
	name    string
	summary string // what it does, in half a line
	// run gets the arguments that follow the applet's name and returns the
	// exit status.
	run func(args []string, stdin io.Reader, stdout, stderr io.Writer) int
}

// version is set by the linker (-X main.version=…) in release builds.
var version string

func main() {
	os.Exit(run(os.Args, os.Getpid(), os.Stdin, os.Stdout, os.Stderr))
}

// run starts the applet that argv, which includes the program's name, asks for.
func run(argv []string, pid int, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(argv) == 0 {
		argv = []string{"ukdump"}
	}
	name, args := filepath.Base(argv[0]), argv[1:]
	if pid == 1 && name == "init" {
		// The kernel hands us those of its own options that it does not know.
		name, args = "kdumpinit", nil
	}
	if a := find(name); a != nil {
		return a.run(args, stdin, stdout, stderr)
	}
	if len(args) == 0 {
		usage(stderr)
		return 1
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		usage(stdout)
		return 0
	case "-V", "-version", "--version", "version":
		fmt.Fprintln(stdout, "ukdump", buildVersion())
		return 0
	}
	if a := find(args[0]); a != nil {
		return a.run(args[1:], stdin, stdout, stderr)
	}
	fmt.Fprintf(stderr, "ukdump: unknown applet %q (ukdump -h lists them)\n", args[0])
	return 1
}

// find returns the applet of that name, or nil.
func find(name string) *applet {
	for i := range applets {
		if applets[i].name == name {
			return &applets[i]
		}
	}
	return nil
}

func usage(w io.Writer) {
	var b strings.Builder
	b.WriteString("usage: ukdump APPLET [ARGUMENT...], or a link of the applet's name\n\n")
	for _, a := range applets {
		fmt.Fprintf(&b, "  %-13s %s\n", a.name, a.summary)
	}
	b.WriteString("\nukdump APPLET -h explains an applet; ukdump --version names the build.\n")
	io.WriteString(w, b.String())
}

// buildVersion names the build: what the linker was told, else the version of
// the module that `go install MODULE@VERSION` records.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
