// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// keys returns every key that is understood.
func keys() []string {
	var c Config
	keys := slices.Concat(targets(), aboutTargets(), []string{"network", "machine", "encrypt", "core_collector",
		"final_action", "failure_action"})
	for _, p := range c.programs() {
		keys = append(keys, p.key)
	}
	for _, l := range c.lists() {
		keys = append(keys, l.key)
	}
	for _, d := range c.durations() {
		keys = append(keys, d.key)
	}
	return slices.Concat(keys, inherited(), meaningless())
}

// program, list and duration are keys with values of one form each.
type (
	program struct {
		key   string
		value *string
	}
	list struct {
		key   string
		value *[]string
	}
	duration struct {
		key   string
		value *time.Duration
	}
)

func (c *Config) programs() []program {
	return []program{{"kdump_pre", &c.Pre}, {"kdump_post", &c.Post}, {"kdump_emergency", &c.Emergency}}
}

func (c *Config) lists() []list {
	return []list{
		{"extra_bins", &c.ExtraBins},
		{"extra_modules", &c.ExtraModules},
		{"fence_kdump_nodes", &c.FenceNodes},
		{"fence_kdump_args", &c.FenceArgs},
	}
}

func (c *Config) durations() []duration {
	return []duration{
		{"deadline", &c.Deadline},
		{"stall_timeout", &c.StallTimeout},
		{"device_timeout", &c.DeviceTimeout},
		{"hook_timeout", &c.HookTimeout},
		{"shell_timeout", &c.ShellTimeout},
	}
}

// aboutTargets returns the keys that are about a target.
func aboutTargets() []string {
	return append([]string{"path", "target_timeout", "max_size", "max_rate", "keep"}, settingKeys()...)
}

// filesystems returns the types of file system that a dump can go to.
func filesystems() []string { return []string{"ext4", "ext3", "ext2", "xfs", "btrfs", "vfat", "minix"} }

// targets returns the keys that name a target.
func targets() []string {
	return append(filesystems(), "raw", "virtiofs", "9p", "nfs", "ssh", "http", "s3")
}

func isTarget(key string) bool { return slices.Contains(targets(), key) }

// current returns the target that a line is about.
func (c *Config) current() *Target {
	if n := len(c.Targets); n > 0 {
		return &c.Targets[n-1]
	}
	return &c.Common
}

// set changes c to what one line of the file says.
func (c *Config) set(key, value string, checks Checks) (err error) {
	if err := known(key); err != nil {
		return err
	}
	if strings.TrimSpace(value) == "" {
		return fmt.Errorf("%s has no value", key)
	}
	if strings.ContainsFunc(value, unicode.IsControl) {
		return fmt.Errorf("%s has control characters in its value %.60q", key, value)
	}
	switch {
	case isTarget(key):
		err = c.addTarget(key, value, checks)
	case key == "sshkey" && !c.current().takes(key):
		c.warn("sshkey means nothing for %s", c.current().Kind) // kdump-utils accepts it, too
	case slices.Contains(aboutTargets(), key):
		err = c.current().setAbout(key, value, checks)
	case slices.Contains(inherited(), key):
		err = c.setInherited(key, value, checks)
	case slices.Contains(meaningless(), key):
		c.warn("%s means nothing here", key)
	default:
		err = c.setOwn(key, value, checks)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// warn notes that something is not quite what it may be taken for.
func (c *Config) warn(format string, args ...any) {
	c.Warnings = append(slices.Clip(c.Warnings), fmt.Sprintf(format, args...))
}

// addTarget adds the target that a line names.
func (c *Config) addTarget(kind, address string, checks Checks) error {
	if err := checkAddress(kind, address, checks.Target); err != nil {
		return err
	}
	c.Targets = append(c.Targets, c.Common.at(kind, address))
	return nil
}

// setAbout changes t to what a line about targets says.
func (t *Target) setAbout(key, value string, checks Checks) (err error) {
	switch key {
	case "path":
		return t.setDir(value)
	case "target_timeout":
		t.Timeout, err = parseDuration(value)
		return err
	case "max_size":
		t.MaxSize, err = parseSize(value)
		return err
	case "max_rate":
		t.MaxRate, err = parseSize(value)
		return err
	case "keep":
		return t.setKeep(value)
	}
	return t.setSetting(key, value, checks.File)
}

// setOwn changes c to what a line says that is not about targets.
func (c *Config) setOwn(key, value string, checks Checks) (err error) {
	switch key {
	case "network":
		if checks.Network != nil {
			err = checks.Network(value)
		}
		c.Network = append(slices.Clip(c.Network), value)
	case "machine":
		c.Machine, err = parseMachine(value)
	case "encrypt":
		c.Encrypt, err = parseRecipients(value, checks.Recipient)
	case "core_collector":
		c.CoreCollector, err = c.parseCollector(value, checks.Collector)
	case "final_action":
		c.FinalAction, err = parseAction(value, Reboot, Halt, PowerOff)
	case "failure_action":
		c.FailureAction, err = parseAction(value, Reboot, Halt, PowerOff, Shell, DumpToRootfs)
	}
	for _, p := range c.programs() {
		if p.key == key {
			*p.value, err = parseProgram(value, checks.Program)
		}
	}
	words := strings.Fields(value)
	if key == "extra_modules" {
		words = slices.Concat(c.ExtraModules, words) // dracut_args may have named some
	}
	for _, l := range c.lists() {
		if l.key == key {
			*l.value = words
		}
	}
	for _, d := range c.durations() {
		if d.key == key {
			*d.value, err = parseDuration(value)
		}
	}
	switch {
	case key == "extra_bins" && checks.Program != nil:
		for _, word := range words {
			err = errors.Join(err, checks.Program(word))
		}
	case key == "fence_kdump_args" && checks.Fence != nil:
		err = checks.Fence(words)
	}
	return err
}

// at returns the target of that kind and address, of which is said what is said
// about t, as far as it is about targets of that kind.
func (t Target) at(kind, address string) Target {
	t.Kind, t.Address = kind, address
	if t.Ordered() {
		t.Dir = ""
	}
	if !t.Keeps() {
		t.Keep = 0
	}
	for _, s := range settings() {
		if !slices.Contains(s.kinds, kind) {
			*s.value(&t) = ""
		}
	}
	return t
}
