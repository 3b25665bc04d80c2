// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package collector

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/compress"
)

func TestParseCommand(t *testing.T) {
	type want struct {
		codec  compress.Codec
		levels []int
		files  []string
		check  func(c *Command) bool // what else is to be true
	}
	core := []string{"core", "out"}
	for _, test := range []struct {
		args string
		want want
	}{
		{"", want{}},
		{"core out", want{files: core}},
		{"-c -d 31 core out", want{compress.Zlib, []int{31}, core, nil}},
		{"-zd31 core out", want{compress.Zstd, []int{31}, core, nil}},
		{"-pd 1 core out", want{compress.Snappy, []int{1}, core, nil}},
		{"-d31 -z core out", want{compress.Zstd, []int{31}, core, nil}},
		{"-d 1,16,31 core out", want{levels: []int{1, 16, 31}, files: core}},
		{"-d 0 core out", want{levels: []int{0}, files: core}},
		{"-d 3 -d 5 core out", want{levels: []int{5}, files: core}},
		{"core -c out -d 31", want{compress.Zlib, []int{31}, core, nil}},
		{"-c -p core out", want{codec: compress.Snappy, files: core}},
		{"-c -- -d out", want{codec: compress.Zlib, files: []string{"-d", "out"}}},
		{"- -", want{files: []string{"-", "-"}}},
		{"-fD core out", want{files: core, check: func(c *Command) bool { return c.Force && c.Debug }}},
		{"-h", want{check: func(c *Command) bool { return c.Help }}},
		{"--help", want{check: func(c *Command) bool { return c.Help }}},
		{"-v", want{check: func(c *Command) bool { return c.Version }}},
		{"--num-threads 3 core out", want{files: core, check: func(c *Command) bool { return c.Threads == 3 }}},
		{"--num-threads=3 core out", want{files: core, check: func(c *Command) bool { return c.Threads == 3 }}},
		{"--num 3 core out", want{files: core, check: func(c *Command) bool { return c.Threads == 3 }}},
		{"--message-level=31 core out", want{files: core, check: func(c *Command) bool { return c.MessageLevel == 31 }}},
		{"core out", want{files: core, check: func(c *Command) bool { return c.MessageLevel == 7 }}},
		{"--dump-dmesg --partial-dmesg core out", want{files: core, check: func(c *Command) bool { return c.DumpDmesg && c.PartialDmesg }}},
		{"--dry-run core", want{files: core[:1], check: func(c *Command) bool { return c.DryRun }}},
		{"--check-params --show-stats --json --non-mmap core out", want{files: core, check: func(c *Command) bool {
			return c.CheckParams && c.ShowStats && c.JSON && c.NoMmap
		}}},
		{"-b 3 --cyclic-buffer=1024 --work-dir /tmp core out", want{files: core, check: func(c *Command) bool {
			return slices.Equal(c.NoEffect, []string{"-b", "--cyclic-buffer", "--work-dir"})
		}}},
	} {
		c, err := ParseCommand(strings.Fields(test.args))
		if err != nil {
			t.Errorf("%q: %v", test.args, err)
			continue
		}
		got := fmt.Sprint(c.Codec, c.Levels, c.Files)
		if want := fmt.Sprint(test.want.codec, test.want.levels, test.want.files); got != want {
			t.Errorf("%q: codec, levels, files = %s, want %s", test.args, got, want)
		}
		if test.want.check != nil && !test.want.check(c) {
			t.Errorf("%q: got %+v", test.args, c)
		}
	}
}

func TestParseCommandBad(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-q core out", "-q"},
		{"-cq core out", "-q"},
		{"--nonsense core out", "--nonsense"},
		{"--= core out", "--"},
		{"--m 3 core out", "--message-level"}, // or --mem-usage
		{"--dry-run=yes core out", "--dry-run"},
		{"-d", "-d"},
		{"-cd", "-d"},
		{"--message-level", "--message-level"},
		{"-d 32 core out", `"32"`},
		{"-d -1 core out", `"-1"`},
		{"-d x core out", `"x"`},
		{"-d= core out", `"="`},
		{"-d 31, core out", `""`},
		{"-d ,31 core out", `""`},
		{"-d 1,33 core out", `"33"`},
		{"-d 0x1f core out", `"0x1f"`},
		{"-d 99999999999999999999 core out", "99999999999999999999"},
		{"--message-level 32 core out", "--message-level"},
		{"--message-level= core out", "--message-level"},
		{"--num-threads -1 core out", "--num-threads"},
		{"--num-threads 1000000 core out", "--num-threads"},
	} {
		_, err := ParseCommand(strings.Fields(test.args))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want an error that names %s", test.args, err, test.want)
		}
	}
}

// TestRefused gives every option that is not there: each is refused by its name,
// with the reason.
func TestRefused(t *testing.T) {
	for _, o := range options {
		if o.refused == "" {
			continue
		}
		_, err := ParseCommand([]string{o.String(), "1", "core", "out"})
		if err == nil || !strings.Contains(err.Error(), o.String()) || !strings.Contains(err.Error(), o.refused) {
			t.Errorf("%v: %v, want an error that names the option and says %q", &o, err, o.refused)
		}
	}
}

// TestOptionNames finds options that are there twice.
func TestOptionNames(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range options {
		for _, name := range []string{string(rune(o.short)), o.long} {
			if name != "" && name != "\x00" && seen[name] {
				t.Errorf("option %q is there twice", name)
			}
			seen[name] = true
		}
		if (o.set == nil) == (o.refused == "") {
			t.Errorf("option %v must either be set or be refused", &o)
		}
	}
}

func TestParseArgs(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"makedumpfile -c -d 31", ""},
		{"makedumpfile -zd31 --num-threads=2 --message-level 31", ""},
		{"", "no core collector"},
		{"cp", `"cp"`},
		{"/usr/sbin/makedumpfile -c", "/usr/sbin/makedumpfile"},
		{"makedumpfile -d 99", `"99"`},
		{"makedumpfile -c /proc/vmcore", "/proc/vmcore"},
		{"makedumpfile -h", "no place"},
		{"makedumpfile --dry-run", "no place"},
		{"makedumpfile --dump-dmesg", "no place"},
		{"makedumpfile -X", "-X"},
	} {
		_, err := ParseArgs(strings.Fields(test.args))
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%q: %v", test.args, err)
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%q: %v, want an error with %s", test.args, err, test.want)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	for _, args := range []string{
		"-zd31 core out", "--message-level=31 --num 3 core", "-d 1,2,3 -- -c", "-X", "--dry-run=x", "--", "-", "--=",
	} {
		f.Add(args)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		c, err := ParseCommand(args)
		if err != nil {
			return
		}
		if len(c.Files) > len(args) {
			t.Errorf("%q: %d files", args, len(c.Files))
		}
		for _, level := range c.Levels {
			if level < 0 || level > 31 {
				t.Errorf("%q: level %d", args, level)
			}
		}
		if c.Threads < 0 || c.Threads > maxThreads || c.MessageLevel < 0 || c.MessageLevel > 31 {
			t.Errorf("%q: %d threads, message level %d", args, c.Threads, c.MessageLevel)
		}
	})
}
