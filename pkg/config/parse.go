// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// maxSize bounds the text that Parse accepts, in bytes.
const maxSize = 1 << 20

// Parse reads the text of a kdump.conf. The file name is for messages, which
// look like
//
//	kdump.conf:7: unknown key "core_colector" (did you mean core_collector?)
//
// The first error ends it. Keys that are not there have their default values.
func Parse(file, text string, check CollectorCheck) (*Config, error) {
	file = filepath.Base(file)
	if len(text) > maxSize {
		return nil, fmt.Errorf("%s: %w", file, errTooLarge)
	}
	c := Default()
	firstLine := map[string]int{} // of each key; all targets count as one
	n := 0
	for line := range strings.Lines(text) {
		n++
		key, value := splitLine(line)
		if key == "" {
			continue
		}
		if err := c.set(key, value, check); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		what := fmt.Sprintf("%s is given", key)
		if isTarget(key) {
			key, what = "target", "a target is named"
		}
		if first := firstLine[key]; first != 0 {
			return nil, fmt.Errorf("%s:%d: %s a second time (the first is in line %d)", file, n, what, first)
		}
		firstLine[key] = n
	}
	return c, nil
}

// Salvage returns the default configuration with the target that the text names,
// if it does so by UUID= or LABEL=. It is for a text that is damaged: what else
// is in it may be wrong, but no device has such a name by chance.
func Salvage(text string) *Config {
	for line := range strings.Lines(text[:min(len(text), maxSize)]) {
		key, value := splitLine(line)
		named := strings.HasPrefix(value, "UUID=") || strings.HasPrefix(value, "LABEL=")
		c := Default()
		if named && isTarget(key) && c.set(key, value, nil) == nil {
			return c
		}
	}
	return Default()
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
	if c.Target.Device != "" {
		line(c.Target.Filesystem, c.Target.Device)
	}
	line("path", c.Dir)
	line("core_collector", strings.Join(c.CoreCollector, " "))
	line("final_action", string(c.FinalAction))
	line("failure_action", string(c.FailureAction))
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"deadline", c.Deadline},
		{"stall_timeout", c.StallTimeout},
		{"device_timeout", c.DeviceTimeout},
		{"shell_timeout", c.ShellTimeout},
	} {
		if d.value != 0 {
			line(d.key, d.value.String())
		}
	}
	return b.String()
}
