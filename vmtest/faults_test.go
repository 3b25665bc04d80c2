// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// faultRoots has the kernels of suites, the first with the module of faults, each
// with a root file system for it, once it was made.
var faultRoots = map[string]faultRoot{}

type faultRoot struct {
	kernel Kernel
	image  string
}

func needFaultRoot(t *testing.T, suite string) faultRoot {
	t.Helper()
	if root, ok := faultRoots[suite]; ok {
		return root
	}
	k, err := FindKernel(suite)
	if suite == faultSuite {
		k, err = FaultKernel(suite)
	}
	if err != nil {
		t.Fatal(err)
	}
	image, err := MakeRootWith(k, k.Release+"-faults") // other tests may run now
	if err != nil {
		t.Fatal(err)
	}
	faultRoots[suite] = faultRoot{k, image}
	return faultRoots[suite]
}

// TestFaults breaks the capture of crashes in every way of the table. Whatever
// happens, the machine reboots by itself and in time, keeps what could be saved,
// and has no incomplete file under the name of a complete one. Without
// UKDUMP_FAULTS=all only a part of the table is tried.
func TestFaults(t *testing.T) {
	begin(t)
	ukdump(t)
	for _, f := range Faults() {
		t.Run(f.Name, func(t *testing.T) {
			if !f.Quick && os.Getenv("UKDUMP_FAULTS") != "all" {
				t.Skip("make test-faults runs this (it sets UKDUMP_FAULTS=all)")
			}
			testFault(t, &f)
		})
	}
}

func testFault(t *testing.T, f *Fault) {
	root := needFaultRoot(t, or(f.Suite, faultSuite))
	disk := filepath.Join(t.TempDir(), "disk")
	makeFaultDisk(t, f, disk)
	for _, capture := range f.Earlier {
		crashFault(t, f, root, disk, capture)
	}
	if f.NewDisk {
		makeFaultDisk(t, f, disk)
	}
	took := crashFault(t, f, root, disk, f.Capture)
	if within := or(f.Within, 2*time.Minute); took > within {
		t.Errorf("it took %v from the crash to the reboot, want %v at the most", took, within)
	}
	if f.After != nil {
		bootAfter(t, f, root, disk)
	}
	saved, read := t.TempDir(), readExt4
	if f.Raw {
		read = readRaw
	}
	if err := read(disk, saved); err != nil {
		t.Fatalf("reading the target: %v", err)
	}
	checkFault(t, f, saved)
	if t.Failed() {
		os.Remove(outcomePath(f.Name))
		return
	}
	if err := (Outcome{root.kernel.Release, took.Seconds(), f.Saved}).save(f.Name); err != nil {
		t.Error(err)
	}
}

func makeFaultDisk(t *testing.T, f *Fault, disk string) {
	t.Helper()
	kind := "ext4"
	if f.Raw {
		kind = ""
	}
	if err := MakeDisk(disk, kind, or(f.Size, "512M"), mkfs["ext4"]...); err != nil {
		t.Fatal(err)
	}
	if f.Raw {
		output(t, ukdump(t), "kdumpctl", "format-raw", disk)
	}
	if f.Prepare != nil {
		if err := f.Prepare(disk); err != nil {
			t.Fatal(err)
		}
	}
}

// faultArgs returns the arguments of QEMU for the machine of a fault: its
// firmware, and the port that the target hangs on.
func faultArgs(t *testing.T, f *Fault, disk string) []string {
	t.Helper()
	args := []string{"-device", "pcie-root-port,id=above", "-device", "virtio-blk-pci,id=target,bus=above,drive=disk"}
	if f.EFI {
		vars, err := firmware(disk + "-vars")
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, vars...)
	}
	return append(args, f.Qemu...)
}

// bootAfter boots the machine once more.
func bootAfter(t *testing.T, f *Fault, root faultRoot, disk string) {
	t.Helper()
	m := Machine{Kernel: root.kernel, Root: root.image, Steps: append(AttachVirtio("ext4"), f.After...),
		MemoryMiB: or(f.MemoryMiB, 1024),
		Args:      append(faultArgs(t, f, disk), "-drive", "if=none,format=raw,cache=unsafe,id=disk,file="+disk)}
	console, err := m.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the boot after the crash: %v", err)
	}
}

// crashFault crashes the machine, has it reboot, and returns how long that took.
func crashFault(t *testing.T, f *Fault, root faultRoot, disk, capture string) time.Duration {
	t.Helper()
	dir := t.TempDir()
	monitor := filepath.Join(dir, "monitor")
	m := Machine{
		Kernel: root.kernel, Root: root.image,
		MemoryMiB: or(f.MemoryMiB, 1024), Crashkernel: f.Crashkernel,
		Args: append(faultArgs(t, f, disk), "-qmp", "unix:"+monitor),
	}
	if capture != byReset {
		m.Append = options(capture)
	}
	when, do := f.When, f.Do
	if f.Network {
		network, p := serveFault(t, f)
		m.Args = append(m.Args, network...)
		if do == nil {
			do = func(*Monitor) error {
				if f.Freezes {
					p.freeze()
				} else {
					p.Stop()
				}
				return nil
			}
		}
		if p != nil {
			defer wantNoDump(t, p.saved)
		}
	}
	m.Steps = f.steps()
	if capture == byReset {
		when, do = "ukdump: dump: ", func(m *Monitor) error { return m.Execute("system_reset", nil) }
	}
	if f.Early {
		initramfs, err := makeInitramfs(root.kernel, dir, f.conf("\n"))
		if err != nil {
			t.Fatal(err)
		}
		m.Args = append(m.Args, "-initrd", initramfs)
	}
	drive, wake, breaks := disk+",cache=unsafe", func() {}, func() {}
	if f.Breaks != "" {
		socket := filepath.Join(dir, "disk")
		bytes := f.BreaksAt
		if f.BreaksWhen != "" {
			bytes = math.MaxInt64
		}
		bad, err := ServeBadDisk(socket, disk, f.Breaks, bytes)
		if err != nil {
			t.Fatal(err)
		}
		defer bad.Close()
		drive, wake, breaks = "nbd:unix:"+socket+",cache=none", bad.Wake, bad.Break
	}
	m.Args = append(m.Args, "-drive", "if=none,format=raw,werror=report,rerror=report,id=disk,file="+drive+f.Drive)
	listener, err := net.Listen("unix", monitor)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	said := make(chan struct{}, 1)
	m.Print = func(line string) {
		// When the kernel resets a device, QEMU holds the whole machine until the
		// device's requests are done. That is QEMU's, so they are done then.
		if strings.Contains(line, "ukdump: end action=") {
			wake()
		}
		if f.BreaksWhen != "" && strings.Contains(line, f.BreaksWhen) {
			breaks()
		}
		if when != "" && strings.Contains(line, when) {
			select {
			case said <- struct{}{}:
			default: // once is enough
			}
		}
	}
	watched := make(chan string, 1)
	go func() { watched <- watch(listener, do, said, wake) }()

	console, err := m.Run()
	logConsole(t, console)
	listener.Close()
	events := <-watched
	t.Logf("QEMU says: %s", events)
	if err != nil {
		t.Fatalf("the machine did not reboot by itself: %v", err)
	}
	if capture != byReset && !strings.Contains(events, "guest-reset") && !strings.Contains(events, "WATCHDOG") {
		t.Errorf("the machine ended, but not in a reboot of its own")
	}
	if capture == byReset {
		return 0
	}
	took, err := rebootTime(console)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f s from the crash to the reboot", took.Seconds())
	if capture == f.Capture {
		wantSaid(t, console, f.Said...)
	}
	return took
}

// serveFault starts the server of a fault, and returns the arguments of QEMU for
// the network. The fault gets to know the way to the server.
func serveFault(t *testing.T, f *Fault) (args []string, p *peer) {
	t.Helper()
	if f.Server == SilentServer {
		listener, err := net.Listen("tcp", "127.0.0.1:0") // connections wait to be accepted
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		return Network(NIC{Net: fmt.Sprintf("%s,guestfwd=tcp:10.0.2.100:2049-tcp:%v", UserNet, listener.Addr())}), nil
	}
	if f.Server != "" {
		p = peers[f.Server](t, "")
		f.Target = or(f.Target, strings.Join(p.target, "|"))
		f.Steps = append(p.steps, f.Steps...)
	}
	return Network(NIC{}), p
}

// watch follows what happens to the machine, until it ends, and returns what
// QEMU said about it. It does the host's part of the fault. Before QEMU ends, it
// waits for the requests of disks, so wake is called then.
func watch(listener net.Listener, do func(*Monitor) error, said <-chan struct{}, wake func()) string {
	monitor, events, err := Listen(listener)
	if err != nil {
		return err.Error()
	}
	var all []string
	for {
		select {
		case <-said:
			said = nil // once is enough
			if err := do(monitor); err != nil {
				all = append(all, err.Error())
			}
		case event, ok := <-events:
			if !ok {
				return strings.Join(all, ", ")
			}
			all = append(all, fmt.Sprintf("%s %v", event.Name, event.Data))
			if event.Name == "SHUTDOWN" {
				wake()
			}
		}
	}
}

// TestReliability holds the table in docs/reliability.md against the faults that
// are tried.
func TestReliability(t *testing.T) {
	doc := readFile(t, filepath.Join(Build, "../docs/reliability.md"))
	for _, f := range Faults() {
		if !strings.Contains(doc, fmt.Sprintf("| `%s` | %s |", f.Name, f.What)) {
			t.Errorf("docs/reliability.md does not have the fault %q as it is tried: run make test-faults", f.Name)
		}
	}
}

// rebootTime returns how long it took from the crash to the reboot. Of a panic in
// an NMI the console does not hear; then it is from the start of the capture
// kernel on.
func rebootTime(console *Console) (time.Duration, error) {
	for _, crash := range []string{"Kernel panic - not syncing", "ukdump_fault: crash", "Kernel command line: elfcorehdr="} {
		if line, found := console.Find(crash); found {
			return console.Ended - line.At, nil
		}
	}
	return 0, fmt.Errorf("the machine did not crash")
}

// checkFault checks what was saved.
func checkFault(t *testing.T, f *Fault, saved string) {
	t.Helper()
	dumps, err := filepath.Glob(filepath.Join(saved, "var/crash/127.0.0.1-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, dump := range dumps {
		checkNames(t, f, dump)
	}
	if f.Saved == nil {
		if len(dumps) > 0 {
			t.Errorf("%v was saved, want nothing", dumps)
		}
		return
	}
	if len(dumps) == 0 {
		t.Fatal("nothing was saved")
	}
	if f.After != nil && len(dumps) > 1 {
		t.Errorf("%v were collected, want one", dumps)
	}
	dump := dumps[len(dumps)-1]
	if _, err := os.Stat(filepath.Join(dump, "vmcore")); err == nil && f.OrAll {
		f.Saved = All
	}
	wantFiles(t, dump, f.Saved...)
	if !slices.Contains(f.Saved, "kdump.log") {
		const before = "] dmesg: done in " // the dump
		if log := readFile(t, filepath.Join(dump, "kdump.log-incomplete")); !strings.Contains(log, before) {
			t.Errorf("kdump.log-incomplete does not say how far the run had come: %q", log)
		}
		return
	}
	log := readFile(t, filepath.Join(dump, "kdump.log"))
	for _, text := range f.Log {
		if !strings.Contains(log, text) {
			t.Errorf("kdump.log does not have %q", text)
		}
	}
	if t.Failed() {
		ours, _, _ := strings.Cut(log, "\nThe log of the capture kernel:")
		t.Logf("kdump.log:\n%s", ours)
	}
}

// checkNames requires that what has a final name is complete, and that of a dump
// that was not finished, but ended, the part can be read.
func checkNames(t *testing.T, f *Fault, dir string) {
	t.Helper()
	for _, entry := range listDir(t, dir) {
		path := filepath.Join(dir, entry.Name())
		switch entry.Name() {
		case "vmcore":
			if out, err := exec.Command(ukdump(t), "dumpinfo", "--verify", path).CombinedOutput(); err != nil {
				t.Errorf("dumpinfo --verify %s: %v\n%s", path, err, out)
			}
		case "vmcore-incomplete":
			// Of one that was cut short, not even the header need be there.
			if slices.Equal(f.Saved, Part) {
				wantIncomplete(t, path)
			}
		case "vmcore-dmesg.txt":
			if log := readFile(t, path); !strings.Contains(log, "guest: ") || !strings.HasSuffix(log, "\n") {
				t.Errorf("%s is no whole log", path)
			}
		case "kdump.log":
			if log := readFile(t, path); !strings.Contains(log, "\nresult=") {
				t.Errorf("%s does not have the result", path)
			}
		}
	}
}

// wantIncomplete requires that the file is a dump that says of itself that it
// lacks pages, and that the pages in it can be read.
func wantIncomplete(t *testing.T, path string) {
	t.Helper()
	dump := openDump(t, path)
	const status, incomplete = 424, 8 // DUMP_DH_COMPRESSED_INCOMPLETE
	if flags := binary.LittleEndian.Uint32(dump.data[status:]); flags&incomplete == 0 {
		t.Errorf("status %#x of the dump's header, want %#x in it", flags, incomplete)
	}
	pages, missing, bad := 0, 0, 0
	dump.eachPage(func(_ int, _ []byte, err error) {
		switch {
		case err == errMissing:
			missing++
		case err != nil:
			bad++
		default:
			pages++
		}
	})
	t.Logf("%d pages, %d missing", pages, missing)
	if pages == 0 || missing == 0 || bad > 0 {
		t.Errorf("%d pages, %d missing, %d unreadable, want some, some, none", pages, missing, bad)
	}
}
