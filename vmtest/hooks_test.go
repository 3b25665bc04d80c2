// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHooks has the capture kernel run shell scripts of the machine that runs the
// test, with the programs that they call, and send messages to a cluster.
func TestHooks(t *testing.T) {
	begin(t)
	ukdump(t)
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip(err)
	}
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	node, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Skip(err)
	}
	defer node.Close()
	conf := strings.Join([]string{
		"ext4 UUID=" + uuid, "path /crash", "extra_bins date ls", "extra_modules virtio_net",
		"kdump_pre " + script("pre", "echo the year is $(date -d @0 +%Y)\nexit 0\n"),
		"kdump_post " + script("post", "echo status $1\nls $UKDUMP_DIR >$UKDUMP_DIR/list.txt\nsleep 1000\n"),
		"kdump_emergency " + script("emergency", ""),
		"network dhcp", "fence_kdump_nodes 10.0.2.2", fmt.Sprintf("fence_kdump_args -i 1 -p %d", node.LocalAddr().(*net.UDPAddr).Port),
	}, "\n")
	initramfs, err := makeInitramfs(k, dir, conf)
	if err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(dir, "disk")
	if err := MakeDisk(disk, "ext4", "512M", mkfs["ext4"]...); err != nil {
		t.Fatal(err)
	}
	m := Machine{Kernel: k, Root: root, Virtio: []string{disk}, MemoryMiB: 1024,
		Args: append(Network(NIC{}), "-initrd", initramfs), Steps: []string{earlySteps[0], "fill 128", "crash"}}
	console, err := m.Run()
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the machine did not end by itself: %v", err)
	}
	wantSaid(t, console, "pre: the year is 1970", "pre: done", "post: status 0",
		"sleep: not found", // which nothing has packed
		"post: failed")
	if _, found := console.Find("ukdump: kdump_emergency"); found {
		t.Error("kdump_emergency ran after a dump that was saved")
	}

	saved := t.TempDir()
	if err := Extract(k, root, disk, "ext4", saved); err != nil {
		t.Fatal(err)
	}
	dumps := filepath.Join(saved, "crash")
	list := filepath.Join(onlyDump(t, dumps), "list.txt")
	if got := readFile(t, list); !strings.Contains(got, "vmcore\n") {
		t.Errorf("the program found %q beside the dump", got)
	}
	os.Remove(list)
	checkSaved(t, k, console, dumps)
	if log := readFile(t, filepath.Join(onlyDump(t, dumps), "kdump.log")); !strings.Contains(log, "post: status 0") {
		t.Errorf("kdump.log does not have what kdump_post says:\n%s", log)
	}

	for range 2 {
		message := make([]byte, 100)
		node.SetReadDeadline(time.Now().Add(time.Second)) // they lie there, or never came
		if n, _, err := node.ReadFrom(message); err != nil || n != 8 {
			t.Errorf("the node of the cluster received %d bytes, %v, want 8", n, err)
		}
	}
}
