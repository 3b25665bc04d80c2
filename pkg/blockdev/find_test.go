// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package blockdev

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// enough is for waits that should end long before.
const enough = time.Minute

// machine is a sysfs and a devtmpfs in a temporary directory.
type machine struct{ sys, dev string }

func newMachine(t *testing.T) machine {
	m := machine{filepath.Join(t.TempDir(), "sys"), filepath.Join(t.TempDir(), "dev")}
	for _, dir := range []string{filepath.Join(m.sys, "class/block"), m.dev} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// add adds a device of that many sectors, whose node is a link to an image; no
// image, no node.
func (m machine) add(t *testing.T, name, sectors, image string) {
	t.Helper()
	dir := filepath.Join(m.sys, "class/block", name)
	if err := os.MkdirAll(filepath.Join(dir, "holders"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "size"), []byte(sectors), 0o644); err != nil {
		t.Fatal(err)
	}
	if image == "" {
		return
	}
	if err := os.Symlink(image, filepath.Join(m.dev, name)); err != nil {
		t.Fatal(err)
	}
}

func TestList(t *testing.T) {
	m := newMachine(t)
	for name, sectors := range map[string]string{
		"vdb": "8\n", "vda1": "2048\n", "cciss!c0d0": "16\n",
		"vdc": "0\n", "vdd": "junk", "vde": "-8", "vdf": "9223372036854775807\n",
		"ram0": "8", "sr0": "8", "fd0": "8", "zram0": "8", "sda": "8\n",
	} {
		m.add(t, name, sectors, "")
	}
	if err := os.Mkdir(filepath.Join(m.sys, "class/block/sda/holders/md0"), 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := List(m.sys, m.dev)
	want := []Device{
		{"cciss!c0d0", m.dev + "/cciss/c0d0", 8192},
		{"vda1", m.dev + "/vda1", 1 << 20},
		{"vdb", m.dev + "/vdb", 4096},
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("List = %v, %v, want %v", got, err, want)
	}
}

func TestFind(t *testing.T) {
	image := makeImage(t, 4<<20, "mkfs.ext4", "-q", "-F", "-L", "my dumps")
	sb := blkid(t, image)
	m := newMachine(t)
	m.add(t, "vda", "8192\n", t.TempDir()) // cannot be read
	m.add(t, "vdb", "8192\n", "")          // has no node
	m.add(t, "vdc", "8192\n", "/dev/null") // nothing on it
	m.add(t, "vdd", "8192\n", image)
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()
	for _, spec := range []string{"UUID=" + sb.UUID, "UUID=" + strings.ToUpper(sb.UUID), "LABEL=my dumps", "TYPE=" + sb.Type, "/dev/vdd"} {
		got, err := Find(ctx, m.sys, m.dev, spec, nil)
		want := Found{Device{"vdd", m.dev + "/vdd", 4 << 20}, sb}
		if err != nil || got != want {
			t.Errorf("Find(%q) = %+v, %v, want %+v", spec, got, err, want)
		}
	}
	if got, err := Find(ctx, m.sys, m.dev, "/dev/vdc", nil); err != nil || got.Superblock != (Superblock{}) {
		t.Errorf("Find of an empty device = %+v, %v", got, err)
	}
}

func TestFindGivesUp(t *testing.T) {
	image := makeImage(t, 4<<20, "mkfs.ext4", "-q", "-F", "-L", "other")
	sb := blkid(t, image)
	m := newMachine(t)
	m.add(t, "vda", "8192\n", image)
	m.add(t, "vdb", "8192\n", "")
	m.add(t, "vdc", "8192\n", "/dev/null")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Find(ctx, m.sys, m.dev, "LABEL=mine", nil)
	want := "LABEL=mine: no such block device (there are vda: ext4 UUID=" + sb.UUID + " LABEL=other, vdb: no node, vdc: no file system)"
	if !errors.Is(err, ErrNotFound) || err.Error() != want {
		t.Errorf("Find = %v, want %v", err, want)
	}
}

// TestFindPassesOverSilence has more devices that never answer than are probed
// at a time: pipes that nobody writes to.
func TestFindPassesOverSilence(t *testing.T) {
	m := newMachine(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	mkfifo := exec.Command("mkfifo", pipe)
	if err := mkfifo.Run(); err != nil {
		t.Skipf("mkfifo: %v", err)
	}
	for i := range 2 * maxProbing {
		m.add(t, fmt.Sprintf("vd%c", 'a'+i), "8", pipe)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := Find(ctx, m.sys, m.dev, "LABEL=x", nil); err == nil || !strings.Contains(err.Error(), "vda: does not answer") {
		t.Errorf("Find = %v, want an error that says that vda does not answer", err)
	}
	// Let the opens return, so that no thread outlives the test.
	if f, err := os.OpenFile(pipe, os.O_RDWR, 0); err == nil {
		defer f.Close()
	}
}

func TestFindRefuses(t *testing.T) {
	for _, spec := range []string{"", "vda", "UUID=", "LABEL=", "TYPE=", "PARTUUID=12", "/etc/passwd"} {
		if got, err := Find(t.Context(), "/sys", "/dev", spec, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("Find(%q) = %+v, %v, want ErrNotFound", spec, got, err)
		}
	}
}

// TestFindWaitsForDevice attaches a loop device while Find waits for it.
func TestFindWaitsForDevice(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to attach a loop device")
	}
	image := makeImage(t, 4<<20, "mkfs.ext4", "-q", "-F")
	sb := blkid(t, image)
	ctx, cancel := context.WithTimeout(t.Context(), enough)
	defer cancel()

	events, stop, err := listen()
	if err != nil {
		t.Skip(err)
	}
	defer stop()
	type answer struct {
		Found
		error
	}
	answers := make(chan answer, 1)
	go func() {
		found, err := Find(ctx, "/sys", "/dev", "UUID="+sb.UUID, nil)
		answers <- answer{found, err}
	}()
	select {
	case a := <-answers:
		t.Fatalf("Find = %+v before the device was there", a)
	case <-time.After(200 * time.Millisecond):
	}

	out, err := exec.Command(findTool(t, "losetup"), "--find", "--show", image).Output()
	if err != nil {
		t.Skipf("losetup: %v", err)
	}
	loop := strings.TrimSpace(string(out))
	defer exec.Command(findTool(t, "losetup"), "--detach", loop).Run()

	if a := <-answers; a.error != nil || a.Path != loop || a.Superblock != sb {
		t.Errorf("Find = %+v, want %s with %+v", a, loop, sb)
	}
	// Not only did it look again: the kernel sent word.
	for {
		select {
		case e := <-events:
			if e.name == filepath.Base(loop) {
				return
			}
		case <-ctx.Done():
			t.Fatalf("no event for %s", loop)
		}
	}
}

func TestParseUevent(t *testing.T) {
	for _, test := range []struct {
		message string
		want    event
		ok      bool
	}{
		{"add@/devices/pci0/virtio1/block/vda/vda1\x00ACTION=add\x00DEVPATH=/devices/pci0/virtio1/block/vda/vda1\x00SUBSYSTEM=block\x00SEQNUM=7\x00", event{"vda1"}, true},
		{"remove@/devices/block/vda\x00ACTION=remove\x00DEVPATH=/devices/block/vda\x00SUBSYSTEM=block\x00", event{}, false},
		{"add@/devices/net/eth0\x00ACTION=add\x00DEVPATH=/devices/net/eth0\x00SUBSYSTEM=net\x00", event{"eth0"}, false},
		{"ACTION=add\x00DEVPATH=/\x00SUBSYSTEM=block", event{}, false},
		{"", event{}, false},
	} {
		if got, ok := parseUevent([]byte(test.message)); ok != test.ok || ok && got != test.want {
			t.Errorf("parseUevent(%q) = %v, %v, want %v, %v", test.message, got, ok, test.want, test.ok)
		}
	}
}

func FuzzParseUevent(f *testing.F) {
	f.Add([]byte("add@/a/vda\x00ACTION=add\x00DEVPATH=/a/vda\x00SUBSYSTEM=block\x00"))
	f.Fuzz(func(t *testing.T, message []byte) {
		if e, ok := parseUevent(message); ok && e.name == "" {
			t.Errorf("parseUevent(%q) has no name", message)
		}
	})
}
