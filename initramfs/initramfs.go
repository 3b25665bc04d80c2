// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package initramfs has what goes into capture images, as plain text that can
// be read and changed without knowing Go: which drivers a generic image gets,
// which commands a rescue shell has, a configuration to start from. Next to
// them lies ukdump.service, which a distribution package installs to have the
// image armed at boot.
package initramfs

import (
	_ "embed" // for the texts
	"strings"
)

var (
	//go:embed modules
	modules string
	//go:embed modules-network
	networkModules string
	//go:embed rescue/commands
	rescueCommands string

	// SampleConfig is a commented kdump.conf.
	//
	//go:embed kdump.conf
	SampleConfig string
)

// GenericModules returns the names of the drivers for disks and watchdogs of
// machines of all kinds. Which of them exist depends on the kernel.
func GenericModules() []string { return named(modules) }

// GenericNetworkModules returns the names of the drivers for network cards of
// machines of all kinds.
func GenericNetworkModules() []string { return named(networkModules) }

// named returns the names in lines that each begin with a kind of machine.
func named(text string) (names []string) {
	for _, line := range lines(text) {
		names = append(names, strings.Fields(line)[1:]...)
	}
	return names
}

// RescueCommands returns the import paths of the commands in the rescue
// busybox. The last element of each is the command's name.
func RescueCommands() []string { return lines(rescueCommands) }

// lines returns the lines of text that are neither empty nor a comment.
func lines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines
}
