// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
)

// TestKeep saves three dumps, one after the other, to a file system on which two are
// to be left.
func TestKeep(t *testing.T) {
	image := newDisk(t, 64<<20, "mkfs.ext4", "-q", "-F")
	conf := "ext4 UUID=" + uuid(t, image) + "\npath /dumps\nkeep 1\n"
	core := tinyCore(t)
	var first string
	for i := range 3 {
		r, console := testRun(fakeMachine(t, core, conf))
		s := r.carryOutAll(initial(r.machine))
		if !s.dump.complete {
			t.Fatalf("run %d saved no dump:\n%s", i, console)
		}
		if removed := strings.Contains(console.String(), "keep: removed "+first); removed != (i > 0) {
			t.Errorf("run %d removed a dump: %v, want %v\n%s", i, removed, i > 0, console)
		}
		first = strings.TrimPrefix(s.dir.String(), "/dumps/")
		// There is one directory only, or files fails.
		if log := files(t, image, "dumps")["kdump.log"]; strings.Contains(string(log), "keep: removed ") != (i > 0) {
			t.Errorf("kdump.log of run %d: %s", i, log)
		}
	}
}

// TestMaxSize has dumps that are larger than they may be, on a disk and in a stream.
func TestMaxSize(t *testing.T) {
	image := newDisk(t, 128<<20, "mkfs.ext4", "-q", "-F")
	conf := "ext4 UUID=" + uuid(t, image) + "\npath /dumps\nmax_size 1M\ncore_collector makedumpfile -d 0\n"
	core := coretest.Kernel{Era: coretest.Linux6_1(), RAM: []mem.PhysRange{{Start: 32 << 20, End: 64 << 20}}}.Write(t)
	r, console := testRun(fakeMachine(t, core, conf))
	s := r.carryOutAll(initial(r.machine))
	if s.result() != "partial" || s.dump.complete {
		t.Errorf("result %s, want partial", s.result())
	}
	for _, want := range []string{"does not fit, trying dump level 31", "max_size is 1 MiB"} {
		if !strings.Contains(console.String(), want) {
			t.Errorf("the console does not have %q:\n%s", want, console)
		}
	}
	saved := files(t, image, "dumps")["vmcore-incomplete"]
	if len(saved) == 0 || len(saved) > 1<<20 {
		t.Errorf("vmcore-incomplete has %d bytes, want some, at most 1 MiB", len(saved))
	}

	var stream strings.Builder
	m := streamMeter{Writer: &stream, limits: &limits{moved: func() {}, most: 10}}
	n1, err1 := m.Write(make([]byte, 10))
	n2, err2 := m.Write(make([]byte, 1))
	if n1 != 10 || err1 != nil || n2 != 0 || err2 == nil || stream.Len() != 10 {
		t.Errorf("10 bytes: %d, %v; one more: %d, %v; want 10, nil; 0, an error", n1, err1, n2, err2)
	}
}
