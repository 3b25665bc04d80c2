// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/image/manifest"
)

// fakeMachine is a capture kernel with the running kernel's /proc, /sys and
// /dev, and everything else in temporary directories.
func fakeMachine(t *testing.T, core, conf string) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{
		proc: "/proc", sys: "/sys", dev: "/dev",
		root:     dir,
		manifest: filepath.Join(dir, "manifest"),
		core:     core,
		config:   filepath.Join(dir, "kdump.conf"),
		modules:  filepath.Join(dir, "modules"),
		mount:    filepath.Join(dir, "mnt"),
		shell:    filepath.Join(dir, "gosh"),
	}
	if err := os.WriteFile(m.config, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	return m
}

// newDisk attaches a new file system as a block device, or skips.
func newDisk(t *testing.T, size int64, mkfs ...string) (image string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount")
	}
	image = filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput(); err != nil {
		t.Skipf("%q: %v\n%s", mkfs, err, out)
	}
	loop, err := exec.Command("losetup", "--find", "--show", image).Output()
	if err != nil {
		t.Skipf("losetup: %v", err)
	}
	t.Cleanup(func() { exec.Command("losetup", "--detach", strings.TrimSpace(string(loop))).Run() })
	return image
}

// uuid returns the UUID that blkid finds.
func uuid(t *testing.T, image string) string {
	t.Helper()
	out, err := exec.Command("blkid", "-p", "-o", "value", "-s", "UUID", image).Output()
	if err != nil {
		t.Skipf("blkid: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// tinyCore returns the path of an ELF core of 64 KiB of memory without any note,
// so without a word about its kernel.
func tinyCore(t *testing.T) string {
	t.Helper()
	const memory = 64 << 10
	le := binary.LittleEndian
	elf := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...) // 64 bits, little endian
	elf = le.AppendUint16(elf, 4)                                    // ET_CORE
	elf = le.AppendUint16(elf, 62)                                   // EM_X86_64
	elf = le.AppendUint32(elf, 1)
	elf = le.AppendUint64(elf, 0)
	elf = le.AppendUint64(elf, 64) // program headers
	elf = le.AppendUint64(elf, 0)
	elf = le.AppendUint32(elf, 0)
	for _, n := range []uint16{64, 56, 1, 0, 0, 0} {
		elf = le.AppendUint16(elf, n)
	}
	elf = le.AppendUint32(elf, 1) // PT_LOAD
	elf = le.AppendUint32(elf, 7)
	for _, n := range []uint64{4096, 0, 0, memory, memory, 0} {
		elf = le.AppendUint64(elf, n)
	}
	elf = append(elf, make([]byte, 4096-len(elf))...)
	for i := range memory {
		elf = append(elf, byte(i/4096))
	}
	path := filepath.Join(t.TempDir(), "core")
	if err := os.WriteFile(path, elf, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// files returns what lies in the only directory below dir of the file system,
// by name.
func files(t *testing.T, image, dir string) map[string][]byte {
	t.Helper()
	mount := t.TempDir()
	// Not for reading alone: a process that has got copies of all mounts may still have it mounted for writing.
	if out, err := exec.Command("mount", "-o", "loop", image, mount).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	defer exec.Command("umount", mount).Run()
	found := map[string][]byte{}
	dirs, _ := filepath.Glob(filepath.Join(mount, dir, "[^.]*"))
	if len(dirs) != 1 {
		t.Fatalf("%s has %q, want one directory", dir, dirs)
	}
	names, _ := filepath.Glob(filepath.Join(dirs[0], "*"))
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found[filepath.Base(name)] = data
	}
	return found
}

// TestUnknownKernel saves a level-1 dump of memory that nothing is known of, on
// every kind of file system that this kernel has.
func TestUnknownKernel(t *testing.T) {
	for _, test := range []struct {
		fs, mkfs string
		size     int64
	}{
		{"ext4", "mkfs.ext4 -q -F", 64 << 20},
		{"ext3", "mkfs.ext3 -q -F", 64 << 20},
		{"ext2", "mkfs.ext2 -q -F", 64 << 20},
		{"xfs", "mkfs.xfs -q", 512 << 20},
		{"btrfs", "mkfs.btrfs -q", 256 << 20},
		{"vfat", "mkfs.vfat", 64 << 20},
	} {
		t.Run(test.fs, func(t *testing.T) {
			if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "\t"+test.fs+"\n") {
				t.Skipf("this kernel has no %s", test.fs)
			}
			image := newDisk(t, test.size, strings.Fields(test.mkfs)...)
			conf := test.fs + " UUID=" + uuid(t, image) + "\npath /dumps\n"
			r, console := testRun(fakeMachine(t, tinyCore(t), conf))
			s := r.carryOutAll(initial(r.machine))
			if s.result() != "partial" || s.dump.report == nil || s.dump.report.Level != 1 {
				t.Errorf("result %s, dump %+v, want partial with a dump of level 1\n%s", s.result(), s.dump.report, console)
			}
			got := files(t, image, "dumps")
			if len(got) != 2 || len(got["vmcore"]) == 0 {
				t.Errorf("the directory has %d files, %d bytes of vmcore, want vmcore and kdump.log", len(got), len(got["vmcore"]))
			}
			for _, want := range []string{"dmesg: failed", "dump: done", "result=partial dir=/dumps/127.0.0.1-"} {
				if !strings.Contains(string(got["kdump.log"]), want) {
					t.Errorf("kdump.log does not have %q", want)
				}
			}
		})
	}
}

// TestNoCore has nothing to save, but says so where the dump would be.
func TestNoCore(t *testing.T) {
	image := newDisk(t, 64<<20, "mkfs.ext4", "-q", "-F")
	conf := "ext4 UUID=" + uuid(t, image) + "\nfailure_action poweroff"
	m := fakeMachine(t, "/dev/null", conf)
	r, console := testRun(m)
	s := r.carryOutAll(initial(m))
	if s.result() != "failed" || s.action() != config.PowerOff {
		t.Errorf("result %s, action %s, want failed, poweroff\n%s", s.result(), s.action(), console)
	}
	got := files(t, image, "var/crash")
	if len(got) != 1 || !strings.Contains(string(got["kdump.log"]), "core: failed") {
		t.Errorf("the directory has %d files, want kdump.log alone, which says that there was no core", len(got))
	}
}

// TestTargets has a target that is absent, one that is too full for any dump, and
// one that is not tried, because the one before it has the dump.
func TestTargets(t *testing.T) {
	full, good := newDisk(t, 1<<20, "mkfs.ext4", "-q", "-F", "-m", "0"), newDisk(t, 64<<20, "mkfs.ext4", "-q", "-F")
	fill(t, full)
	conf := fmt.Sprintf("device_timeout 1\npath /dumps\next4 UUID=0a-0\next4 UUID=%s\npath /\next4 UUID=%s\nvfat LABEL=x\n",
		uuid(t, full), uuid(t, good))
	r, console := testRun(fakeMachine(t, tinyCore(t), conf))
	s := r.carryOutAll(initial(r.machine))
	if s.result() != "partial" { // there is no kernel log in this core
		t.Errorf("the result is %s, want partial", s.result())
	}
	if got := files(t, good, "dumps"); got["vmcore"] == nil || got["kdump.log"] == nil {
		t.Errorf("the good disk has %d files, want vmcore and kdump.log", len(got))
	}
	for _, want := range []string{
		"target: 1 of 4: ext4 UUID=0a-0, path /dumps, for at most 7m",
		"device: failed", "target: 2 of 4", "directory: failed", "no space left", "target: 3 of 4", "result=partial dir=/dumps/127.0.0.1-",
	} {
		if !strings.Contains(console.String()+r.resultLine(s), want) {
			t.Errorf("the console lacks %q:\n%s", want, console)
		}
	}
	if strings.Contains(console.String(), "target: 4 of 4") {
		t.Errorf("the fourth target was tried:\n%s", console)
	}
}

// fill fills the file system in an image.
func fill(t *testing.T, image string) {
	t.Helper()
	mount := t.TempDir()
	if out, err := exec.Command("mount", "-o", "loop", image, mount).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v\n%s", err, out)
	}
	defer exec.Command("umount", mount).Run()
	f, err := os.Create(filepath.Join(mount, "full"))
	for err == nil {
		_, err = f.Write(make([]byte, 512))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	f.Close()
}

func TestBadConfig(t *testing.T) {
	m := fakeMachine(t, "/dev/null", "ext4 UUID=0\nfinal_action off\n")
	r, console := testRun(m)
	s := r.carryOut([]phase{{name: "config", limit: within(time.Minute), do: readConfig}}, initial(m))
	want := []string{
		`config: kdump.conf:2: final_action: "off" is none of reboot, halt, poweroff; going on with the defaults and the targets [ext4 UUID=0]`,
		"config: done in Ts",
	}
	if got := lines(console.String()); !slices.Equal(got, want) {
		t.Errorf("console has %q, want %q", got, want)
	}
	if fmt.Sprint(s.config.Targets) != "[ext4 UUID=0]" || s.action() != config.Reboot {
		t.Errorf("targets %s, action %s, want UUID=0, reboot", s.config.Targets, s.action())
	}
}

// TestDamagedImage has a good, two changed and a missing file.
func TestDamagedImage(t *testing.T) {
	m := fakeMachine(t, "/dev/null", "path /somewhere/else\next4 UUID=0\n")
	files := map[string]string{"/good.ko": "good", "/changed.ko": "bad"}
	var entries []manifest.Entry
	for _, name := range []string{"/good.ko", "/changed.ko", "/missing", "/kdump.conf"} {
		entries = append(entries, manifest.Entry{Path: name, Sum: manifest.Sum([]byte("good"))})
		if text, ok := files[name]; ok {
			if err := os.WriteFile(m.root+name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	var text bytes.Buffer
	if err := manifest.Write(&text, entries); err != nil {
		t.Fatal(err)
	}
	phases := []phase{
		{name: "image", limit: within(time.Minute), do: checkImage},
		{name: "config", limit: within(time.Minute), do: readConfig},
	}
	for _, test := range []struct {
		manifest string
		want     []string
		dir      string
		changed  bool // changed.ko is still there
	}{
		{text.String()[1:], []string{
			"image: failed after Ts: going on unchecked: " + m.manifest + ": line 1: the manifest itself is damaged: ",
			"config: done in Ts",
		}, "/somewhere/else", true},
		{text.String(), []string{
			"image: /changed.ko: contents differ from the manifest",
			"image: /missing is missing",
			"image: /kdump.conf: contents differ from the manifest",
			"image: failed after Ts: 3 of 4 files are damaged; is crashkernel= too small?",
			"config: " + m.config + " is damaged; going on with the defaults and the targets [ext4 UUID=0]",
			"config: done in Ts",
		}, "/var/crash", false},
	} {
		if err := os.WriteFile(m.manifest, []byte(test.manifest), 0o600); err != nil {
			t.Fatal(err)
		}
		r, console := testRun(m)
		s := r.carryOut(phases, initial(m))
		if got := lines(console.String()); !slices.EqualFunc(got, test.want, strings.HasPrefix) {
			t.Errorf("console has %q, want %q", got, test.want)
		}
		if len(s.config.Targets) != 1 || s.config.Targets[0].Dir != test.dir || s.config.Targets[0].Address != "UUID=0" {
			t.Errorf("the configuration is %+v, want path %s", s.config, test.dir)
		}
		if _, err := os.Stat(m.root + "/changed.ko"); (err == nil) != test.changed {
			t.Errorf("after the check, changed.ko: %v, want it there: %v", err, test.changed)
		}
		if _, err := os.Stat(m.root + "/good.ko"); err != nil {
			t.Errorf("after the check, good.ko: %v", err)
		}
	}
}

// realCore returns the path of a core that the VM tests made, or skips.
func realCore(t *testing.T) string {
	t.Helper()
	cores, _ := filepath.Glob("../../build/cores/6.1.*.elf")
	if len(cores) == 0 {
		t.Skip("no core in build/cores")
	}
	return cores[0]
}

func TestRealCore(t *testing.T) {
	core := realCore(t)
	image := newDisk(t, 1<<30, "mkfs.ext4", "-q", "-F")
	conf := "ext4 UUID=" + uuid(t, image) + "\n"
	r, console := testRun(fakeMachine(t, core, conf))
	s := r.carryOutAll(initial(r.machine))
	if s.result() != "ok" {
		t.Fatalf("result %s, want ok\n%s", s.result(), console)
	}
	line := r.resultLine(s)
	want := regexp.MustCompile(`^result=ok dir=/var/crash/127\.0\.0\.1-\d{4}-\d\d-\d\d-\d\d:\d\d:\d\d level=31 bytes=\d{7,} unreadable=0 seconds=\d+\.\d rss=\d+\.\d$`)
	if !want.MatchString(line) {
		t.Errorf("result line %q does not match %s", line, want)
	}
	got := files(t, image, "var/crash")
	if len(got) != 3 || int64(len(got["vmcore"])) != s.dump.report.Bytes {
		t.Errorf("%d files, vmcore has %d bytes, want 3 and %d", len(got), len(got["vmcore"]), s.dump.report.Bytes)
	}
	for name, text := range map[string]string{
		"vmcore":           "KDUMP   ",
		"vmcore-dmesg.txt": "] Linux version 6.1.",
		"kdump.log":        line[:strings.Index(line, " seconds=")],
	} {
		if !strings.Contains(string(got[name]), text) {
			t.Errorf("%s does not have %q", name, text)
		}
	}
}

// TestDiskFull has room for the logs and a part of the dump.
func TestDiskFull(t *testing.T) {
	core := realCore(t)
	image := newDisk(t, 8<<20, "mkfs.ext4", "-q", "-F")
	conf := "ext4 UUID=" + uuid(t, image) + "\n"
	r, console := testRun(fakeMachine(t, core, conf))
	s := r.carryOutAll(initial(r.machine))
	if s.result() != "partial" || s.dump.complete {
		t.Errorf("result %s, dump %+v, want partial\n%s", s.result(), s.dump, console)
	}
	got := files(t, image, "var/crash")
	if got["vmcore"] != nil || got["vmcore-incomplete"] == nil || got["vmcore-dmesg.txt"] == nil ||
		!strings.Contains(string(got["kdump.log"]), "no space left") {
		t.Errorf("the directory has %d files, want vmcore-incomplete, vmcore-dmesg.txt and a kdump.log that says why", len(got))
	}
	// What there is of the dump must open.
	path := filepath.Join(t.TempDir(), "vmcore-incomplete")
	if err := os.WriteFile(path, got["vmcore-incomplete"], 0o600); err != nil {
		t.Fatal(err)
	}
	dump, err := diskdump.Open(path)
	if err != nil {
		t.Fatalf("the incomplete dump does not open: %v", err)
	}
	dump.Close()
}

// TestSet makes sure that nothing is changed on a machine that is not ours: the
// tests run on one.
func TestSet(t *testing.T) {
	proc := t.TempDir()
	file := filepath.Join(proc, "sys", "panic")
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		ours bool
		name string
		want string
	}{
		{false, "panic", "0"},
		{true, "missing", "0"},
		{true, "panic", "5\n"},
	} {
		if err := (machine{proc: proc, ours: test.ours}).set(knob{test.name, "5"}); err != nil {
			t.Errorf("set(%s): %v", test.name, err)
		}
		if got, _ := os.ReadFile(file); string(got) != test.want {
			t.Errorf("after set(%s), ours=%v, the value is %q, want %q", test.name, test.ours, got, test.want)
		}
	}
	if fakeMachine(t, "", "").ours {
		t.Error("the machine of the tests is taken for ours")
	}
}

func TestDirectoryName(t *testing.T) {
	at := time.Date(2026, 1, 31, 23, 59, 58, 0, time.UTC)
	for fs, want := range map[string]string{
		"ext4": "127.0.0.1-2026-01-31-23:59:58",
		"vfat": "127.0.0.1-2026-01-31-23-59-58",
		"raw":  "127.0.0.1-2026-01-31-23:59:58",
		"nfs":  "web1-2026-01-31-23:59:58",
		"http": "web1-2026-01-31-23-59-58",
	} {
		if got := directoryName(site{Target: config.Target{Kind: fs}}, "web1", at); got != want {
			t.Errorf("directoryName(%s) = %s, want %s", fs, got, want)
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	if err := Check(); err == nil || !strings.Contains(err.Error(), "running system") {
		t.Errorf("Check = %v, want a refusal, as this is no capture kernel", err)
	}
}

func TestIsCaptureKernel(t *testing.T) {
	proc := t.TempDir()
	m := machine{proc: proc, core: filepath.Join(proc, "vmcore")}
	set := func(name, text string) {
		if err := os.WriteFile(filepath.Join(proc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	set("cmdline", "quiet crashkernel=256M xelfcorehdr=1\n")
	if m.isCaptureKernel() {
		t.Error("a kernel without /proc/vmcore is taken for a capture kernel")
	}
	set("cmdline", "quiet elfcorehdr=0x7000000\n")
	if !m.isCaptureKernel() {
		t.Error("elfcorehdr= is not recognised")
	}
	set("cmdline", "quiet\n")
	set("vmcore", "")
	if !m.isCaptureKernel() {
		t.Error("/proc/vmcore is not recognised")
	}
}

func TestReadKiB(t *testing.T) {
	file := filepath.Join(t.TempDir(), "meminfo")
	text := "MemTotal:         123 kB\nMemFree: \nMemAvailable: x kB\nHuge: 99999999999999999999 kB\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]int64{"MemTotal": 123 << 10, "MemFree": 0, "MemAvailable": 0, "Huge": 0, "None": 0} {
		if got := readKiB(file, key); got != want {
			t.Errorf("readKiB(%s) = %d, want %d", key, got, want)
		}
	}
}
