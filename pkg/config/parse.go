// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxSize bounds the text that Parse accepts, in bytes.
const maxSize = 1 << 20

var errTooLarge = errors.New("larger than 1 MiB; this is no kdump.conf")

// Parse reads the text of a kdump.conf. The file name is for messages, which
// look like
//
//	kdump.conf:7: unknown key "core_colector" (did you mean core_collector?)
//
// The first error ends it. Keys that are not there have their default values.
func Parse(file, text string, checks Checks) (*Config, error) {
	file = filepath.Base(file)
	if len(text) > maxSize {
		return nil, fmt.Errorf("%s: %w", file, errTooLarge)
	}
	c := Default()
	firstLine := map[string]int{} // of each key; of those about a target, since its line
	n := 0
	for line := range strings.Lines(text) {
		n++
		key, value := splitLine(line)
		if key == "" {
			continue
		}
		targets, warnings := len(c.Targets), len(c.Warnings)
		if err := c.set(key, value, checks); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		for i := range c.Warnings[warnings:] {
			c.Warnings[warnings+i] = fmt.Sprintf("%s:%d: %s", file, n, c.Warnings[warnings+i])
		}
		if len(c.Targets) > targets {
			for _, about := range aboutTargets() {
				delete(firstLine, about)
			}
		}
		if isTarget(key) {
			continue
		}
		if key == "default" {
			key = "failure_action"
		}
		if first := firstLine[key]; first != 0 && key != "network" {
			return nil, fmt.Errorf("%s:%d: %s is given a second time (the first is in line %d)", file, n, key, first)
		}
		firstLine[key] = n
	}
	if len(c.Targets) > 0 {
		c.Common = Default().Common // the targets have it
	}
	return c, nil
}

// Salvage returns the default configuration with the disks that the text names by
// UUID= or LABEL=. It is for a text that is damaged: what else is in it may be
// wrong, but no device has such a name by chance. If it names none, any device will
// do that was prepared for dumps. What looks like a key to encrypt to is kept, even
// if it is damaged: then nothing can be saved, and nobody can read it.
func Salvage(text string) *Config {
	c := Default()
	text = text[:min(len(text), maxSize)]
	for line := range strings.Lines(text) {
		key, value := splitLine(line)
		named := strings.HasPrefix(value, "UUID=") || strings.HasPrefix(value, "LABEL=")
		if key == "machine" || named && (key == "raw" || slices.Contains(filesystems(), key)) {
			_ = c.set(key, value, Checks{}) // a wrong one changes nothing
		}
	}
	for word := range strings.FieldsSeq(text) {
		if strings.HasPrefix(word, "age1") {
			c.Encrypt = append(c.Encrypt, word)
		}
	}
	if len(c.Targets) == 0 {
		c.Targets = []Target{c.Common.at("raw", "TYPE=raw")}
	}
	return c
}

// splitLine returns the key and the value of a line; no key if there is none.
func splitLine(line string) (key, value string) {
	line, _, _ = strings.Cut(line, "#")
	line = strings.TrimSpace(line)
	end := strings.IndexAny(line, " \t")
	if end < 0 {
		return line, ""
	}
	key, value = line[:end], strings.TrimSpace(line[end:])
	if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
		value = value[1 : len(value)-1]
	}
	return key, value
}

// Text returns the configuration as the text of a kdump.conf that Parse reads
// back to the same values.
func (c *Config) Text() string {
	var b strings.Builder
	line := func(key, value string) {
		// What would be stripped in reading is protected.
		if value != strings.Trim(value, "\" \t") {
			value = `"` + value + `"`
		}
		fmt.Fprintf(&b, "%s %s\n", key, value)
	}
	about := func(t Target) {
		if t.Dir != "" {
			line("path", t.Dir)
		}
		for _, s := range settings() {
			if value := *s.value(&t); value != "" && (t.Kind == "" || slices.Contains(s.kinds, t.Kind)) {
				line(s.key, value)
			}
		}
		if t.Timeout != 0 {
			line("target_timeout", t.Timeout.String())
		}
		if t.MaxSize != 0 {
			line("max_size", strconv.FormatInt(t.MaxSize, 10))
		}
		if t.MaxRate != 0 {
			line("max_rate", strconv.FormatInt(t.MaxRate, 10))
		}
		if t.Keep != 0 {
			line("keep", strconv.Itoa(t.Keep))
		}
	}
	if len(c.Targets) == 0 {
		about(c.Common)
	}
	for _, t := range c.Targets {
		line(t.Kind, t.Address)
		about(t)
	}
	for _, value := range c.Network {
		line("network", value)
	}
	if c.Machine != "" {
		line("machine", c.Machine)
	}
	if len(c.Encrypt) > 0 {
		line("encrypt", strings.Join(c.Encrypt, " "))
	}
	line("core_collector", strings.Join(c.CoreCollector, " "))
	line("final_action", string(c.FinalAction))
	line("failure_action", string(c.FailureAction))
	for _, p := range c.programs() {
		if *p.value != "" {
			line(p.key, *p.value)
		}
	}
	for _, l := range c.lists() {
		if len(*l.value) > 0 {
			line(l.key, strings.Join(*l.value, " "))
		}
	}
	for _, d := range c.durations() {
		if *d.value != 0 {
			line(d.key, d.value.String())
		}
	}
	return b.String()
}
