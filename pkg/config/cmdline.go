// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"fmt"
	"strings"
)

// overridePrefix starts the options of the kernel command line that are meant
// for us.
const overridePrefix = "kdump."

// Override changes c to what the options "kdump.KEY=VALUE" of a kernel command
// line say, for example kdump.path=/crash, kdump.ext4=UUID=… (which replaces
// the target, whatever its type) or "kdump.core_collector=makedumpfile -d 17".
// As with the kernel's own options, double quotes hold a value with spaces
// together, and the last of several wins.
//
// An option that is wrong changes nothing and is returned as an error: at this
// point a dump by the rest of the configuration is better than none.
func (c *Config) Override(cmdline string, check CollectorCheck) []error {
	var wrong []error
	for _, option := range splitCmdline(cmdline) {
		option, ours := strings.CutPrefix(option, overridePrefix)
		if !ours {
			continue
		}
		key, value, _ := strings.Cut(option, "=")
		changed := *c
		if err := changed.set(key, value, check); err != nil {
			wrong = append(wrong, fmt.Errorf("kernel command line: %w", err))
			continue
		}
		*c = changed
	}
	return wrong
}

// splitCmdline splits a kernel command line into its options, without their
// quotes. Like the kernel's next_arg (lib/cmdline.c) it takes a double quote
// anywhere as the start or end of a stretch in which spaces do not separate.
func splitCmdline(s string) []string {
	var options []string
	var option []byte
	begun, quoted := false, false
	for _, c := range []byte(s) {
		switch {
		case c == '"':
			quoted, begun = !quoted, true
		case quoted || c != ' ' && c != '\t' && c != '\n':
			option, begun = append(option, c), true
		case begun:
			options = append(options, string(option))
			option, begun = option[:0], false
		}
	}
	if begun {
		options = append(options, string(option))
	}
	return options
}
