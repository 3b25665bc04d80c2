// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target"
	"github.com/ukdump/ukdump/pkg/target/direct"
	"github.com/ukdump/ukdump/pkg/target/targettest"
)

func openDir(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestConformance(t *testing.T) {
	path := t.TempDir()
	targettest.Run(t, openDir(t, path), func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(path, name))
	})
}

// TestFilesystems runs the suite on every kind of file system that a dump can
// go to and that this kernel has.
func TestFilesystems(t *testing.T) {
	for _, test := range []struct {
		kind  string
		size  int64
		mkfs  []string
		flags string
	}{
		{"ext4", 64 << 20, []string{"mkfs.ext4", "-q", "-F"}, ""},
		{"xfs", 512 << 20, []string{"mkfs.xfs", "-q"}, ""},
		{"btrfs", 256 << 20, []string{"mkfs.btrfs", "-q"}, ""},
		{"vfat", 128 << 20, []string{"mkfs.vfat"}, ""},
		{"tmpfs", 0, nil, "size=64m"},
	} {
		t.Run(test.kind, func(t *testing.T) {
			mount := mountNew(t, test.kind, test.size, test.mkfs, test.flags)
			dir, err := makeDump(mount, "/var/crash", "dump")
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			targettest.Run(t, dir, func(name string) ([]byte, error) {
				return os.ReadFile(filepath.Join(mount, dir.String(), name))
			})
		})
	}
}

// mountNew mounts a new file system for the time of the test, or skips.
func mountNew(t *testing.T, kind string, size int64, mkfs []string, options string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	source := kind
	if mkfs != nil {
		source = filepath.Join(t.TempDir(), "image")
		if err := os.WriteFile(source, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(source, size); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(mkfs[0], append(mkfs[1:], source)...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v\n%s", mkfs, err, out)
		}
		loop, err := exec.Command("losetup", "--find", "--show", source).Output()
		if err != nil {
			t.Skipf("losetup: %v", err)
		}
		source = string(bytes.TrimSpace(loop))
		t.Cleanup(func() { exec.Command("losetup", "--detach", source).Run() })
	}
	mount := t.TempDir()
	if err := unix.Mount(source, mount, kind, 0, options); err != nil {
		t.Skipf("mounting %s: %v", kind, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(mount, 0); err != nil {
			t.Errorf("unmounting: %v", err)
		}
	})
	return mount
}

// TestFull fills a file system: the error says so, what was reserved can still
// be written, and what was written stays behind as incomplete.
func TestFull(t *testing.T) {
	for _, test := range []struct {
		kind  string
		size  int64
		mkfs  []string
		flags string
	}{
		{"ext4", 16 << 20, []string{"mkfs.ext4", "-q", "-F"}, ""},
		{"tmpfs", 0, nil, "size=8m"},
	} {
		t.Run(test.kind, func(t *testing.T) {
			mount := mountNew(t, test.kind, test.size, test.mkfs, test.flags)
			dir := openDir(t, mount)
			report, err := dir.Create(t.Context(), "report", 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := dir.Create(t.Context(), "huge", 1<<40); !errors.Is(err, target.ErrNoSpace) {
				t.Errorf("Create with a reserve of 1 TiB = %v, want ErrNoSpace", err)
			}
			f, err := dir.Create(t.Context(), "dump", 0)
			if err != nil {
				t.Fatal(err)
			}
			piece := make([]byte, 1<<20)
			written := int64(0)
			for err == nil && written < 1<<30 {
				var n int
				n, err = f.Write(piece)
				written += int64(n)
			}
			if !errors.Is(err, target.ErrNoSpace) {
				t.Fatalf("after %d bytes: %v, want ErrNoSpace", written, err)
			}
			if err := f.Abort(); err != nil {
				t.Errorf("Abort: %v", err)
			}
			info, err := os.Stat(filepath.Join(mount, "dump"+target.Incomplete))
			if err != nil || info.Size() != written {
				t.Errorf("the file has size %v, %v, want %d", info.Size(), err, written)
			}
			if _, err := report.Write(piece); err != nil {
				t.Errorf("writing what was reserved: %v", err)
			}
			if err := report.Commit(); err != nil {
				t.Errorf("Commit: %v", err)
			}
		})
	}
}

// makeDump makes a directory as for a dump.
func makeDump(mount, parent, name string) (*Dir, error) {
	dir, err := MakeParents(mount, parent)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Make(name)
}

func TestMake(t *testing.T) {
	mount := t.TempDir()
	if err := os.MkdirAll(filepath.Join(mount, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"inside": "data", "outside": "../..", "absolute": "/data"} {
		if err := os.Symlink(to, filepath.Join(mount, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ parent, want string }{
		{"/", "/x"},
		{"/", "/x-2"},
		{"/", "/x-3"},
		{"/var/crash", "/var/crash/x"},
		{"/var/crash/", "/var/crash/x-2"},
		{"/inside/more", "/inside/more/x"},
		{"/../..", "/x-4"},
	} {
		dir, err := makeDump(mount, test.parent, "x")
		if err != nil || dir.String() != test.want {
			t.Errorf("Make in %q = %v, %v, want %q", test.parent, dir, err, test.want)
			continue
		}
		dir.Close()
		info, err := os.Stat(filepath.Join(mount, test.want))
		if err != nil || info.Mode() != os.ModeDir|0o700 {
			t.Errorf("%s: %v, %v, want a directory with mode 0700", test.want, info, err)
		}
	}
	if err := os.WriteFile(filepath.Join(mount, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, parent := range []string{"/outside", "/absolute", "/file", "/file/x"} {
		if dir, err := makeDump(mount, parent, "x"); err == nil {
			t.Errorf("Make in %q = %v, want an error", parent, dir)
		}
	}
}

func TestFileMode(t *testing.T) {
	path := t.TempDir()
	f, err := openDir(t, path).Create(t.Context(), "secret", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(path, "secret"))
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
}

// TestCacheStaysSmall writes much more than direct.MaxDirty and asks the kernel how
// much of the file it still has in the page cache.
func TestCacheStaysSmall(t *testing.T) {
	for _, past := range []bool{true, false} {
		t.Run(fmt.Sprintf("direct=%v", past), func(t *testing.T) {
			path := t.TempDir()
			var fs unix.Statfs_t
			if err := unix.Statfs(path, &fs); err != nil {
				t.Fatal(err)
			}
			if fs.Type == unix.TMPFS_MAGIC {
				t.Skip("the directory for temporary files is a tmpfs: nothing but page cache")
			}
			created, err := openDir(t, path).Create(t.Context(), "big", 0)
			if err != nil {
				t.Fatal(err)
			}
			defer created.Abort()
			f := created.(*File)
			if !past {
				f.writer.Direct = nil
			}
			if past && f.direct == nil {
				t.Skip("no O_DIRECT in the directory for temporary files")
			}
			piece := make([]byte, 1<<20)
			for range 64 {
				if _, err := f.Write(piece); err != nil {
					t.Fatal(err)
				}
			}
			cached := cachedBytes(t, f.f)
			if want := 2 * direct.MaxDirty; cached > want {
				t.Errorf("%d bytes in the page cache, want at most %d", cached, want)
			}
			t.Logf("%d bytes in the page cache", cached)
		})
	}
}

// cachedBytes returns how much of a file is in the page cache.
func cachedBytes(t *testing.T, f *os.File) int {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(data)
	pages := make([]byte, len(data)/os.Getpagesize())
	if err := mincore(data, pages); err != nil {
		t.Skipf("mincore: %v", err)
	}
	return bytes.Count(pages, []byte{1}) * os.Getpagesize()
}

func TestNote(t *testing.T) {
	path := t.TempDir()
	d := openDir(t, path)
	for _, text := range []string{"", "one", "two, longer", "3", "", ""} {
		if err := d.WriteNote("note", []byte(text)); err != nil {
			t.Fatalf("WriteNote(%q) = %v", text, err)
		}
		if got, err := d.ReadNote("note"); err != nil || string(got) != text {
			t.Errorf("ReadNote = %q, %v, want %q", got, err, text)
		}
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 0 {
		t.Errorf("the directory has %v, %v after the last note was removed, want nothing", entries, err)
	}
	if err := os.Mkdir(filepath.Join(path, "note"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got, err := d.ReadNote("note"); err == nil {
		t.Errorf("ReadNote of a directory = %q, want an error", got)
	}
	if err := d.WriteNote("note", []byte("x")); err == nil {
		t.Error("WriteNote over a directory = nil, want an error")
	}
}
