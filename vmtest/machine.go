// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/hugelgupf/vmtest/qemu"
)

// Machine is a machine to crash.
type Machine struct {
	Kernel Kernel
	// Root is the image of its root file system. It is not changed.
	Root string
	// Cmdline is added to the kernel command line.
	Cmdline string
	// Raw, if not empty, is the disk image that becomes the second NVMe namespace.
	Raw string
	// Virtio are disk images that become virtio disks, in this order.
	Virtio []string
	// MemoryMiB is how much memory the machine has; 2048 if 0.
	MemoryMiB int
	// Crashkernel is how much of it is kept for the capture kernel; "256M" if empty.
	Crashkernel string
	// Print gets every line of the console.
	Print func(line string)
	// Deadline ends a machine that hangs; five minutes if 0.
	Deadline time.Duration
}

// Run starts the machine and waits for its end: the capture kernel's reboot, a
// power off, or the deadline. It returns the whole console output, also with an
// error.
func (m *Machine) Run() (string, error) {
	command := os.Getenv("VMTEST_QEMU")
	if command == "" {
		// Software emulation: on many machines, /dev/kvm is there and guests hang.
		command = "qemu-system-x86_64 -accel tcg,thread=multi"
	}
	var console lockedBuffer
	fns := []qemu.Fn{
		qemu.WithQEMUCommand(command),
		qemu.WithKernel(m.Kernel.Image()),
		qemu.WithAppendKernel(
			"console=ttyS0 printk.devkmsg=on loglevel=6 root=PARTUUID=6b64756d-01 rw devtmpfs.mount=1",
			"crashkernel="+or(m.Crashkernel, "256M"), m.Cmdline),
		qemu.WithQEMUArgs(
			"-M", "q35", "-cpu", "max", "-smp", "2", "-m", fmt.Sprint(or(m.MemoryMiB, 2048)),
			"-nic", "none",
			"-device", "nvme,id=nvme0,serial=ukdump",
			"-drive", "if=none,format=raw,snapshot=on,id=root,file="+m.Root,
			"-device", "nvme-ns,bus=nvme0,nsid=1,drive=root"),
		qemu.HaltOnKernelPanic(),
		qemu.WithSerialOutput(&console),
		qemu.WithVMTimeout(or(m.Deadline, 5*time.Minute)),
	}
	if m.Raw != "" {
		fns = append(fns, qemu.WithQEMUArgs(
			"-drive", "if=none,format=raw,cache=unsafe,id=raw,file="+m.Raw,
			"-device", "nvme-ns,bus=nvme0,nsid=2,drive=raw"))
	}
	for i, image := range m.Virtio {
		fns = append(fns, qemu.WithQEMUArgs(
			"-drive", fmt.Sprintf("if=none,format=raw,cache=unsafe,id=vd%d,file=%s", i, image),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=vd%d", i)))
	}
	if m.Print != nil {
		fns = append(fns, qemu.LogSerialByLine(m.Print))
	}
	vm, err := qemu.Start(qemu.ArchAMD64, fns...)
	if err != nil {
		return "", err
	}
	err = vm.Wait()
	return console.String(), err
}

// or returns v, or fallback if v is the zero value.
func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

// lockedBuffer collects console output: QEMU's two output streams are written
// to it by two goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) Close() error { return nil }

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var coreSize = regexp.MustCompile(`guest: core of (\d+) bytes`)
