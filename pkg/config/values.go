// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checkAddress checks what a target's line names.
func checkAddress(kind, value string, check func(kind, address string) error) error {
	switch t := (Target{Kind: kind}); {
	case kind == "minix" && strings.Contains(value, "="):
		return fmt.Errorf("%.60q: minix has neither UUID nor label; give the path of the device", value)
	case t.OnDevice():
		return checkDevice(value)
	case t.Shared():
		if strings.ContainsAny(value, "/ \t") {
			return fmt.Errorf("%.60q is not the tag of a share, which has no slash or space", value)
		}
	case check != nil:
		return check(kind, value)
	}
	return nil
}

func (t *Target) setDir(value string) (err error) {
	if t.Ordered() {
		return fmt.Errorf("the path of a target by %s is part of its address", t.Kind)
	}
	t.Dir, err = parseDir(value)
	return err
}

func parseDir(value string) (string, error) {
	if !path.IsAbs(value) {
		return "", fmt.Errorf("%.60q is not an absolute path", value)
	}
	if slices.Contains(strings.Split(value, "/"), "..") {
		return "", fmt.Errorf("%.60q has .. in it", value)
	}
	return path.Clean(value), nil
}

// parseProgram accepts the path of a program.
func parseProgram(value string, check func(name string) error) (string, error) {
	if !path.IsAbs(value) || value != path.Clean(value) {
		return "", fmt.Errorf("%.60q is not the absolute path of a program, without arguments", value)
	}
	if check != nil {
		return value, check(value)
	}
	return value, nil
}

// parseCollector returns the command line of a core collector. As in kdump-utils,
// that may be a program that copies files, and whether -F is needed is the target's
// to decide.
func (c *Config) parseCollector(value string, check func(args []string) error) ([]string, error) {
	args := strings.Fields(value)
	switch args[0] = path.Base(args[0]); args[0] {
	case "cp", "scp", "cat", "dd":
		args = []string{"makedumpfile", "-E", "-d", "0"}
		c.warn("core_collector: %.60q is taken for %q, which saves all of memory", value, strings.Join(args, " "))
	}
	args = slices.DeleteFunc(args, func(arg string) bool { return arg == "-F" })
	if check != nil {
		if err := check(args); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// parseMachine accepts what can be part of a file's name anywhere.
func parseMachine(value string) (string, error) {
	const maxMachine = 63
	wrong := func(r rune) bool {
		return !strings.ContainsRune("-._abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", r)
	}
	if len(value) > maxMachine || strings.ContainsFunc(value, wrong) || value[0] == '.' || value[0] == '-' {
		return "", fmt.Errorf("%.80q is not a name of up to %d letters, digits, hyphens, dots and underscores", value, maxMachine)
	}
	return value, nil
}

func parseRecipients(value string, check func(key string) error) ([]string, error) {
	keys := strings.Fields(value)
	for _, key := range keys {
		if check == nil {
			continue
		}
		if err := check(key); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func parseAction(value string, allowed ...Action) (Action, error) {
	if slices.Contains(allowed, Action(value)) {
		return Action(value), nil
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	return "", fmt.Errorf("%.60q is none of %s", value, strings.Join(names, ", "))
}

func parseDuration(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if seconds, notPlain := strconv.ParseUint(value, 10, 32); notPlain == nil {
		d, err = time.Duration(seconds)*time.Second, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%.60q is not a duration such as 90s, 15m or 1h30m", value)
	}
	if d < time.Second || d > 24*time.Hour {
		return 0, fmt.Errorf("%.60q is not between 1s and 24h", value)
	}
	return d, nil
}

// parseSize reads a number of bytes, which may have a unit.
func parseSize(value string) (int64, error) {
	number, shift := value, 0
	if i := strings.IndexByte("KMGT", value[len(value)-1]); i >= 0 {
		number, shift = value[:len(value)-1], 10*(i+1)
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n<<shift>>shift != n {
		return 0, fmt.Errorf("%.60q is not a size such as 500M, 20G or 1T", value)
	}
	if n<<shift < 1<<20 {
		return 0, fmt.Errorf("%.60q is less than 1M", value)
	}
	return n << shift, nil
}

// setKeep says how many dumps are left on the target.
func (t *Target) setKeep(value string) (err error) {
	const most = 1000
	if t.Kind != "" && !t.Keeps() {
		return fmt.Errorf("it is not about %s, but about %s, virtiofs, 9p, nfs", t.Kind, strings.Join(filesystems(), ", "))
	}
	if t.Keep, err = strconv.Atoi(value); err != nil || t.Keep < 1 || t.Keep > most {
		return fmt.Errorf("%.60q is not a number of dumps from 1 to %d", value, most)
	}
	return nil
}

// checkDevice accepts the ways to name a block device that work without udev.
func checkDevice(value string) error {
	kind, name, tagged := strings.Cut(value, "=")
	switch {
	case !tagged && strings.HasPrefix(value, "/dev/") && value == path.Clean(value):
		return nil
	case !tagged:
		return fmt.Errorf("%.60q is neither UUID=…, LABEL=… nor a path below /dev", value)
	case kind != "UUID" && kind != "LABEL":
		return fmt.Errorf("%.60q: a device cannot be found by %s; use UUID= or LABEL=, which blkid prints", value, kind)
	case name == "":
		return fmt.Errorf("%s= names no device", kind)
	}
	if i := strings.IndexFunc(name, notInUUID); kind == "UUID" && i >= 0 {
		return fmt.Errorf("%.60q: %q does not occur in UUIDs", value, name[i])
	}
	return nil
}

func notInUUID(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF-", r) }
