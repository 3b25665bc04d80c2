// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/kmod/unpack"
)

// Rival is a userland that saves a dump of level 31: ukdump, or what it is
// measured against. All run in the same machine, with the same root file system
// and the same disk for dumps.
type Rival struct {
	Name string
	// Arm are the steps that arm it, on the root file system of MakeVersusRoot.
	Arm []string
	// LogSaved is what the machine says when the kernel log is saved; empty if
	// that is not saved.
	LogSaved string
	// Dump is where the dump lies on the disk, a pattern.
	Dump string
}

// Codecs are the compressions that all rivals but kdump-tools know, by the option
// of makedumpfile.
var Codecs = map[string]string{"zstd": "-z", "zlib": "-c", "lzo": "-l"}

// Ukdump is ourselves.
func Ukdump(codec string) Rival {
	return Rival{
		Name: "ukdump",
		Arm: []string{
			"write /etc/kdump.conf ext4 UUID=" + TargetUUID + "|path /|core_collector makedumpfile " + Codecs[codec] + " -d 31",
			kdumpctl + "build", kdumpctl + "load"},
		LogSaved: "ukdump: dmesg: done",
		Dump:     "127.0.0.1-*/vmcore",
	}
}

const (
	rivalImage = "boot/busybox.img"
	logSaved   = "rival: log saved"
)

// Busybox is an initramfs with busybox and makedumpfile, made for this machine:
// a shell script loads the modules of the disk, mounts it, and has makedumpfile
// write to it. With its own log the kernel log is saved before.
func Busybox(codec string, log bool) Rival {
	r := Rival{
		Name: "busybox and makedumpfile",
		Arm:  []string{"load-unchecked /" + rivalImage + " COLLECT=" + Codecs[codec]},
		Dump: "busybox/vmcore",
	}
	if log {
		r.Name, r.LogSaved = r.Name+", with the log", logSaved
		r.Arm[0] += " SAVE_LOG=1"
	}
	return r
}

// busyboxInit is PID 1 of that initramfs. Everything it starts is in /bin.
const busyboxInit = `#!/bin/busybox sh
export PATH=/bin LD_LIBRARY_PATH=/lib
busybox mount -t proc proc /proc
busybox mount -t devtmpfs dev /dev
for module in %s; do
	busybox insmod /lib/$module.ko
done
while [ ! -b /dev/vda ]; do busybox usleep 10000; done
busybox mount -t ext4 -o noatime /dev/vda /mnt
busybox mkdir /mnt/busybox
cd /mnt/busybox
if [ "$SAVE_LOG" ]; then
	makedumpfile --message-level 4 --dump-dmesg /proc/vmcore log-incomplete
	busybox sync
	busybox mv log-incomplete log
	busybox sync
	echo "<5>` + logSaved + `" >/dev/kmsg
fi
makedumpfile --message-level 4 $COLLECT -d 31 /proc/vmcore vmcore-incomplete || echo "<3>rival: FAILED" >/dev/kmsg
busybox sync
busybox mv vmcore-incomplete vmcore
busybox sync
busybox reboot -f
`

// KdumpTools is Debian's, as it is installed; the dumps of its makedumpfile are
// compressed with zlib.
func KdumpTools() Rival {
	return Rival{
		Name:     "kdump-tools",
		Arm:      []string{"/usr/sbin/kdump-config load"},
		LogSaved: "saved dmesg content",
		Dump:     "2*/dump.2*",
	}
}

// versusFiles are files of the root file system that tell kdump-tools of this
// machine: init is the guest program, and the disk for dumps is another one.
var versusFiles = map[string]string{
	"etc/fstab": "UUID=" + TargetUUID + " /var/crash ext4 defaults 0 0\n",
	"etc/default/kdump-tools": "USE_KDUMP=1\nKDUMP_KERNEL=/var/lib/kdump/vmlinuz\nKDUMP_INITRD=/var/lib/kdump/initrd.img\n" +
		"KDUMP_COREDIR=/var/crash\n" +
		"KDUMP_CMDLINE=\"console=ttyS0 loglevel=7 root=PARTUUID=6b64756d-01 rw init=/lib/systemd/systemd\"\n",
}

// versusRoot is the name of that root file system.
const versusRoot = "versus"

// MakeVersusRoot makes the root file system that all rivals are armed from, and
// returns its path: Debian's, which `vmtest/fetch root SUITE` has left, with
// ukdump and the images of the others. It returns how long kdump-tools took to
// make its own in the machine, too.
func MakeVersusRoot(k Kernel) (root string, took time.Duration, err error) {
	debian := filepath.Join(Build, "debian", k.Suite)
	if _, err := os.Stat(debian); err != nil {
		return "", 0, fmt.Errorf("no Debian with kdump-tools: run vmtest/fetch root %s", k.Suite)
	}
	more, err := os.MkdirTemp(Build, "versus-")
	if err != nil {
		return "", 0, err
	}
	defer os.RemoveAll(more)
	for name, text := range versusFiles {
		path := filepath.Join(more, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", 0, err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", 0, err
		}
	}
	if err := makeBusyboxImage(k, debian, filepath.Join(more, rivalImage)); err != nil {
		return "", 0, err
	}
	if root, err = MakeRootWith(k, versusRoot, debian, more); err != nil {
		return "", 0, err
	}
	if took, err = makeKdumpInitrd(k, root, filepath.Join(more, "var/lib/kdump")); err != nil {
		return "", 0, err
	}
	root, err = MakeRootWith(k, versusRoot, debian, more)
	return root, took, err
}

// makeKdumpInitrd has kdump-tools make its initramfs, on the machine that it is
// for, and copies what it made to a directory.
func makeKdumpInitrd(k Kernel, root, to string) (time.Duration, error) {
	const hook = "/etc/kernel/postinst.d/kdump-tools "
	dir, err := os.MkdirTemp("", "versus-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "disk")
	if err := MakeDisk(disk, "ext4", "1G", "-q"); err != nil {
		return 0, err
	}
	// It looks for the disk of the root file system, and knows only names there.
	m := Machine{Kernel: k, Root: root, Virtio: []string{disk}, Append: "root=/dev/nvme0n1p1", Deadline: 10 * time.Minute}
	m.Steps = append(AttachVirtio("ext4"), "mount ext4 /dev/vda /var/lib/kdump", hook+k.Release,
		"/bin/cp /etc/kdump/sysctl.conf /var/lib/kdump/latest_sysctls-"+k.Release) // else it makes it again
	console, err := m.Run()
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, console.Guest())
	}
	took, err := stepTook(console, hook)
	if err != nil {
		return 0, err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return 0, err
	}
	return took, readExt4(disk, to)
}

var saidTook = regexp.MustCompile(`took ([0-9.]+) s$`)

// stepTook returns how long the machine says that a program, with the beginning
// of its arguments, took.
func stepTook(console *Console, step string) (time.Duration, error) {
	line, found := console.Find("guest: $ " + step)
	took := saidTook.FindStringSubmatch(line.Text)
	if !found || took == nil {
		return 0, fmt.Errorf("the machine does not say how long %s took", step)
	}
	return time.ParseDuration(took[1] + "s")
}

// Guest returns what the guest program said.
func (c *Console) Guest() string {
	var all strings.Builder
	for _, line := range c.Lines {
		if strings.Contains(line.Text, "guest: ") {
			all.WriteString(line.Text + "\n")
		}
	}
	return all.String()
}

// makeBusyboxImage makes the initramfs of Busybox.
func makeBusyboxImage(k Kernel, debian, path string) error {
	tools := filepath.Join(Build, "tools/forky") // bookworm's makedumpfile has no zstd
	tree, err := kmod.OpenTree(filepath.Join(k.Root, "lib/modules", k.Release))
	if err != nil {
		return err
	}
	modules, err := tree.Closure("crc32c_intel", "virtio_pci", "virtio_blk")
	if err != nil {
		return err
	}
	var names []string
	records := []cpio.Record{cpio.CharDev("dev/console", 0o600, 5, 1)}
	for _, m := range modules {
		code, err := unpack.ReadModule(m.File)
		if err != nil {
			return err
		}
		names = append(names, m.Name)
		records = append(records, cpio.StaticFile("lib/"+m.Name+".ko", string(code), 0o644))
	}
	records = append(records, cpio.StaticFile("init", fmt.Sprintf(busyboxInit, strings.Join(names, " ")), 0o755))
	for _, dir := range []string{"bin", "lib", "lib64", "dev", "proc", "mnt", "tmp"} {
		records = append(records, cpio.Directory(dir, 0o755))
	}
	libraries := filepath.Join(tools, "usr/lib/x86_64-linux-gnu")
	files := map[string]string{
		"bin/busybox":                filepath.Join(debian, "bin/busybox"),
		"bin/makedumpfile":           filepath.Join(tools, "usr/bin/makedumpfile"),
		"lib64/ld-linux-x86-64.so.2": filepath.Join(libraries, "ld-linux-x86-64.so.2"),
		"lib/libz.so.1":              filepath.Join(debian, "lib/x86_64-linux-gnu/libz.so.1"),
	}
	for _, name := range []string{"libc.so.6", "libzstd.so.1", "liblzo2.so.2", "libdw.so.1", "libelf.so.1", "libbz2.so.1.0", "liblzma.so.5"} {
		files["lib/"+name] = filepath.Join(libraries, name)
	}
	for name, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		records = append(records, cpio.StaticFile(name, string(data), 0o755))
	}
	// Directories come before what is in them.
	slices.SortFunc(records, func(a, b cpio.Record) int { return strings.Compare(a.Name, b.Name) })
	return writeImage(path, records)
}

// writeImage writes an initramfs, compressed as well as zstd can.
func writeImage(path string, records []cpio.Record) error {
	cpio.MakeAllReproducible(records)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.Create(path + ".cpio")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	w := cpio.Newc.Writer(file)
	if err := cpio.WriteRecords(w, records); err != nil {
		return err
	}
	if err := cpio.WriteTrailer(w); err != nil {
		return err
	}
	return run("zstd", "-q", "-19", file.Name(), "-o", path)
}

// Capture is what a rival did after a crash.
type Capture struct {
	// User is how long it took from the start of the capture kernel's user space
	// to the reboot, Log until the kernel log was saved, 0 if it is not.
	User, Log time.Duration
	// CPU is what the emulator used of the host's CPUs in User. What else the
	// host does matters less to it.
	CPU time.Duration
	// Bytes is how long the dump is.
	Bytes int64
	// Phases are what ukdump's run spent its time with, in its order.
	Phases []Phase
	// Build is how long kdumpctl build took.
	Build time.Duration
	// Console is what the machine said.
	Console *Console
}

// Phase is a phase of ukdump's run and how long it took.
type Phase struct {
	Name string
	Took time.Duration
}

// keepFree has the kernel count free pages as free. Those in the lists of its
// CPUs do not look free, and how many they are differs by megabytes from crash to
// crash.
const keepFree = "write /proc/sys/vm/percpu_pagelist_high_fraction 100000"

// Race crashes a machine with the rival armed and that much memory for the
// capture kernel, and returns what was measured. The root is MakeVersusRoot's.
// Something else than a complete dump is an error.
func (r Rival) Race(k Kernel, root, crashkernel string) (*Capture, error) {
	dir, err := os.MkdirTemp("", "versus-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	disk := filepath.Join(dir, "disk")
	if err := MakeDisk(disk, "ext4", "1G", "-q", "-U", TargetUUID); err != nil {
		return nil, err
	}
	// The kernel says at this level when it starts user space.
	m := Machine{Kernel: k, Root: root, Virtio: []string{disk}, Crashkernel: crashkernel, Append: "loglevel=7"}
	m.Steps = slices.Concat(AttachVirtio("ext4"), r.Arm, []string{keepFree, "fill 768", "crash"})
	pid := filepath.Join(dir, "pid")
	m.Args = []string{"-pidfile", pid}
	var used []time.Duration // by the emulator when each line came
	m.Print = func(string) { used = append(used, cpuTime(pid)) }
	c := &Capture{}
	if c.Console, err = m.Run(); err != nil {
		return c, err
	}
	files := filepath.Join(dir, "files")
	if err := os.Mkdir(files, 0o700); err != nil {
		return c, err
	}
	if err := readExt4(disk, files); err != nil {
		return c, err
	}
	return c, r.measure(c, used, files)
}

// cpuTime returns the CPU time that a process has used, 0 once it has ended.
func cpuTime(pidFile string) time.Duration {
	pid, _ := os.ReadFile(pidFile)
	text, _ := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
	_, text, _ = bytes.Cut(text, []byte(") ")) // behind the name, which may have anything
	var ticks time.Duration
	if fields := strings.Fields(string(text)); len(fields) > 12 {
		for _, field := range fields[11:13] { // in user mode, and in the kernel
			n, _ := strconv.Atoi(field)
			ticks += time.Duration(n)
		}
	}
	return ticks * time.Second / 100
}

// measure fills in what the console and the files on the disk tell.
func (r Rival) measure(c *Capture, used []time.Duration, files string) error {
	start, started := c.Console.Find("Run /init as init process")
	end, ended := c.Console.Find("reboot: Restarting system")
	if !started || !ended {
		return fmt.Errorf("%s: the capture kernel did not start, or not reboot", r.Name)
	}
	c.User = since(start, end)
	c.CPU = slices.Max(used) - used[slices.Index(c.Console.Lines, start)]
	if r.LogSaved != "" {
		saved, found := c.Console.Find(r.LogSaved)
		if !found {
			return fmt.Errorf("%s: the kernel log was not saved", r.Name)
		}
		c.Log = since(start, saved)
	}
	if ours, found := c.Console.Find("ukdump: start "); found {
		c.Phases = phases(c.Console, since(start, ours))
		c.Build, _ = stepTook(c.Console, kdumpctl+"build")
	}
	dumps, err := filepath.Glob(filepath.Join(files, r.Dump))
	if err != nil || len(dumps) != 1 {
		return fmt.Errorf("%s: there are %d dumps on the disk, want one (%v)", r.Name, len(dumps), err)
	}
	info, err := os.Stat(dumps[0])
	if err != nil {
		return err
	}
	c.Bytes = info.Size()
	return run(filepath.Join(Build, "ukdump"), "dumpinfo", "--verify", dumps[0])
}

var saidWhen = regexp.MustCompile(`^\[ *([0-9.]+)\]`)

// since returns the time between two lines of the same kernel, by its own clock:
// the console is behind when much is said.
func since(a, b Line) time.Duration {
	var at [2]float64
	for i, line := range []Line{a, b} {
		if said := saidWhen.FindStringSubmatch(line.Text); said != nil {
			at[i], _ = strconv.ParseFloat(said[1], 64)
		}
	}
	return time.Duration((at[1] - at[0]) * float64(time.Second))
}

var saidPhase = regexp.MustCompile(`ukdump: ([a-z]+): done in ([0-9.]+)s`)

// phases returns the phases that ukdump says, after what came before the first.
func phases(console *Console, before time.Duration) []Phase {
	all := []Phase{{"start", before}}
	for _, line := range console.Lines {
		if said := saidPhase.FindStringSubmatch(line.Text); said != nil {
			seconds, _ := strconv.ParseFloat(said[2], 64)
			all = append(all, Phase{said[1], time.Duration(seconds * float64(time.Second))})
		}
	}
	return all
}
