// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/target/servertest"
	"github.com/ukdump/ukdump/pkg/target/ssh/sshdtest"
)

// trouble is what is in the way of a dump to a peer.
type trouble struct {
	args []string                                // of QEMU
	size string                                  // of the peer's disk
	act  func(t *testing.T, p *peer, m *Monitor) // in the middle of the dump
	// refused has the machine try targets first that are not to have the dump: one
	// whose name nobody knows, and one that is not the server that was expected.
	refused bool
}

// noSuchName is no name of a host (RFC 6761).
const noSuchName = "no.such.name.invalid"

var troubles = map[string]trouble{
	"refused": {refused: true},
	"restarted": {act: func(t *testing.T, p *peer, _ *Monitor) {
		p.Stop()
		p.Start(t)
	}},
	"link down": {act: func(t *testing.T, _ *peer, m *Monitor) {
		out := m.SetLink("nic0", false)
		time.Sleep(20 * time.Second)
		if err := errors.Join(out, m.SetLink("nic0", true)); err != nil {
			t.Errorf("the cable: %v", err)
		}
	}},
	// Connections, but not the server. One that does nothing at all is in the table
	// of faults, for each kind.
	"stalled": {act: func(_ *testing.T, p *peer, _ *Monitor) { p.server.(*sshdtest.Server).Signal(syscall.SIGSTOP) }},
	"full":    {size: "96m"},
	"clock":   {args: []string{"-rtc", "base=2001-02-03T04:05:06"}},
}

// remoteTest is a machine that saves its dump to a server in spite of a trouble.
type remoteTest struct {
	server  Server
	trouble string
	quick   bool     // make test has it; all are in make test-faults
	next    bool     // the server cannot have the dump: the next target, a disk, gets it
	smaller bool     // it gets one of level 31
	log     []string // texts in kdump.log
}

// again says that the capture kernel saves the same memory to a disk, too: the
// server's dump has to be the same, byte for byte.
func (test *remoteTest) again() bool { return !test.next && !test.smaller }

// TestRemote saves dumps across the network, to each kind of server and in spite
// of each trouble. Without UKDUMP_FAULTS=all only a part of the table is tried.
func TestRemote(t *testing.T) {
	begin(t)
	ukdump(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []remoteTest{
		{server: SSHServer, trouble: "refused", quick: true, log: []string{"no such host", "another machine that pretends"}},
		{server: SSHServer, trouble: "restarted"},
		{server: SSHServer, trouble: "link down"},
		{server: SSHServer, trouble: "stalled"},
		{server: SSHServer, trouble: "full", smaller: true, log: []string{"no space left", "trying dump level 31"}},

		{server: NFSServer, trouble: "refused", log: []string{"no such host"}},
		{server: NFSServer, trouble: "restarted", quick: true},
		{server: NFSServer, trouble: "link down"},
		{server: NFSServer, trouble: "full", quick: true, smaller: true, log: []string{"no space left", "trying dump level 31"}},
		{server: NFS3Server, trouble: "restarted"},

		{server: PutServer, trouble: "refused", quick: true, log: []string{"no such host", "not the pinned one"}},
		{server: PutServer, trouble: "restarted", quick: true, smaller: true, log: []string{"dump: failed", "none has taken the dump"}},
		{server: PutServer, trouble: "link down"},
		{server: PutServer, trouble: "full", next: true, log: []string{"dump: failed"}},

		{server: TusServer, trouble: "refused", quick: true, log: []string{"no such host", "certificate signed by unknown authority"}},
		{server: TusServer, trouble: "restarted", quick: true},
		{server: TusServer, trouble: "link down"},
		{server: TusServer, trouble: "full", next: true, log: []string{"dump: failed", "507"}},
		{server: BucketServer, trouble: "refused", log: []string{"no such host", "certificate signed by unknown authority"}},
		{server: BucketServer, trouble: "restarted", quick: true},
		{server: BucketServer, trouble: "link down"},

		{server: S3Server, trouble: "refused", log: []string{"no such host", "not the pinned one"}},
		{server: S3Server, trouble: "restarted"},
		{server: S3Server, trouble: "link down", quick: true},
		{server: S3Server, trouble: "full", next: true, log: []string{"dump: failed"}},
		{server: S3Server, trouble: "clock", log: []string{"the clock is wrong"}},
	} {
		t.Run(string(test.server)+" "+test.trouble, func(t *testing.T) {
			if !test.quick && os.Getenv("UKDUMP_FAULTS") != "all" {
				t.Skip("make test-faults runs this (it sets UKDUMP_FAULTS=all)")
			}
			test.run(t, k, root)
		})
	}
}

func (test *remoteTest) run(t *testing.T, k Kernel, root string) {
	trouble := troubles[test.trouble]
	p, disk := peers[test.server](t, trouble.size), filepath.Join(t.TempDir(), "disk")
	if err := MakeDisk(disk, "ext4", "512M", mkfs["ext4"]...); err != nil {
		t.Fatal(err)
	}
	m := Machine{Kernel: k, Root: root, MemoryMiB: 1024, Virtio: []string{disk}, Args: slices.Concat(Network(NIC{}), trouble.args)}
	m.Steps = slices.Concat(AttachNetwork(), AttachVirtio("ext4"), p.steps, hook("hook-again"), []string{
		"write /etc/kdump.conf " + strings.Join(test.conf(p, trouble.refused), "|"),
		// The steps are long, and the line is inherited.
		kdumpctl + "build", kdumpctl + "load --remove GUEST_STEPS", "fill 256", "crash"})
	console := crashAmid(t, &m, p, trouble.act)
	wantSaid(t, console, "ukdump: result=ok ", "ukdump: end action=reboot")

	dump := ""
	saved := t.TempDir()
	if err := readExt4(disk, saved); err != nil {
		t.Fatal(err)
	}
	if test.next {
		wantNoDump(t, p.saved)
		dump = onlyDump(t, filepath.Join(saved, "var/crash"))
	} else {
		from := p.saved
		if p.fetch != nil {
			from = p.fetch(t)
		}
		dump = wholeDump(t, from)
	}
	if _, err := os.Stat(filepath.Join(dump, "vmcore.flat")); err == nil {
		unflatten(t, k, dump)
	}
	if test.again() {
		wantSame(t, filepath.Join(dump, "vmcore"), filepath.Join(saved, "vmcore"))
	}
	checkWhole(t, k, dump)
	log := readFile(t, filepath.Join(dump, "kdump.log"))
	for _, text := range test.log {
		if !strings.Contains(log, text) {
			t.Errorf("kdump.log does not have %q", text)
		}
	}
	wantInTime(t, log, trouble.refused || test.next)
}

// conf returns the lines of kdump.conf.
func (test *remoteTest) conf(p *peer, refused bool) []string {
	// Beyond level 31 there is enough to be in the middle of for a while. A snapshot
	// of the network needs to know the names.
	conf := []string{"machine tested", "network eth0 dhcp", "core_collector makedumpfile -l -d 0"}
	if refused {
		conf = append(conf, "target_timeout 1m")
		for _, line := range p.target {
			conf = append(conf, strings.Replace(line, "10.0.2.2", noSuchName, 1))
		}
		conf = append(conf, p.wrong...)
	}
	conf = append(conf, p.target...)
	if test.next {
		conf = append(conf, "target_timeout 1m", "ext4 UUID="+uuid)
	}
	if test.again() {
		conf = append(conf, "extra_modules virtio_blk ext4", "kdump_post /sbin/hook-again", "hook_timeout 5m")
	}
	return conf
}

// wantSame requires that two files have the same bytes.
func wantSame(t *testing.T, got, want string) {
	t.Helper()
	if a, b := mapFile(t, got), mapFile(t, want); !bytes.Equal(a, b) {
		t.Errorf("%s has %d bytes, which are not the same as the %d in %s", got, len(a), len(b), want)
	}
}

// wholeDump returns the only directory of a complete dump. Tries before it may have
// left others with the kernel log.
func wholeDump(t *testing.T, dir string) string {
	t.Helper()
	dumps := slices.Concat(glob(t, filepath.Join(dir, "*/vmcore")), glob(t, filepath.Join(dir, "*/vmcore.flat")))
	if len(dumps) != 1 {
		t.Fatalf("%s has the dumps %q, want one", dir, dumps)
	}
	return filepath.Dir(dumps[0])
}

// unflatten has makedumpfile make the usual dump of a flattened one.
func unflatten(t *testing.T, k Kernel, dir string) {
	t.Helper()
	flat, err := os.Open(filepath.Join(dir, "vmcore.flat"))
	if err != nil {
		t.Fatal(err)
	}
	defer flat.Close()
	cmd := exec.Command(needTool(t, "makedumpfile", k.Suite), "-R", filepath.Join(dir, "vmcore"))
	cmd.Stdin = flat
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("makedumpfile -R: %v\n%s", err, out)
	}
	if err := os.Remove(flat.Name()); err != nil {
		t.Fatal(err)
	}
}

// crashAmid has the machine crash and reboot, and acts in the middle of its dump to
// the peer.
func crashAmid(t *testing.T, m *Machine, p *peer, act func(*testing.T, *peer, *Monitor)) *Console {
	t.Helper()
	listener, args, err := ListenMonitor(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	m.Args = append(m.Args, args...)
	ended, acted := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(acted)
		monitor, _, err := Listen(listener)
		if err != nil {
			t.Errorf("QEMU's monitor: %v", err)
			return
		}
		if act == nil {
			return
		}
		for servertest.Stored(p.store) < 8<<20 {
			select {
			case <-ended:
				t.Error("the dump was over before anything happened to it")
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
		act(t, p, monitor)
	}()
	console, err := m.Run()
	close(ended)
	logConsole(t, console)
	if err != nil {
		t.Fatalf("the machine did not end by itself: %v", err)
	}
	<-acted
	return console
}

// wantNoDump requires that a peer has no dump under the name of a complete one, but
// the kernel log, which is saved before.
func wantNoDump(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"vmcore", "vmcore.flat"} {
		if dumps := glob(t, filepath.Join(dir, "*", name)); dumps != nil {
			t.Errorf("the server has %q, as if that were complete", dumps)
		}
	}
	if logs := glob(t, filepath.Join(dir, "*/vmcore-dmesg.txt")); len(logs) == 0 {
		t.Errorf("the server has no kernel log in %s", dir)
	}
}

// wantInTime requires of kdump.log that no target had more time than it is said to
// have, but for what is done in the end: a dump is ended, kdump.log saved, and the
// target closed. A run with several targets says it of each.
func wantInTime(t *testing.T, log string, several bool) {
	t.Helper()
	const ending = time.Minute
	var began, budget time.Duration
	target := ""
	for line := range strings.Lines(log) {
		stamp, text, ok := logged(line)
		if !ok {
			break // of what the run did
		}
		if target != "" && stamp-began > budget+ending {
			t.Fatalf("kdump.log: target %s had more than %v: %s", target, budget, line)
		}
		if begun := targetBegun.FindStringSubmatch(text); begun != nil {
			var err error
			if budget, err = time.ParseDuration(begun[2]); err != nil {
				t.Fatal(err)
			}
			began, target = stamp, begun[1]
		}
	}
	if several && target == "" {
		t.Error("kdump.log does not say how much time the targets have")
	}
}

var targetBegun = regexp.MustCompile(`^target: (\d+ of \d+): .*, for at most (\S+)`)

// logged splits a line of kdump.log into its time since the start of the run and
// its text.
func logged(line string) (time.Duration, string, bool) {
	stamp, text, ok := strings.Cut(strings.TrimPrefix(line, "["), "] ")
	seconds, err := strconv.ParseFloat(strings.TrimSpace(stamp), 64)
	return time.Duration(seconds * float64(time.Second)), text, ok && err == nil
}
