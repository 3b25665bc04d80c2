// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// inherited returns keys of kdump-utils for which there are others here.
func inherited() []string { return []string{"default", "dracut_args"} }

// meaningless returns keys of kdump-utils that are about how it works and mean
// nothing here.
func meaningless() []string {
	return []string{"force_rebuild", "force_no_rebuild", "auto_reset_crashkernel"}
}

func (c *Config) setInherited(key, value string, checks Checks) error {
	if key == "default" {
		c.warn("default is the old name of failure_action")
		return c.setOwn("failure_action", value, checks)
	}
	words, err := splitQuoted(value)
	if err != nil {
		return err
	}
	return c.setDracut(words, checks)
}

// setDracut takes from the options of dracut what is about the dump: a target, as
// in
//
//	--mount "UUID=1b3ac4c0-… /kdumproot ext4 defaults"
//
// and more drivers.
func (c *Config) setDracut(words []string, checks Checks) error {
	var other []string
	for len(words) > 0 {
		option, value, joined := strings.Cut(words[0], "=")
		words = words[1:]
		if !joined && len(words) > 0 && !strings.HasPrefix(words[0], "-") {
			value, words = words[0], words[1:]
		}
		switch option {
		case "--mount":
			if err := c.setMount(value, checks); err != nil {
				return fmt.Errorf("--mount: %w", err)
			}
		case "--add-drivers", "--force-drivers":
			c.ExtraModules = append(slices.Clip(c.ExtraModules), strings.Fields(value)...)
		default:
			other = append(other, option)
		}
	}
	if len(other) > 0 {
		c.warn("dracut_args: dracut does not build this image, %.200q means nothing here", strings.Join(other, " "))
	}
	return nil
}

// setMount adds a target that is given as in fstab(5).
func (c *Config) setMount(line string, checks Checks) error {
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return fmt.Errorf("%.60q is not like \"UUID=1b3ac4c0-… /mnt ext4 defaults\"", line)
	}
	device, kind := fields[0], fields[2]
	if kind == "nfs4" {
		kind = "nfs"
	}
	if !isTarget(kind) {
		return fmt.Errorf("%.40q is none of the file systems that dumps go to: %s", kind, strings.Join(filesystems(), ", "))
	}
	return c.addTarget(kind, device, checks)
}

// splitQuoted splits s at spaces, but for those between quotes.
func splitQuoted(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	begun, quote := false, byte(0)
	for _, b := range []byte(s) {
		switch {
		case quote != 0 && b == quote:
			quote = 0
		case quote == 0 && (b == '"' || b == '\''):
			quote, begun = b, true
		case quote == 0 && (b == ' ' || b == '\t'):
			if begun {
				words = append(words, word.String())
				word.Reset()
			}
			begun = false
		default:
			word.WriteByte(b)
			begun = true
		}
	}
	if begun {
		words = append(words, word.String())
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	return words, nil
}
