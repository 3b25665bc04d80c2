// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
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
func aboutTargets() []string { return append([]string{"path", "target_timeout"}, settingKeys()...) }

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
		err = c.current().setAbout(key, value)
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
func (t *Target) setAbout(key, value string) (err error) {
	switch key {
	case "path":
		return t.setDir(value)
	case "target_timeout":
		t.Timeout, err = parseDuration(value)
		return err
	}
	return t.setSetting(key, value)
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
			*p.value, err = parseProgram(value)
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
	if key == "fence_kdump_args" && checks.Fence != nil {
		err = checks.Fence(c.FenceArgs)
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
	for _, s := range settings() {
		if !slices.Contains(s.kinds, kind) {
			*s.value(&t) = ""
		}
	}
	return t
}

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
func parseProgram(value string) (string, error) {
	if !path.IsAbs(value) || value != path.Clean(value) {
		return "", fmt.Errorf("%.60q is not the absolute path of a program, without arguments", value)
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

// known refuses keys that are not understood, and says why if there is a
// reason.
func known(key string) error {
	if slices.Contains(keys(), key) {
		return nil
	}
	if reason := unsupported(key); reason != "" {
		return fmt.Errorf("key %q is not supported: %s", key, reason)
	}
	if near := nearest(key, keys()); near != "" {
		return fmt.Errorf("unknown key %q (did you mean %s?)", key, near)
	}
	return fmt.Errorf("unknown key %.60q", key)
}

// unsupported returns why a key that kdump-utils knows cannot be used here, or
// nothing.
func unsupported(key string) string {
	switch key {
	case "net", "options", "link_delay", "disk_timeout", "debug_mem_level", "blacklist":
		return "kdump-utils dropped it, too; remove the line"
	}
	return ""
}

// nearest returns the candidate that word is most likely a misspelling of, or
// nothing if none is near.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", 3 // at most two wrong letters
	for _, c := range candidates {
		// Short words are all near each other.
		if d := editDistance(word, c); d < bestDistance && d < (len(c)+1)/2 {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance returns how many letters must be inserted, deleted or replaced to
// make b of a (Levenshtein's distance). Words are cut at 32 bytes.
func editDistance(a, b string) int {
	a, b = a[:min(len(a), 32)], b[:min(len(b), 32)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}

var errTooLarge = errors.New("larger than 1 MiB; this is no kdump.conf")
