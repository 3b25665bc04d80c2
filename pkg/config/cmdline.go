// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"fmt"
	"slices"
	"strings"
)

// overridePrefix starts the options of the kernel command line that are meant
// for us.
const overridePrefix = "kdump."

// Override changes c to what the options "kdump.KEY=VALUE" of a kernel command
// line say, for example kdump.path=/crash (which is about all targets),
// kdump.ext4=UUID=… (which replaces all of them) or
// "kdump.core_collector=makedumpfile -d 17".
// As with the kernel's own options, double quotes hold a value with spaces
// together, and the last of several wins.
//
// An option that is wrong changes nothing and is returned as an error: at this
// point a dump by the rest of the configuration is better than none.
func (c *Config) Override(cmdline string, checks Checks) []error {
	var wrong []error
	for _, option := range splitCmdline(cmdline) {
		option, ours := strings.CutPrefix(option, overridePrefix)
		if !ours {
			continue
		}
		key, value, _ := strings.Cut(option, "=")
		if err := c.override(key, value, checks); err != nil {
			wrong = append(wrong, fmt.Errorf("kernel command line: %w", err))
		}
	}
	return wrong
}

// override changes c to what one option says, or not at all.
func (c *Config) override(key, value string, checks Checks) error {
	changed := *c
	changed.Targets = nil // so that what is about a target goes to Common
	if err := changed.set(key, value, checks); err != nil {
		return err
	}
	switch {
	case isTarget(key) && len(c.Targets) > 0:
		// What is about the first is about the new one.
		changed.Targets = []Target{c.Targets[0].at(changed.Targets[0].Kind, changed.Targets[0].Address)}
	case isTarget(key):
	case slices.Contains(aboutTargets(), key):
		for _, t := range c.Targets {
			one := Config{Targets: []Target{t}}
			_ = one.set(key, value, checks) // what it is not about it does not change
			changed.Targets = append(changed.Targets, one.Targets[0])
		}
	default:
		changed.Targets = c.Targets
	}
	*c = changed
	return nil
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
