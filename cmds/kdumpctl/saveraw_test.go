// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/blockdev"
	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/raw"
)

// newRawDevice prepares a device of 64 MiB.
func newRawDevice(t *testing.T, slots string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(path, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	status, line, stderr := kdumpctl("format-raw", "--slots", slots, path)
	if status != exitOK {
		t.Fatalf("format-raw: %d\n%s", status, stderr)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	found, err := blockdev.Probe(f)
	if want := "raw UUID=" + found.UUID + "\n"; err != nil || found.Type != "raw" || line != want {
		t.Errorf("format-raw says %q, and on the device is %+v, %v, want %q", line, found, err, want)
	}
	return path
}

// dumpRaw has a machine save a dump to the device, as a capture run does; of the
// vmcore only half if it is not to be complete.
func dumpRaw(t *testing.T, device, machine, name string, complete bool) {
	t.Helper()
	s, err := raw.Open(t.Context(), raw.Options{Device: device, Owner: machine})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	dir, err := s.Make(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"vmcore-dmesg.txt", "vmcore"} {
		f, err := dir.Create(t.Context(), file, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(rawContents(machine, file)); err != nil {
			t.Fatal(err)
		}
		end := target.File.Commit
		if file == "vmcore" && !complete {
			end = target.File.Abort
		}
		if err := end(f); err != nil {
			t.Fatal(err)
		}
	}
}

func rawContents(machine, file string) []byte {
	return bytes.Repeat([]byte(machine+" "+file+"\n"), 100_000)
}

// wantTree checks the files below dir.
func wantTree(t *testing.T, dir string, want map[string][]byte) {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, "*/*"))
	if len(found) != len(want) {
		t.Errorf("there is %q, want %d files", found, len(want))
	}
	for name, data := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s has %d bytes, %v, want %d", name, len(got), err, len(data))
		}
	}
}

func TestSaveRaw(t *testing.T) {
	device := newRawDevice(t, "1")
	dumpRaw(t, device, "me", "first", true)
	dumpRaw(t, device, "me", "second", false)
	dmesg, vmcore := rawContents("me", "vmcore-dmesg.txt"), rawContents("me", "vmcore")

	status, stdout, stderr := kdumpctl("save-raw", "--list", device)
	for _, want := range []string{"slot 0: closed", "of me", "first/vmcore-dmesg.txt", "second/vmcore, 1.0 MiB, incomplete"} {
		if status != exitOK || !strings.Contains(stdout, want) {
			t.Errorf("save-raw --list: %d, without %q:\n%s%s", status, want, stdout, stderr)
		}
	}
	to := filepath.Join(t.TempDir(), "crash")
	for range 2 { // the second time, there is nothing
		if status, stdout, stderr := kdumpctl("save-raw", "--dir", to, device); status != exitOK {
			t.Fatalf("save-raw: %d\n%s%s", status, stdout, stderr)
		}
		wantTree(t, to, map[string][]byte{
			"first/vmcore-dmesg.txt": dmesg, "first/vmcore": vmcore,
			"second/vmcore-dmesg.txt": dmesg, "second/vmcore-incomplete": vmcore,
		})
	}
}

// TestSaveRawShared has each machine collect its own dumps, and one of them all.
func TestSaveRawShared(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for slots to be claimed")
	}
	device := newRawDevice(t, "3")
	for _, machine := range []string{"a", "b"} {
		dumpRaw(t, device, machine, "dump-of-"+machine, true)
	}
	to := t.TempDir()
	if err := saveRaw(rawSource{device, to}, "b", false, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"dump-of-b/vmcore": rawContents("b", "vmcore"), "dump-of-b/vmcore-dmesg.txt": rawContents("b", "vmcore-dmesg.txt")}
	wantTree(t, to, want)
	if status, _, stderr := kdumpctl("save-raw", "--all", "--dir", to, device); status != exitOK {
		t.Fatalf("save-raw --all: %d\n%s", status, stderr)
	}
	want["dump-of-a/vmcore"], want["dump-of-a/vmcore-dmesg.txt"] = rawContents("a", "vmcore"), rawContents("a", "vmcore-dmesg.txt")
	wantTree(t, to, want)
}

// TestSaveRawDamaged changes a byte on the device: what is there is copied, but not
// as complete.
func TestSaveRawDamaged(t *testing.T) {
	device := newRawDevice(t, "1")
	dumpRaw(t, device, "me", "dump", true)
	image, err := os.ReadFile(device)
	if err != nil {
		t.Fatal(err)
	}
	vmcore := rawContents("me", "vmcore")
	at := bytes.Index(image, vmcore[:900_000])
	if at < 0 {
		t.Fatal("the dump is not on the device")
	}
	image[at+12345] ^= 1
	vmcore[12345] ^= 1
	if err := os.WriteFile(device, image, 0o600); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	status, _, stderr := kdumpctl("save-raw", "--dir", to, device)
	if status != exitFailed || !strings.Contains(stderr, "dump/vmcore in slot 0") || !strings.Contains(stderr, "checksum") {
		t.Errorf("save-raw: %d, want 1 and a word about the checksum:\n%s", status, stderr)
	}
	wantTree(t, to, map[string][]byte{"dump/vmcore-dmesg.txt": rawContents("me", "vmcore-dmesg.txt"), "dump/vmcore-incomplete": vmcore})
	if status, _, stderr := kdumpctl("save-raw", "--dir", to, device); status != exitOK {
		t.Errorf("save-raw once more: %d, want 0, as nothing is left:\n%s", status, stderr)
	}
}

// TestSaveRawFull has no room for the copy: the dump stays where it is, and nothing
// is left of the copy.
func TestSaveRawFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	device := newRawDevice(t, "1")
	dumpRaw(t, device, "me", "dump", true)
	small := t.TempDir()
	if err := unix.Mount("small", small, "tmpfs", 0, "size=2500k"); err != nil {
		t.Skipf("mounting: %v", err)
	}
	defer unix.Unmount(small, 0)
	if status, _, stderr := kdumpctl("save-raw", "--dir", small, device); status != exitFailed || !strings.Contains(stderr, "no space") {
		t.Errorf("save-raw: %d, want 1 and that there is no space:\n%s", status, stderr)
	}
	wantTree(t, small, nil)
	to := t.TempDir()
	if status, _, stderr := kdumpctl("save-raw", "--dir", to, device); status != exitOK {
		t.Errorf("save-raw elsewhere: %d\n%s", status, stderr)
	}
	wantTree(t, to, map[string][]byte{"dump/vmcore": rawContents("me", "vmcore"), "dump/vmcore-dmesg.txt": rawContents("me", "vmcore-dmesg.txt")})
}

func TestFormatRawRefuses(t *testing.T) {
	device := newRawDevice(t, "1")
	dumpRaw(t, device, "me", "dump", true)
	status, _, stderr := kdumpctl("format-raw", device)
	if status != exitFailed || !strings.Contains(stderr, "dumps") || !strings.Contains(stderr, "--force") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("format-raw of a device with a dump: %d\n%s", status, stderr)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", device).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v\n%s", err, out)
	}
	if status, _, stderr := kdumpctl("format-raw", device); status != exitFailed || !strings.Contains(stderr, "ext") {
		t.Errorf("format-raw of a file system: %d\n%s", status, stderr)
	}
	if status, _, stderr := kdumpctl("save-raw", device); status != exitFailed || !strings.Contains(stderr, "format-raw") {
		t.Errorf("save-raw of a file system: %d\n%s", status, stderr)
	}
	if status, _, stderr := kdumpctl("format-raw", "--force", device); status != exitOK {
		t.Errorf("format-raw --force: %d\n%s", status, stderr)
	}
	for _, args := range [][]string{{"format-raw"}, {"format-raw", "a", "b"}, {"save-raw", "a", "b"}, {"format-raw", "/nowhere"}} {
		if status, _, stderr := kdumpctl(args...); status != exitFailed || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%q: %d, want 1 and one line:\n%s", args, status, stderr)
		}
	}
}
