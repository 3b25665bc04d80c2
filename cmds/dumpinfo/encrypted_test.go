// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dumpinfo

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestEncrypted(t *testing.T) {
	dir := t.TempDir()
	args := []string{"-o", filepath.Join(dir, "vmcore.flat.age")}
	for _, name := range []string{"one", "two"} {
		key := filepath.Join(dir, name)
		if out, err := exec.Command("age-keygen", "-o", key).CombinedOutput(); err != nil {
			t.Skipf("age-keygen: %v\n%s", err, out)
		}
		public, err := exec.Command("age-keygen", "-y", key).Output()
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "-r", strings.TrimSpace(string(public)))
	}
	if out, err := exec.Command("age", append(args, "/etc/passwd")...).CombinedOutput(); err != nil {
		t.Fatalf("age: %v\n%s", err, out)
	}
	var stdout, stderr strings.Builder
	status := Run(args[1:2], nil, &stdout, &stderr)
	for _, want := range []string{"encrypted with age, to 2 public keys", "age -d -i KEYFILE -o " + filepath.Join(dir, "vmcore.flat ")} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("dumpinfo says %q, want %q in it", &stderr, want)
		}
	}
	if status != 1 || stdout.Len() > 0 {
		t.Errorf("status %d, output %q, want 1 and none", status, &stdout)
	}
}
