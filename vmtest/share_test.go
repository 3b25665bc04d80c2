// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestShare saves the dump to a directory of the host, which virtiofsd shares.
func TestShare(t *testing.T) {
	begin(t)
	ukdump(t)
	virtiofsd := findVirtiofsd(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	shared, socket := t.TempDir(), filepath.Join(t.TempDir(), "socket")
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := exec.Command(virtiofsd, "--socket-path="+socket, "-o", "source="+shared, "-o", "sandbox=chroot")
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	// It ends with the machine.
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	m := Machine{Kernel: k, Root: root, Args: []string{
		// The server works in the machine's memory.
		"-object", "memory-backend-memfd,id=ram,size=2048M,share=on", "-machine", "memory-backend=ram",
		"-chardev", "socket,id=share,path=" + socket, "-device", "vhost-user-fs-pci,chardev=share,tag=dumps",
	}}
	m.Steps = slices.Concat([]string{"write /etc/kdump.conf virtiofs dumps|path /crash", kdumpctl + "build", kdumpctl + "load", "fill 256", "crash"})
	awaitFile(t, socket)
	console, err := m.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the machine did not end by itself: %v\nvirtiofsd: %s", err, readFile(t, log.Name()))
	}
	checkSaved(t, k, console, filepath.Join(shared, "crash"))
}

// findVirtiofsd finds the server in one of the places where Debian has had it.
func findVirtiofsd(t *testing.T) string {
	t.Helper()
	for _, path := range []string{"/usr/libexec/virtiofsd", "/usr/lib/qemu/virtiofsd"} {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	t.Skip("no virtiofsd here")
	return ""
}

// awaitFile waits for a server to make its socket.
func awaitFile(t *testing.T, path string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not appear", path)
		}
	}
}
