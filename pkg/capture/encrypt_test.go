// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/vmcore"
)

// TestEncrypted has age open what a run leaves, none of which it must be possible
// to read without.
func TestEncrypted(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if out, err := exec.Command("age-keygen", "-o", key).CombinedOutput(); err != nil {
		t.Skipf("age-keygen: %v\n%s", err, out)
	}
	public, err := exec.Command("age-keygen", "-y", key).Output()
	if err != nil {
		t.Fatal(err)
	}
	image := newDisk(t, 64<<20, "mkfs.ext4", "-q", "-F")
	conf := "ext4 UUID=" + uuid(t, image) + "\npath /dumps\nencrypt " + string(public)
	r, console := testRun(fakeMachine(t, tinyCore(t), conf))
	s := r.carryOutAll(initial(r.machine))
	if !s.dump.complete {
		t.Fatalf("there is no dump:\n%s", console)
	}
	got := files(t, image, "dumps")
	for name := range got {
		if !strings.HasSuffix(name, ".age") {
			t.Errorf("%s is not encrypted", name)
		}
	}
	decrypt := func(name string) []byte {
		t.Helper()
		cmd := exec.Command("age", "-d", "-i", key)
		cmd.Stdin = bytes.NewReader(got[name])
		text, err := cmd.Output()
		if err != nil {
			t.Errorf("age -d %s: %v", name, err)
		}
		return text
	}
	if log := string(decrypt("kdump.log.age")); !strings.Contains(log, "dump: done") {
		t.Errorf("kdump.log has no word of the dump:\n%s", log)
	}
	flat := filepath.Join(t.TempDir(), "vmcore.flat")
	if err := os.WriteFile(flat, decrypt("vmcore.flat.age"), 0o600); err != nil {
		t.Fatal(err)
	}
	core, err := vmcore.Open(flat)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	page := make([]byte, 1)
	if err := core.ReadPhys(page, 5*4096); err != nil || page[0] != 5 {
		t.Errorf("page 5 begins with %v, %v, want 5", page, err)
	}
}
