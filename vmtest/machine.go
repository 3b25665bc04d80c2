// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/hugelgupf/vmtest/qemu"
)

// Machine is a machine to start, and mostly to crash.
type Machine struct {
	Kernel Kernel
	// Root is the image of its root file system, from MakeRoot. It is not changed.
	Root string
	// Steps are what the machine does, see the guest program.
	Steps []string
	// Raw, if not empty, is the disk image that becomes the second NVMe namespace.
	Raw string
	// Virtio are disk images that become virtio disks, in this order.
	Virtio []string
	// MemoryMiB is how much memory the machine has; 2048 if 0.
	MemoryMiB int
	// BalloonMiB is how much memory the host takes away in the balloon step.
	BalloonMiB int
	// Crashkernel is how much of it is kept for the capture kernel; "256M" if empty.
	Crashkernel string
	// Append is added to its kernel command line, and Args to QEMU's.
	Append string
	Args   []string
	// Print gets every line of the console.
	Print func(line string)
	// Deadline ends a machine that hangs; five minutes if 0.
	Deadline time.Duration
}

// Console is what a machine said.
type Console struct {
	Lines []Line
	// Ended is when the machine ended, since its start.
	Ended time.Duration
	// begun says that the kernel has come to start a program, and stuck that it has
	// stood still before.
	begun, stuck bool
}

// Line is one line of a console and when it came, since the machine's start.
type Line struct {
	At   time.Duration
	Text string
}

// Find returns the first line that has text in it.
func (c *Console) Find(text string) (Line, bool) {
	for _, line := range c.Lines {
		if strings.Contains(line.Text, text) {
			return line, true
		}
	}
	return Line{}, false
}

// guest returns what the guest program said.
func (c *Console) guest() string {
	var all strings.Builder
	for _, line := range c.Lines {
		if strings.Contains(line.Text, "guest: ") {
			all.WriteString(line.Text + "\n")
		}
	}
	return all.String()
}

// Run starts the machine and waits for its end: the capture kernel's reboot, a
// power off, or the deadline, which is an error. The console is returned in any
// case.
//
// On a busy host, the emulated clocks now and then make a kernel stand still while
// it boots, before anything of ours has run. Then the machine is started again.
func (m *Machine) Run() (*Console, error) {
	const tries = 3
	for range tries - 1 {
		if console, err := m.run(); !console.stuck {
			return console, err
		}
	}
	return m.run()
}

func (m *Machine) run() (*Console, error) {
	command := os.Getenv("VMTEST_QEMU")
	if command == "" {
		// Software emulation: on many machines, /dev/kvm is there and guests hang.
		command = "qemu-system-x86_64 -accel tcg,thread=multi"
	}
	console, start, deadline := &Console{}, time.Now(), or(m.Deadline, 5*time.Minute)
	started := make(chan *qemu.VM, 1)
	fns := []qemu.Fn{
		qemu.WithQEMUCommand(command),
		qemu.WithKernel(m.Kernel.Image()),
		qemu.WithAppendKernel(
			"console=ttyS0 printk.devkmsg=on loglevel=6 root=PARTUUID=6b64756d-01 rw devtmpfs.mount=1",
			// On busy hosts, capture kernels now and then get no interrupts of QEMU's
			// NVMe. The driver then looks by itself, but waits a minute for each.
			"nvme_core.admin_timeout=5 nvme_core.io_timeout=10",
			"crashkernel="+or(m.Crashkernel, "256M"), m.Append, `"GUEST_STEPS=`+strings.Join(m.Steps, ";")+`"`),
		qemu.WithQEMUArgs(
			"-M", "q35", "-cpu", "max", "-smp", "2", "-m", fmt.Sprint(or(m.MemoryMiB, 2048)),
			"-nic", "none",
			"-device", "nvme,id=nvme0,serial=ukdump",
			"-drive", "if=none,format=raw,snapshot=on,id=root,file="+m.Root,
			"-device", "nvme-ns,bus=nvme0,nsid=1,drive=root"),
		// QEMU ends where the machine would reboot.
		qemu.HaltOnKernelPanic(),
		qemu.WithVMTimeout(deadline),
		qemu.LogSerialByLine(func(text string) {
			console.Lines = append(console.Lines, Line{time.Since(start), text})
			console.begun = console.begun || strings.Contains(text, "Run /") || strings.Contains(text, "guest: ")
			if !console.begun && !console.stuck && strings.Contains(text, "detected stalls on CPUs") {
				console.stuck = true
				go func() { _ = (<-started).Kill() }()
			}
			if m.Print != nil {
				m.Print(text)
			}
			if strings.Contains(text, "guest: inflate") {
				// Control-A and C lead from the console to QEMU's monitor and back.
				_, _ = (<-started).Console.Send(fmt.Sprintf("\x01cballoon %d\n\x01c", or(m.MemoryMiB, 2048)-m.BalloonMiB))
			}
		}),
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
	if m.BalloonMiB > 0 {
		fns = append(fns, qemu.WithQEMUArgs("-device", "virtio-balloon-pci"))
	}
	fns = append(fns, qemu.WithQEMUArgs(m.Args...))
	vm, err := qemu.Start(qemu.ArchAMD64, fns...)
	if err != nil {
		return console, err
	}
	started <- vm
	err = vm.Wait()
	console.Ended = time.Since(start)
	if err != nil && console.Ended >= deadline {
		err = fmt.Errorf("no end within %v: %w", deadline, err)
	}
	if failed, found := console.Find("guest: FAILED"); found && err == nil {
		err = fmt.Errorf("the machine says: %s", failed.Text)
	}
	return console, err
}

// or returns v, or fallback if v is the zero value.
func or[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}
