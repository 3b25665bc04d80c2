// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"bytes"
	"strings"
	"testing"
)

// start runs the busybox as the kernel or a shell would.
func start(pid int, argv ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(argv, pid, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

// TestApplets checks the convention that every applet follows: it explains
// itself, however it is called, and says in one line what is wrong.
func TestApplets(t *testing.T) {
	_, list, _ := start(2, "ukdump", "-h")
	for _, a := range applets {
		if a.name == "kdumpinit" {
			continue // takes the machine down when it is done; its package tests it
		}
		if !strings.Contains(list, "\n  "+a.name+" ") || !strings.Contains(list, a.summary) {
			t.Errorf("ukdump -h = %q, want %s in it", list, a.name)
		}
		status, help, errs := start(2, "/usr/sbin/"+a.name, "-h")
		if status != 0 || len(help) < 100 || errs != "" {
			t.Errorf("%s -h = %d, %q, %q, want 0, an explanation, nothing", a.name, status, help, errs)
		}
		if _, same, _ := start(1, "ukdump", a.name, "--help"); same != help {
			t.Errorf("ukdump %s --help = %q, want the same as from %s -h: %q", a.name, same, a.name, help)
		}
		status, out, errs := start(2, a.name, "--no-such-option")
		if status != 1 || out != "" || !strings.HasPrefix(errs, a.name) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%s --no-such-option = %d, %q, %q, want 1, nothing, one line", a.name, status, out, errs)
		}
	}
}

func TestNoApplet(t *testing.T) {
	for _, tt := range []struct {
		argv        []string
		status      int
		out, errout string // beginnings; empty: nothing is printed
	}{
		{nil, 1, "", "usage: ukdump"},
		{[]string{"ukdump"}, 1, "", "usage: ukdump"},
		{[]string{"ukdump", "help"}, 0, "usage: ukdump", ""},
		{[]string{"anything", "--help"}, 0, "usage: ukdump", ""},
		{[]string{"ukdump", "--version"}, 0, "ukdump ", ""},
		{[]string{"ukdump", "kdumpclt"}, 1, "", `ukdump: unknown applet "kdumpclt"`},
		{[]string{"init"}, 1, "", "usage: ukdump"}, // not PID 1
	} {
		status, out, errout := start(2, tt.argv...)
		if status != tt.status || !begins(out, tt.out) || !begins(errout, tt.errout) {
			t.Errorf("%q = %d, %q, %q, want %d, %q…, %q…", tt.argv, status, out, errout, tt.status, tt.out, tt.errout)
		}
	}
}

// begins reports whether s starts with prefix; if that is empty, s must be, too.
func begins(s, prefix string) bool {
	return strings.HasPrefix(s, prefix) && (prefix != "" || s == "")
}
