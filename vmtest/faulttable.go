// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const network = "The network"

// Faults returns the table of faults.
func Faults() []Fault {
	const (
		kernel  = "The capture kernel"
		program = "The image and its configuration"
		disk    = "The target"
		crashed = "The crashed kernel's memory"
		manner  = "How and where it crashes"
		again   = "Crash after crash"
	)
	return []Fault{
		{Group: kernel, Name: "oops", Quick: true,
			What:    "A driver of the capture kernel oopses while the dump is written",
			Capture: "what=oops " + midway, Conf: slow, Saved: CutShort,
			Said: []string{"ukdump_fault: oops", "Kernel panic - not syncing: Fatal exception", rebooting}},
		{Group: kernel, Name: "panic-at-once",
			What:    "The capture kernel panics before it has found the target",
			Capture: "what=panic", Said: []string{"Kernel panic - not syncing: ukdump_fault: panic", rebooting}},
		{Group: kernel, Name: "no-init", Quick: true,
			What: "The capture kernel finds no init",
			Load: "--append rdinit=/none", Said: []string{"No working init found", rebooting}},
		{Group: kernel, Name: "process-crashes",
			What:    "The process that writes the dump crashes",
			Capture: "what=break " + midway, Conf: slow, Saved: All,
			Log: []string{"process: the one before this ended", "level=31", "result=ok"}},
		{Group: kernel, Name: "process-killed",
			What:    "The process that writes the dump is killed",
			Capture: "what=kill " + midway, Conf: slow, Saved: All,
			Log: []string{"process: the one before this ended by killed", "level=31", "result=ok"}},
		{Group: kernel, Name: "process-killed-again",
			What:    "The process that writes the dump is killed, and so is the next one",
			Capture: "what=kill times=2 " + atDump, Conf: slow, Saved: Logs,
			Log: []string{"process: the one before this ended by killed; trying the kernel log alone", "result=partial"}},
		{Group: kernel, Name: "processes-killed",
			What:    "Whatever process there is to write the dump is killed",
			Capture: "what=kill times=3 on=device:_done", Saved: nil,
			Said: []string{"process: ended by killed", "end action=reboot"}},
		{Group: kernel, Name: "process-limited", Quick: true,
			What:    "The process that writes the dump is refused more memory",
			Capture: "what=limit " + atDump, Conf: slow, Saved: All,
			// of memory, in several words, some of them in front of these
			Log: []string{"process: the one before this ended with status 2", "fatal error: ", "level=31", "result=ok"}},
		{Group: kernel, Name: "soft-lockup",
			What:    "A driver keeps the only CPU, with interrupts",
			Capture: "what=soft-lockup " + midway, Conf: slow, Saved: CutShort,
			Said: []string{"soft lockup - CPU#0 stuck", "Kernel panic - not syncing: softlockup: hung tasks"}},
		{Group: kernel, Name: "lockup",
			What:  "A driver keeps the only CPU, without interrupts: only the hardware's watchdog is left",
			Suite: "trixie", // with a driver of a watchdog that QEMU has
			Qemu:  []string{"-device", "i6300esb", "-action", "watchdog=reset"},
			Steps: []string{"modprobe i6300esb"},
			Conf:  slow, Saved: CutShort, Within: 2 * time.Minute,
			When: "dump: writing", Do: freeze,
			Said: []string{"watchdog: /dev/watchdog (i6300ESB timer)"}},
		{Group: kernel, Name: "reboot-hangs", Quick: true,
			What:    "reboot(2) does not return, as a driver hangs in its shutdown",
			Capture: "what=block-reboot", Saved: All,
			Said: []string{"ukdump_fault: no reboot", "end: reboot did not work within 20s, trying sysrq-b", "sysrq: Resetting"}},
		{Group: kernel, Name: "module-hangs", Quick: true,
			What:    "A module that the target does not need hangs in its init",
			Capture: "what=hang", Saved: All, Log: []string{"modules: ukdump_fault: init did not return in time"}},
		{Group: kernel, Name: "out-of-memory",
			What:    "A driver takes all memory but 6 MiB while the dump is written",
			Capture: "what=memory leave=6 " + midway, Conf: slow, Saved: Logs, OrAll: true, Within: 4 * time.Minute,
			Log: []string{"process: the one before this ended by killed"}},
		{Group: kernel, Name: "small-reservation",
			What:        "crashkernel=64M, far too small for this kernel",
			Crashkernel: "64M"},
		{Group: kernel, Name: "no-core",
			What: "The description of the crashed machine's memory is damaged, and there is no /proc/vmcore",
			Load: "--append elfcorehdr=0x1000", Saved: []string{"kdump.log"},
			Log: []string{"core: failed", "dmesg: skipped: core did not succeed", "result=failed"}},

		{Group: program, Name: "manifest-damaged",
			What: "The manifest of the image is damaged",
			Arm:  damagedImage("replace /image etc/kdump.conf ftc/kdump.conf"), Saved: All,
			Log: []string{"image: failed", "the manifest itself is damaged"}},
		{Group: program, Name: "config-damaged", Quick: true,
			What: "The configuration in the image is damaged",
			Arm:  damagedImage("replace /image core_collector core_collectoR"), Saved: All,
			Log: []string{"/etc/kdump.conf: contents differ from the manifest", "going on with the defaults and the targets [ext4 UUID=" + TargetUUID}},
		{Group: program, Name: "config-gone", Quick: true,
			What: "The configuration in the image is damaged so that it names no target, but there is a disk that was prepared for dumps",
			Raw:  true,
			Arm: []string{kdumpctl + "build --compress none -o /image --modules virtio_pci,virtio_blk",
				"replace /image UUID=0d6ba0c1 UUID=0d6bz0c1", "load-unchecked /image"}, Saved: All,
			Log: []string{"/etc/kdump.conf: contents differ from the manifest", "going on with the defaults and the targets [raw TYPE=raw]", "result=ok"}},
		{Group: program, Name: "module-damaged",
			What: "A module in the image is damaged, which the target does not need",
			Arm:  damagedImage("replace /image soft_margin soft_margon"), Saved: All,
			Log: []string{"softdog.ko: contents differ from the manifest", "softdog"}},
		{Group: program, Name: "program-damaged",
			What: "The program in the image is damaged, where this run does not come",
			Arm:  damagedImage("replace /image uninitialized uninitialised"), Saved: All,
			Log: []string{"/init: contents differ from the manifest"}},
		{Group: program, Name: "list-damaged",
			What: "The list of modules in the image is damaged",
			Arm:  damagedImage("replace /image virtio_pci_modern_dev, virtio_pci_modern_dex,"), Saved: All,
			Log: []string{"/etc/modules is damaged; trying all that there are"}},
		{Group: program, Name: "image-cut", Quick: true,
			What: "The image is not unpacked to its end, and the drivers of the target are missing",
			Arm:  damagedImage("cut /image 200000"), Conf: []string{"device_timeout 3s"},
			Said: []string{"is missing", "files are damaged; is crashkernel= too small?", "device: failed", "result=failed"}},
		{Group: program, Name: "image-damaged",
			What: "The image is damaged so that the kernel cannot unpack it",
			Arm:  []string{kdumpctl + "build -o /image", "cut /image 100000", "load-unchecked /image"},
			Said: []string{"Initramfs unpacking failed", rebooting}},
		{Group: program, Name: "module-missing",
			What:  "The image has no driver of the target",
			Build: "--no-modules", Conf: []string{"device_timeout 3s"},
			Said: []string{"device: failed", "result=failed"}},
		{Group: program, Name: "deadline", Quick: true,
			What: "The deadline of the run is over while the dump is written",
			// A host is fast or slow; at this rate none is done in time.
			Conf: append([]string{"deadline 8s", "max_rate 2M"}, slow...), Saved: Part,
			Log: []string{"dump: failed", "out of time: dump is incomplete"}},

		{Group: program, Name: "hook-sleeps", Quick: true,
			What:  "A program that is to run before the dump sleeps for ever",
			Steps: hook("hook-sleeps"), Conf: []string{"kdump_pre /sbin/hook-sleeps", "hook_timeout 3s"}, Saved: All,
			Log: []string{"kdump_pre /sbin/hook-sleeps: failed", "out of time: killed", "result=ok"}},
		{Group: program, Name: "hook-floods",
			What:  "A program that is to run before the dump writes lines for ever",
			Steps: hook("hook-floods"), Conf: []string{"kdump_pre /sbin/hook-floods", "hook_timeout 3s"}, Saved: All,
			Log: []string{"kdump_pre /sbin/hook-floods: failed", "says more, which is not shown", "result=ok"}},
		{Group: program, Name: "hook-forks",
			What:  "A program that is to run after the dump leaves another one behind, which keeps the target busy",
			Steps: hook("hook-forks"), Conf: []string{"kdump_post /sbin/hook-forks", "hook_timeout 3s"}, Saved: All,
			Said: []string{"close: failed", "device or resource busy", "result=ok", "end action=reboot"}},

		{Group: disk, Name: "absent",
			What:   "No device has the UUID of the target",
			Target: absent, Build: "--generic", Conf: []string{"device_timeout 3s"},
			Said: []string{"device: failed", "result=failed", "end action=reboot"}},
		{Group: disk, Name: "absent-shell",
			What:   "The same, and failure_action is a shell, where nobody comes",
			Target: absent, Build: "--generic", Conf: []string{"device_timeout 3s", "failure_action shell", "shell_timeout 3s"},
			Said: []string{"shell: open for 3s", "result=failed", "end action=reboot"}},
		{Group: disk, Name: "absent-efi", Quick: true,
			What:  "No device has the UUID of the target, in a machine with EFI, whose next boot collects what is in the variables",
			Suite: efiSuite, EFI: true, Target: absent, Build: "--generic", Conf: []string{"device_timeout 3s"},
			After: []string{"modprobe efivarfs", "mount efivarfs efivarfs /sys/firmware/efi/efivars", "mount ext4 /dev/vda /mnt", collect, collect},
			Said:  []string{"device: failed", "lastlog: done", "result=partial dir=firmware"}, Saved: Logs,
			Log: []string{"device: failed", "result=partial dir=firmware"}},
		{Group: disk, Name: "full", Quick: true,
			What: "The target is too small for the dump",
			Size: "20M", Conf: slow, Saved: Part,
			Log: []string{"the dump does not fit, trying dump level 31", "no space left on device"}},
		{Group: disk, Name: "full-up",
			What: "There is no room on the target at all",
			Size: "20M", Prepare: fillUp,
			Said: []string{"no space left on device", "result=failed"}},
		{Group: disk, Name: "full-at-first",
			What: "The target is too small for the dump that is asked for, but not for one of level 31",
			Size: "64M", Conf: slow, Saved: All,
			Log: []string{"the dump does not fit, trying dump level 31", "level=31"}},
		{Group: disk, Name: "write-error-first",
			What:   "The target cannot be written at all",
			Breaks: FailWrites, BreaksAt: 0,
			Said: []string{"I/O error", "result=failed"}},
		{Group: disk, Name: "write-error-place", Quick: true,
			What:   "In the middle of the dump, one place of the target cannot be written",
			Breaks: FailOne, BreaksAt: 8 << 20, Conf: slow, Saved: Part,
			Log: []string{"dump: failed", "input/output error"}},
		{Group: disk, Name: "write-error-all",
			What:   "From the middle of the dump on, nothing can be written to the target",
			Breaks: FailWrites, BreaksAt: 8 << 20, Conf: slow, Saved: CutShort,
			Said: []string{"dump: failed", "input/output error", "result=partial"}},
		{Group: disk, Name: "flush-error",
			What:   "The target takes writes, but cannot make them durable",
			Breaks: FailFlushes, BreaksAt: 0,
			Said: []string{"result=failed"}},
		{Group: disk, Name: "silent", Quick: true,
			What:   "From the middle of the dump on, the target does not answer any more",
			Breaks: Silent, BreaksAt: 8 << 20, Conf: append([]string{"stall_timeout 5s"}, slow...), Saved: CutShort,
			Said: []string{"dump: gave up", "nothing has moved for 5s", "result=partial"}},
		{Group: disk, Name: "silent-mount",
			What:   "The target does not answer any more when it is mounted",
			Breaks: Silent, BreaksAt: 0, Conf: []string{"target_timeout 15s"},
			Said: []string{"mount: gave up", "result=failed", "end action=reboot"}},
		{Group: disk, Name: "silent-at-once",
			What:   "The target does not answer at all",
			Breaks: Silent, BreaksWhen: "ukdump: start", Conf: []string{"device_timeout 3s"},
			Said: []string{"init did not return in time", "device: failed", "result=failed", "end action=reboot"}},
		{Group: disk, Name: "gone",
			What:   "From the middle of the dump on, every request to the target fails",
			Breaks: FailAll, BreaksAt: 8 << 20, Conf: slow, Saved: CutShort,
			Said: []string{"dump: failed", "result=partial"}},
		{Group: disk, Name: "unplugged",
			What: "The target is unplugged while the dump is written",
			Conf: slow, Saved: CutShort, When: "dump: writing",
			Do:   func(m *Monitor) error { return m.Execute("device_del", map[string]any{"id": "target"}) },
			Said: []string{"result=partial"}},
		{Group: disk, Name: "read-only",
			What:  "The target is write-protected",
			Drive: ",readonly=on",
			Said:  []string{"mount: failed", "result=failed"}},
		{Group: disk, Name: "corrupt",
			What:    "The file system of the target is corrupt",
			Prepare: overwrite(4096, 4096),
			Said:    []string{"mount: failed", "result=failed"}},
		{Group: disk, Name: "journal",
			What:  "The target was mounted and being written when the machine crashed",
			Steps: []string{"mount ext4 /dev/vda /var"}, Saved: All,
			Log: []string{"EXT4-fs (vda): recovery complete"}},

		{Group: network, Name: "network-down",
			What:    "The cable of the network card is pulled out when the machine crashes; the next target is a disk",
			Network: true, Target: "nfs 10.0.2.2:/srv", Conf: nextTarget, Saved: All,
			When: "ukdump: start", Do: pullCable,
			Log: []string{"network: failed", "target: 2 of 2", "result=ok"}},
		{Group: network, Name: "peer-silent", Quick: true,
			What:    "The NFS server takes the connection, but says nothing; the next target is a disk",
			Network: true, Server: SilentServer, Target: "nfs 10.0.2.100:/srv", Conf: nextTarget, Saved: All,
			Log: []string{"connect: failed", "target: 2 of 2", "result=ok"}},
		{Group: network, Name: "nfs-dead",
			What:    "The NFS server is killed while the dump is written to it; the next target is a disk",
			Network: true, Server: NFSServer, Conf: stalled, Saved: All,
			When: "dump: writing",
			Log:  []string{"dump: gave up", "nothing has moved for 5s", "target: 2 of 2", "result=ok"}},
		{Group: network, Name: "nfs-silent",
			What:    "The cable is pulled out while the dump is written to an NFS server; the next target is a disk",
			Network: true, Server: NFSServer, Conf: stalled, Saved: All,
			When: "dump: writing", Do: pullCable,
			Log: []string{"dump: gave up", "nothing has moved for 5s", "target: 2 of 2", "result=ok"}},
		frozen("nfs-frozen", "an NFS server", NFSServer),
		frozen("ssh-frozen", "a server with SSH", SSHServer),
		frozen("put-frozen", "a web server, with PUT", PutServer),
		frozen("tus-frozen", "kdumprecv", TusServer),
		frozen("s3-frozen", "an object store", S3Server),

		{Group: crashed, Name: "vmcoreinfo", Quick: true,
			What:  "VMCOREINFO was overwritten before the crash",
			Crash: crashWith("@vmcoreinfo_size+8=0", "@vmcoreinfo+1000=ff"), Saved: All,
			Log: []string{"vmcoreinfo: that of the core does not fit its memory", "vmcoreinfo: found in memory", "result=ok"}},
		{Group: crashed, Name: "vmcoreinfo-values",
			What:  "The second half of VMCOREINFO was overwritten before the crash",
			Crash: crashWith("@vmcoreinfo_size+8=0", "@vmcoreinfo:400+c00=39"), Saved: All,
			Log: []string{"vmcoreinfo: found in memory", "result=ok"}},
		{Group: crashed, Name: "mem-section", Quick: true,
			What:  "The table of memory sections was overwritten before the crash",
			Crash: crashWith("@mem_section>0+1000=5a"), Saved: All,
			Log: []string{"all pages but zeros are kept", "mem_section"}},
		{Group: crashed, Name: "struct-pages",
			What:  "A thousand struct pages were overwritten before the crash",
			Crash: crashWith("@vmemmap_base>100000+10000=ff"), Saved: All},
		{Group: crashed, Name: "page-tables", Quick: true,
			What:  "In the page table, the entry of the struct pages leads back to the table",
			Crash: crashWith("vmemmap:@init_top_pgt"), Saved: All,
			Log: []string{"struct pages of", "cannot be read; the pages are kept"}},
		{Group: crashed, Name: "page-tables-gone",
			What:  "The whole top page table of the kernel was overwritten before the crash",
			Crash: crashWith("@init_top_pgt:800+800=ff"), Saved: All,
			Log: []string{"all pages but zeros are kept", "no section with a memory map found"}},
		{Group: crashed, Name: "printk-descriptors",
			What:  "The descriptors of the printk buffer were overwritten before the crash",
			Crash: crashWith("@prb>8>0+4000=ff"), Saved: All,
			Log: []string{"saving the texts in the log's buffer", "result=partial"}},
		{Group: crashed, Name: "printk-buffer", Quick: true,
			What:  "The printk buffer's own structure was overwritten before the crash",
			Crash: crashWith("@prb>0+50=ff"), Saved: All,
			Log: []string{"saving the texts in the log's buffer", "result=partial"}},

		{Group: manner, Name: "nmi",
			What:  "The kernel panics in an NMI",
			Crash: []string{"write /proc/sys/kernel/unknown_nmi_panic 1", "await waiting for an NMI"},
			When:  "guest: waiting for an NMI",
			Do:    func(m *Monitor) error { return m.Execute("inject-nmi", nil) },
			Saved: All},
		{Group: manner, Name: "interrupt", Quick: true,
			What:  "The kernel panics in an interrupt",
			Crash: []string{insmod("what=interrupt"), "await waiting for a panic"}, Saved: All},
		{Group: manner, Name: "stack-overflow",
			What:  "The stack of a kernel thread overflows",
			Crash: []string{"write /proc/sys/kernel/panic_on_oops 1", insmod("what=stack-overflow after=1"), "await waiting for a panic"},
			Saved: All},
		{Group: manner, Name: "exhausted",
			What:  "Memory is exhausted, and the kernel panics over that",
			Crash: []string{"write /proc/sys/vm/panic_on_oom 1", "exhaust"}, Saved: All},
		{Group: manner, Name: "initramfs", Quick: true,
			What:  "The machine crashes in its initramfs, which has armed the image",
			Early: true, Saved: All},
		{Group: manner, Name: "one-cpu",
			What: "The machine has one CPU",
			Qemu: []string{"-smp", "1"}, Saved: All},
		{Group: manner, Name: "many-cpus",
			What: "The machine has 16 CPUs",
			Qemu: []string{"-smp", "16"}, Saved: All},
		{Group: manner, Name: "high-memory",
			What:        "The capture kernel is above 4 GiB",
			Crashkernel: "256M,high crashkernel=72M,low", MemoryMiB: 5120, Saved: All,
			Said: []string{"elfcorehdr=0x1af000000 "}},
		{Group: manner, Name: "clock",
			What: "The clock says 1970",
			Qemu: []string{"-rtc", "base=1970-01-01T00:00:00"}, Saved: All,
			Log: []string{"core: the crashed machine's clock was wrong"}},

		{Group: again, Name: "second-run", Quick: true,
			What:    "The run before this one was cut short by a panic",
			Earlier: []string{"what=panic " + midway}, Conf: slow, Saved: All,
			Log: []string{"attempt: 1 runs since", "level=31"}},
		{Group: again, Name: "third-run", Quick: true,
			What:    "Two runs before this one were cut short",
			Prepare: attempts(2, time.Hour), Saved: Logs,
			Log: []string{"trying the kernel log alone", "result=partial"}},
		{Group: again, Name: "fourth-run",
			What:    "Three runs before this one were cut short",
			Prepare: attempts(3, time.Hour),
			Said:    []string{"trying nothing but to reboot", "result=failed"}},
		{Group: again, Name: "second-run-efi",
			What:  "The run before this one was cut short by a reset, and its target is replaced: the firmware remembers",
			Suite: efiSuite, EFI: true, Earlier: []string{byReset}, NewDisk: true, Conf: slow, Saved: All,
			Log: []string{"firmware: 1 runs since", "level=31"}},
		{Group: again, Name: "old-runs",
			What:    "Three runs were cut short two days ago",
			Prepare: attempts(3, 48*time.Hour), Saved: All},
	}
}

// absent is a target that no device has.
const absent = "ext4 UUID=ffffffff-0000-4000-8000-000000000000"

// hook returns the steps that make a program for a hook.
func hook(name string) []string { return []string{"copy /sbin/init /sbin/" + name} }

// nextTarget has a disk take what the target does not in ten seconds.
var nextTarget = []string{"target_timeout 10s", "ext4 UUID=" + TargetUUID}

// stalled has a disk take the dump when it does not get on for five seconds.
var stalled = append([]string{"stall_timeout 5s", "ext4 UUID=" + TargetUUID}, slow...)

// frozen is the fault of a server.
func frozen(name, what string, server Server) Fault {
	return Fault{Group: network, Name: name,
		What:    "While the dump is written to " + what + ", it takes what is sent, but does nothing any more; the next target is a disk",
		Network: true, Server: server, Conf: stalled, Saved: All,
		When: "dump: writing", Freezes: true,
		Log: []string{"nothing has moved for 5s", "target: 2 of 2", "result=ok"}}
}

// pullCable has the machine lose its network.
func pullCable(m *Monitor) error { return m.SetLink("nic0", false) }

// collect is a step after the reboot.
const collect = kdumpctl + "collect --dir /mnt/var/crash"

// efiSuite has a kernel that tells how much room there is in EFI variables.
const efiSuite = "trixie"

// damagedImage returns the steps that build an image, damage it, and arm it.
func damagedImage(damage string) []string {
	return []string{kdumpctl + "build --compress none -o /image", damage, "load-unchecked /image"}
}

// When things happen to a capture kernel: when the dump is begun, and a second after.
const (
	atDump = "on=dmesg:_done"
	midway = atDump + " after=1000"
)

// rebooting is what a kernel says after a panic of its own.
const rebooting = "Rebooting in "

// slow makes the dump of a machine with little memory take some seconds.
var slow = []string{"core_collector makedumpfile -c -d 0"}

// overwrite returns a Prepare that writes size bytes of nonsense into the disk.
func overwrite(offset, size int64) func(string) error {
	return func(disk string) error {
		f, err := os.OpenFile(disk, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt([]byte(strings.Repeat("\xa5\x5a\x00\xff", int(size/4))), offset)
		return err
	}
}

// fillUp is a Prepare that leaves no room on the disk.
func fillUp(disk string) error {
	filling := filepath.Join(filepath.Dir(disk), "filling")
	if err := run("truncate", "-s", "20M", filling); err != nil {
		return err
	}
	if err := overwrite(0, 20<<20)(filling); err != nil {
		return err
	}
	// debugfs writes what there is room for.
	return run("debugfs", "-w", "-R", "write "+filling+" filling", disk)
}

// attempts returns a Prepare that leaves the marks of n runs on the disk.
func attempts(n int, age time.Duration) func(string) error {
	return func(disk string) error {
		note := filepath.Join(filepath.Dir(disk), "attempts")
		mark := time.Now().Add(-age).UTC().Format(time.RFC3339) + "\n"
		if err := os.WriteFile(note, []byte(strings.Repeat(mark, n)), 0o600); err != nil {
			return err
		}
		commands := fmt.Sprintf("mkdir var\nmkdir var/crash\nwrite %s var/crash/.ukdump-attempts\n", note)
		return run("sh", "-c", `printf "$0" | debugfs -w -f - "$1"`, commands, disk)
	}
}
