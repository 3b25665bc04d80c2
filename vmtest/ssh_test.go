// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target/ssh/sshdtest"
)

// sshSteps returns the steps that give a machine the key for a server, and the
// host keys of servers.
func sshSteps(t *testing.T, s *sshdtest.Server, hosts ...string) []string {
	t.Helper()
	return []string{
		"write /root/key " + strings.ReplaceAll(strings.TrimSpace(string(s.Key(t, "client"))), "\n", "|"),
		"write /root/hosts " + strings.Join(hosts, "|"),
	}
}

// TestSSH saves a dump to an OpenSSH server, in spite of what happens in the
// middle.
func TestSSH(t *testing.T) {
	begin(t)
	ukdump(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	// Beyond level 31 there is enough to be in the middle of for a while.
	const common = "machine tested|sshkey /root/key|ssh_known_hosts /root/hosts|core_collector makedumpfile -l -d 0"
	for _, test := range []struct {
		name  string
		wrong bool                                               // there are targets before it that are not right
		size  string                                             // of the server's disk
		act   func(t *testing.T, s *sshdtest.Server, m *Monitor) // in the middle of the dump
		said  []string
	}{
		{name: "steady"},
		{name: "restarted", act: func(t *testing.T, s *sshdtest.Server, _ *Monitor) {
			s.Stop()
			s.Start(t)
		}},
		{name: "link down", act: func(t *testing.T, _ *sshdtest.Server, m *Monitor) {
			for _, up := range []bool{false, true} {
				if err := m.SetLink("nic0", up); err != nil {
					t.Errorf("the cable: %v", err)
				}
				if !up {
					time.Sleep(20 * time.Second)
				}
			}
		}},
		{name: "stalled", act: func(_ *testing.T, s *sshdtest.Server, _ *Monitor) { s.Signal(syscall.SIGSTOP) }},
		{name: "full", size: "96m", said: []string{"no space left", "trying dump level 31"}},
		{name: "refused", wrong: true,
			said: []string{"no such host", "target: 2 of 3", "another machine that pretends", "target: 3 of 3"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := sshdtest.New(t)
			dumps := s.Path("dumps")
			if test.size != "" {
				mountSmall(t, dumps, test.size)
			}
			listener, args, err := ListenMonitor(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			conf, hosts := common+"|path "+dumps, []string{fmt.Sprintf("[10.0.2.2]:%d %s", s.Port, s.Public(t, "host"))}
			if test.wrong {
				other := sshdtest.New(t)
				conf += fmt.Sprintf("|network eth0 dhcp|ssh %s@no.such.name.invalid|ssh %[1]s@10.0.2.2:%d", s.User, other.Port)
				hosts = append(hosts, fmt.Sprintf("[10.0.2.2]:%d %s", other.Port, s.Public(t, "host")), "* "+s.Public(t, "host"))
			}
			conf += fmt.Sprintf("|ssh %s@10.0.2.2:%d", s.User, s.Port)
			m := Machine{Kernel: k, Root: root, MemoryMiB: 1024, Args: slices.Concat(Network(NIC{}), args)}
			m.Steps = slices.Concat(AttachNetwork(), sshSteps(t, s, hosts...), []string{"write /etc/kdump.conf " + conf,
				kdumpctl + "build", kdumpctl + "load", "fill 256", "crash"})
			acted := make(chan struct{})
			go func() {
				defer close(acted)
				monitor, _, err := Listen(listener)
				if err != nil {
					t.Errorf("QEMU's monitor: %v", err)
					return
				}
				if test.act != nil {
					awaitGrown(s.Dir, 8<<20)
					test.act(t, s, monitor)
				}
			}()
			console, err := m.Run()
			logConsole(t, console)
			if err != nil {
				t.Fatalf("the machine did not end by itself: %v", err)
			}
			<-acted
			wantSaid(t, console, test.said...)
			checkSaved(t, k, console, dumps)
		})
	}
}

// mountSmall makes a directory that is a small file system of its own.
func mountSmall(t *testing.T, dir, size string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("mounting a small file system: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
}
