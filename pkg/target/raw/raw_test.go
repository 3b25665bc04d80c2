// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package raw

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/direct"
	"github.com/ukdump/ukdump/pkg/target/targettest"
)

// newFile makes a file that stands for a blank device of that size.
func newFile(t *testing.T, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "device")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

// newLoop makes a blank block device of that size.
func newLoop(t *testing.T, size int64) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root for a loop device")
	}
	out, err := exec.Command("losetup", "--find", "--show", newFile(t, size)).Output()
	if err != nil {
		t.Skipf("losetup: %v", err)
	}
	loop := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "--detach", loop).Run() })
	return loop
}

func mustFormat(t *testing.T, path string, slots int) {
	t.Helper()
	if _, err := Format(path, slots, false); err != nil {
		t.Fatalf("Format: %v", err)
	}
}

func mustOpen(t *testing.T, path, owner string) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Device: path, Owner: owner})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustMake(t *testing.T, s *Store, name string) target.Target {
	t.Helper()
	d, err := s.Make(t.Context(), name)
	if err != nil {
		t.Fatalf("Make(%q): %v", name, err)
	}
	return d
}

// readFile returns the contents of a file in the first slot, as the host finds
// it: of a complete one of that name, or of an incomplete one of the name before
// target.Incomplete.
func readFile(path, name string) ([]byte, error) {
	d, err := openDisk(path)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return readFrom(d, name)
}

func readFrom(d device, name string) ([]byte, error) {
	sb, err := readSuperblock(d)
	if err != nil {
		return nil, err
	}
	dev := Device{newVolume(d, sb)}
	slots, err := dev.Slots()
	if err != nil {
		return nil, err
	}
	for _, f := range slots[0].Files {
		shown := f.Name
		if !f.Complete {
			shown += target.Incomplete
		}
		if shown == name {
			var b bytes.Buffer
			err := dev.Copy(&b, slots[0], f)
			return b.Bytes(), err
		}
	}
	return nil, fs.ErrNotExist
}

func TestConformance(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(*testing.T, int64) string
	}{{"file", newFile}, {"loop", newLoop}} {
		t.Run(test.name, func(t *testing.T) {
			path := test.make(t, 128<<20)
			mustFormat(t, path, 1)
			s := mustOpen(t, path, "me")
			// The host may not open a device that is in use; this is its view of it.
			targettest.Run(t, mustMake(t, s, "dump"), func(name string) ([]byte, error) {
				return readFrom(s.vol.device, "dump/"+name)
			})
		})
	}
}

// TestCollect saves dumps in two runs and collects both.
func TestCollect(t *testing.T) {
	path := newFile(t, 64<<20)
	mustFormat(t, path, 1)
	for i, want := range []string{"slot 0 of " + path, "slot 0 of " + path} {
		s := mustOpen(t, path, "me")
		if s.String() != want {
			t.Errorf("run %d got %v, want %s", i, s, want)
		}
		f := mustCreate(t, mustMake(t, s, "dump"), "vmcore")
		if _, err := fmt.Fprintf(f, "dump %d", i); err != nil {
			t.Fatal(err)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"dump/vmcore": "dump 0", "dump-2/vmcore": "dump 1"} {
		if got, err := readFile(path, name); err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", name, got, err, want)
		}
	}

	d, err := OpenDevice(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	slots, err := d.Slots()
	if err != nil || len(slots) != 1 || slots[0].Owner != "me" || slots[0].State != "closed" || len(slots[0].Files) != 2 {
		t.Fatalf("Slots = %+v, %v, want one of me with two files", slots, err)
	}
	if err := d.Free(slots[0]); err != nil {
		t.Fatal(err)
	}
	if err := d.Free(slots[0]); !errors.Is(err, ErrChanged) {
		t.Errorf("the second Free = %v, want ErrChanged", err)
	}
	if slots, err := d.Slots(); err != nil || slots[0].State != "free" || len(slots[0].Files) != 0 {
		t.Errorf("after Free: %+v, %v", slots, err)
	}
}

func mustCreate(t *testing.T, d target.Target, name string) target.File {
	t.Helper()
	f, err := d.Create(t.Context(), name, 0)
	if err != nil {
		t.Fatalf("Create(%q): %v", name, err)
	}
	return f
}

// TestStaleData has a device full of an old dump show through nowhere.
func TestStaleData(t *testing.T) {
	path := newFile(t, 16<<20)
	if err := os.WriteFile(path, bytes.Repeat([]byte("old "), 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Format(path, 1, true); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, path, "me")
	f := mustCreate(t, mustMake(t, s, "d"), "f")
	want := make([]byte, 3<<20+5)
	copy(want[3<<20:], "dump")
	want = want[:3<<20+4]
	if _, err := f.(io.WriterAt).WriteAt([]byte("dump"), 3<<20); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if got, err := readFrom(s.vol.device, "d/f"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v, want %d zeros and a word", len(got), err, 3<<20)
	}
}

// TestFull fills the slot: the error says so, what was reserved can still be
// written, and room is made of what an earlier run has left half done.
func TestFull(t *testing.T) {
	path := newFile(t, 16<<20)
	mustFormat(t, path, 1)
	fill := func(d target.Target) (target.File, int64) {
		f := mustCreate(t, d, "vmcore")
		piece := make([]byte, 300_000)
		for written := int64(0); ; {
			n, err := f.Write(piece)
			written += int64(n)
			if errors.Is(err, target.ErrNoSpace) {
				return f, written
			}
			if err != nil || written > 64<<20 {
				t.Fatalf("after %d bytes: %v, want ErrNoSpace", written, err)
			}
		}
	}
	s := mustOpen(t, path, "me")
	d := mustMake(t, s, "dump")
	if _, err := d.Create(t.Context(), "huge", 1<<40); !errors.Is(err, target.ErrNoSpace) {
		t.Errorf("Create with a reserve of 1 TiB = %v, want ErrNoSpace", err)
	}
	report, err := d.Create(t.Context(), "report", 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	f, written := fill(d)
	if written < 10<<20 || written > 12<<20 {
		t.Errorf("%d bytes fitted into 14 MiB of which 2 are reserved", written)
	}
	if err := f.(*File).Truncate(0); err != nil {
		t.Errorf("Truncate: %v", err)
	}
	if _, err := f.Write(make([]byte, 11<<20)); err != nil {
		t.Errorf("the second try: %v", err)
	}
	if err := f.Abort(); err != nil {
		t.Error(err)
	}
	if _, err := report.Write(make([]byte, 2<<20)); err != nil {
		t.Errorf("writing what was reserved: %v", err)
	}
	if err := report.Commit(); err != nil {
		t.Error(err)
	}
	s.Close()

	s = mustOpen(t, path, "me")
	f, written = fill(mustMake(t, s, "dump"))
	if written < 11<<20 {
		t.Errorf("the next run has room for %d bytes, want that of the old incomplete file", written)
	}
	if err := f.Abort(); err != nil {
		t.Error(err)
	}
	if got, err := readFrom(s.vol.device, "dump/report"); err != nil || len(got) != 2<<20 {
		t.Errorf("the old report has %d bytes, %v", len(got), err)
	}
	if _, err := readFrom(s.vol.device, "dump/vmcore"+target.Incomplete); err == nil {
		t.Error("half of an old dump is still there, and overwritten")
	}
}

func TestNote(t *testing.T) {
	path := newFile(t, 16<<20)
	mustFormat(t, path, 1)
	for _, text := range []string{"", "one", "two, longer", "", strings.Repeat("x", maxNote)} {
		s := mustOpen(t, path, "me")
		if err := s.WriteNote("note", []byte(text)); err != nil {
			t.Fatalf("WriteNote(%.20q): %v", text, err)
		}
		s.Close()
		s = mustOpen(t, path, "me")
		if got, err := s.ReadNote("note"); err != nil || string(got) != text {
			t.Errorf("ReadNote = %.20q, %v, want %.20q", got, err, text)
		}
		if got, err := s.ReadNote("other"); err != nil || len(got) != 0 {
			t.Errorf("ReadNote of another = %.20q, %v, want none", got, err)
		}
		s.Close()
	}
	s := mustOpen(t, path, "me")
	if err := s.WriteNote("note", make([]byte, maxNote+1)); err == nil {
		t.Error("a note that is too long was taken")
	}
	s.Close()
	// Others do not get it.
	s = mustOpen(t, path, "you")
	if got, _ := s.ReadNote("note"); len(got) != 0 {
		t.Errorf("another machine's note: %.20q", got)
	}
}

// TestFormatRefuses has every program that puts something on a device be
// noticed, before it is formatted and after.
func TestFormatRefuses(t *testing.T) {
	for _, test := range []struct {
		name, command string
		make          func(*testing.T, int64) string
	}{
		{"ext4", "mkfs.ext4 -q -F", newFile},
		{"xfs", "mkfs.xfs -q -f", newFile},
		{"btrfs", "mkfs.btrfs -q -f", newFile},
		{"vfat", "mkfs.vfat", newFile},
		{"swap", "mkswap -q -f", newFile},
		{"partitions", "sfdisk -q --force", newFile},
		{"luks", "cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000", newFile},
		{"lvm", "pvcreate -q -ff -y", newLoop},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := test.make(t, 512<<20)
			args := append(strings.Fields(test.command), path)
			run := func() {
				cmd := exec.Command(args[0], args[1:]...)
				cmd.Stdin = strings.NewReader("label: gpt\n,\n") // a table for sfdisk, a passphrase for cryptsetup
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Skipf("%v: %v\n%s", args, err, out)
				}
			}
			mustFormat(t, path, 1)
			run()
			if s, err := Open(t.Context(), Options{Device: path}); !errors.Is(err, ErrNotFormatted) {
				t.Errorf("Open = %v, %v, want ErrNotFormatted", s, err)
			}
			if _, err := Format(path, 1, false); !errors.Is(err, ErrNotEmpty) {
				t.Errorf("Format = %v, want ErrNotEmpty", err)
			}
			if _, err := Format(path, 1, true); err != nil {
				t.Errorf("Format by force: %v", err)
			}
			if out, err := exec.Command("wipefs", path).Output(); err == nil && len(out) > 0 {
				t.Errorf("wipefs still finds something:\n%s", out)
			}
		})
	}
}

func TestFormatInUse(t *testing.T) {
	loop := newLoop(t, 64<<20)
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", loop).CombinedOutput(); err != nil {
		t.Skipf("mkfs.ext4: %v\n%s", err, out)
	}
	mount := t.TempDir()
	if out, err := exec.Command("mount", loop, mount).CombinedOutput(); err != nil {
		t.Skipf("mount: %v\n%s", err, out)
	}
	defer exec.Command("umount", mount).Run()
	if _, err := Format(loop, 1, true); err == nil {
		t.Error("a mounted device was formatted")
	}
}

func TestFormatSlots(t *testing.T) {
	path := newFile(t, 64<<20)
	for _, slots := range []int{-1, 0, 16, maxSlots + 1} {
		if _, err := Format(path, slots, false); err == nil {
			t.Errorf("Format with %d slots of 64 MiB is no error", slots)
		}
	}
	mustFormat(t, path, 15)
	if _, err := Format(path, 15, false); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("Format of a formatted device = %v, want ErrNotEmpty", err)
	}
}

// TestChecksum compares with the checksum of all bytes.
func TestChecksum(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	data := make([]byte, 300_000)
	for i := range data {
		data[i] = byte(random.Uint32())
	}
	sum := crc32.Checksum(data, castagnoli())
	for range 200 {
		off := random.IntN(len(data))
		n := random.IntN(min(5000, len(data)-off) + 1)
		before := crc32.Checksum(data[off:off+n], castagnoli())
		for i := range n {
			data[off+i] = byte(random.Uint32())
		}
		after := crc32.Checksum(data[off:off+n], castagnoli())
		sum ^= followedBy(before^after, int64(len(data)-off-n))
		if want := crc32.Checksum(data, castagnoli()); sum != want {
			t.Fatalf("after writing %d bytes at %d: %08x, want %08x", n, off, sum, want)
		}
	}
}

// TestDamage changes a byte of a complete file: the checksum tells.
func TestDamage(t *testing.T) {
	path := newFile(t, 16<<20)
	mustFormat(t, path, 1)
	s := mustOpen(t, path, "me")
	f := mustCreate(t, mustMake(t, s, "d"), "f")
	if _, err := f.Write(bytes.Repeat([]byte("dump"), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	at := s.vol.chunkAt(0, 2) + 12345
	s.Close()
	image, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if _, err := image.WriteAt([]byte("X"), at); err != nil {
		t.Fatal(err)
	}
	if got, err := readFile(path, "d/f"); !errors.Is(err, ErrChecksum) || len(got) != 4<<20 {
		t.Errorf("%d bytes, %v, want all and ErrChecksum", len(got), err)
	}
}

// BenchmarkWrite writes as a dump is written: large pieces in order, from aligned
// memory.
func BenchmarkWrite(b *testing.B) {
	path := filepath.Join(b.TempDir(), "device")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	const size = 1 << 30
	if err := os.Truncate(path, size+16<<20); err != nil {
		b.Fatal(err)
	}
	if _, err := Format(path, 1, false); err != nil {
		b.Fatal(err)
	}
	s, err := Open(b.Context(), Options{Device: path})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	d, err := s.Make(b.Context(), "dump")
	if err != nil {
		b.Fatal(err)
	}
	piece := direct.Buffer(1 << 20)
	b.SetBytes(size)
	for b.Loop() {
		f, err := d.Create(b.Context(), "vmcore", 0)
		if err != nil {
			b.Fatal(err)
		}
		for range size / len(piece) {
			if _, err := f.Write(piece); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Abort(); err != nil {
			b.Fatal(err)
		}
	}
}
