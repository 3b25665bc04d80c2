// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	// rivalFailed is said of makedumpfile.
	rivalFailed = "rival: makedumpfile failed"
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
if makedumpfile --message-level 4 $COLLECT -d 31 /proc/vmcore vmcore-incomplete; then
	busybox sync
	busybox mv vmcore-incomplete vmcore
	busybox sync
else
	echo "<3>` + rivalFailed + `" >/dev/kmsg
fi
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
		"KDUMP_CMDLINE=\"console=ttyS0 loglevel=7 panic=10 root=PARTUUID=6b64756d-01 rw init=/lib/systemd/systemd\"\n",
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
		return 0, fmt.Errorf("%w\n%s", err, console.guest())
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

// makeBusyboxImage makes the initramfs of Busybox, compressed as well as zstd can.
func makeBusyboxImage(k Kernel, debian, path string) error {
	tools := filepath.Join(Build, "tools/forky") // bookworm's makedumpfile has no zstd
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
	records, err := fileRecords(files)
	if err != nil {
		return err
	}
	records = append(records, directories("bin", "lib", "lib64", "proc", "mnt", "tmp")...)

	tree, err := kmod.OpenTree(filepath.Join(k.Root, "lib/modules", k.Release))
	if err != nil {
		return err
	}
	modules, err := tree.Closure("virtio_pci", "virtio_blk")
	if err != nil {
		return err
	}
	var names []string // in the order in which they are loaded
	for _, m := range modules {
		code, err := unpack.ReadModule(m.File)
		if err != nil {
			return err
		}
		names = append(names, m.Name)
		records = append(records, cpio.StaticFile("lib/"+m.Name+".ko", string(code), 0o644))
	}
	records = append(records, cpio.StaticFile("init", fmt.Sprintf(busyboxInit, strings.Join(names, " ")), 0o755))

	plain := path + ".cpio"
	defer os.Remove(plain)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), writeInitramfs(plain, records)); err != nil {
		return err
	}
	return run("zstd", "-q", "-19", plain, "-o", path)
}
