// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package blockdev

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makeImage makes a file system in a new sparse file. It skips the test if there
// is no mkfs for it.
func makeImage(t testing.TB, size int64, mkfs ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(findTool(t, mkfs[0]), append(mkfs[1:], path)...).CombinedOutput(); err != nil {
		t.Fatalf("%q: %v\n%s", mkfs, err, out)
	}
	return path
}

// findTool returns the path of a program of the administrator, or skips.
func findTool(t testing.TB, name string) string {
	t.Helper()
	for _, dir := range []string{"/usr/sbin", "/sbin", "/usr/bin", "/bin"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name)
		}
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// blkid returns what blkid(8) finds in an image.
func blkid(t testing.TB, path string) Superblock {
	t.Helper()
	out, err := exec.Command(findTool(t, "blkid"), "-p", "-o", "export", path).Output()
	if err != nil {
		t.Fatalf("blkid: %v", err)
	}
	var sb Superblock
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.ReplaceAll(value, `\ `, " ")
		switch key {
		case "TYPE":
			sb.Type = value
		case "UUID":
			sb.UUID = value
		case "LABEL":
			sb.Label = value
		}
	}
	return sb
}

func probeFile(t testing.TB, path string) (Superblock, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	return Probe(f)
}

func TestProbeAgreesWithBlkid(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		name string
		size int64
		mkfs string
	}{
		{"ext2", 4 * mib, "mkfs.ext2 -q -F"},
		{"ext2 label", 4 * mib, "mkfs.ext2 -q -F -L sixteen_bytes_lb"},
		{"ext3", 8 * mib, "mkfs.ext3 -q -F -L three"},
		{"ext4", 8 * mib, "mkfs.ext4 -q -F -L four"},
		{"ext4 1k blocks", 8 * mib, "mkfs.ext4 -q -F -b 1024"},
		{"ext4 no journal", 8 * mib, "mkfs.ext4 -q -F -O ^has_journal"},
		{"ext4 64k blocks", 64 * mib, "mkfs.ext4 -q -F -b 65536 -L big"},
		{"xfs", 512 * mib, "mkfs.xfs -q -L twelve_bytes"},
		{"xfs 4k sectors", 512 * mib, "mkfs.xfs -q -s size=4096"},
		{"btrfs", 256 * mib, "mkfs.btrfs -q -L butter"},
		{"btrfs no label", 256 * mib, "mkfs.btrfs -q"},
		{"fat12", mib, "mkfs.vfat -F 12 -n TWELVE"},
		{"fat16", 16 * mib, "mkfs.vfat -F 16 -n SIXTEEN"},
		{"fat16 no label", 16 * mib, "mkfs.vfat -F 16"},
		{"fat32", 64 * mib, "mkfs.vfat -F 32 -n THIRTYTWO"},
		{"fat32 4k sectors", 512 * mib, "mkfs.vfat -F 32 -S 4096 -s 1 -n BIGSECTORS"},
		{"fat32 no label", 64 * mib, "mkfs.vfat -F 32"},
		{"fat one table", 16 * mib, "mkfs.vfat -f 1 -n ONE"},
		{"minix", 4 * mib, "mkfs.minix -1"},
		{"minix short names", 4 * mib, "mkfs.minix -1 -n 14"},
		{"minix 2", 4 * mib, "mkfs.minix -2"},
		{"minix 2 short names", 4 * mib, "mkfs.minix -2 -n 14"},
		{"minix 3", 4 * mib, "mkfs.minix -3"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := makeImage(t, test.size, strings.Fields(test.mkfs)...)
			want := blkid(t, path)
			if want.Type == "" || want.UUID == "" && want.Type != "minix" {
				t.Fatalf("blkid found %+v", want)
			}
			got, err := probeFile(t, path)
			if err != nil || got != want {
				t.Errorf("Probe = %+v, %v, want %+v", got, err, want)
			}
		})
	}
}

// TestProbeRenamed renames a FAT volume, which leaves the old label in the boot
// sector or a deleted entry in the directory.
func TestProbeRenamed(t *testing.T) {
	path := makeImage(t, 16<<20, "mkfs.vfat", "-n", "BEFORE")
	if out, err := exec.Command(findTool(t, "fatlabel"), path, "AFTER").CombinedOutput(); err != nil {
		t.Fatalf("fatlabel: %v\n%s", err, out)
	}
	want := blkid(t, path)
	if got, err := probeFile(t, path); err != nil || got != want || got.Label != "AFTER" {
		t.Errorf("Probe = %+v, %v, want %+v", got, err, want)
	}
}

func TestProbeUnknown(t *testing.T) {
	partitionTable := make([]byte, 4096)
	partitionTable[510], partitionTable[511] = 0x55, 0xaa
	for name, image := range map[string][]byte{
		"empty":           {},
		"short":           []byte("XFS"),
		"zeros":           make([]byte, 128<<10),
		"text":            bytes.Repeat([]byte("no file system\n"), 8000),
		"partition table": partitionTable,
	} {
		if sb, err := Probe(bytes.NewReader(image)); !errors.Is(err, ErrUnknown) || sb != (Superblock{}) {
			t.Errorf("%s: Probe = %+v, %v, want ErrUnknown", name, sb, err)
		}
	}
}

func TestProbeUnreadable(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if sb, err := Probe(dir); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("Probe of a directory = %+v, %v, want an error of reading", sb, err)
	}
}

// countingReader counts how much is read from it.
type countingReader struct {
	*bytes.Reader
	bytes int
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	r.bytes += len(p)
	return r.Reader.ReadAt(p, off)
}

func FuzzProbe(f *testing.F) {
	for _, mkfs := range []struct {
		size int64
		args string
	}{
		{64 << 10, "mkfs.vfat -F 12 -n LABEL"},
		{256 << 10, "mkfs.vfat -F 32 -s 1 -n LABEL"},
		{256 << 10, "mkfs.ext2 -q -F -L label"},
	} {
		image, err := os.ReadFile(makeImage(f, mkfs.size, strings.Fields(mkfs.args)...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(image)
	}
	btrfs := make([]byte, 66<<10)
	copy(btrfs[64<<10+0x40:], "_BHRfS_M")
	f.Add(btrfs)
	f.Add(append([]byte("XFSB"), make([]byte, 508)...))
	f.Fuzz(func(t *testing.T, image []byte) {
		r := countingReader{Reader: bytes.NewReader(image)}
		sb, err := Probe(&r)
		if (err == nil) != (sb.Type != "") {
			t.Errorf("Probe = %+v, %v", sb, err)
		}
		if r.bytes > 1<<20 {
			t.Errorf("Probe read %d bytes", r.bytes)
		}
	})
}
