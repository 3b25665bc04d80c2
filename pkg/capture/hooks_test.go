// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package capture

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/config"
)

// addScript makes a program in the machine's image.
func addScript(t *testing.T, m machine, path, text string) {
	t.Helper()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip(err)
	}
	file := m.root + path
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
}

// hookLines returns what is on the console about programs, and the result.
func hookLines(r *run, s state, console string) []string {
	about := regexp.MustCompile(`^(kdump_|result=\w+)[^ ]*`)
	var found []string
	for _, line := range append(lines(console), r.resultLine(s)) {
		if !about.MatchString(line) {
			continue
		}
		if strings.HasPrefix(line, "result=") {
			line, _, _ = strings.Cut(line, " ")
		}
		found = append(found, line)
	}
	return found
}

// allHooks is a configuration with a program for each hook, and a target that is
// not there.
const allHooks = "ext4 UUID=0a-0\ndevice_timeout 1\nkdump_pre /bin/pre\nkdump_post /bin/post\nkdump_emergency /bin/emergency\n"

// TestHooks runs programs at each moment of a run that fails.
func TestHooks(t *testing.T) {
	m := fakeMachine(t, "/dev/null", allHooks+"failure_action halt\n")
	addScript(t, m, "/bin/pre", "echo $# $PATH\n")
	addScript(t, m, "/bin/post", "echo $# $1 $UKDUMP_RESULT ${UKDUMP_DIR:-nowhere}\nexit 9\n")
	addScript(t, m, "/bin/emergency", "echo $#\n")
	for _, name := range []string{"pre.d/20-b", "pre.d/10-a", "post.d/x", "emergency.d/y"} {
		addScript(t, m, "/etc/kdump/"+name, "echo $# $1\nexit 3\n")
	}
	r, console := testRun(m)
	s := r.carryOutAll(initial(m))
	want := []string{
		"kdump_pre /bin/pre: 0 /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/bbin",
		"kdump_pre /bin/pre: done in Ts",
		"kdump_pre /etc/kdump/pre.d/10-a: 0",
		"kdump_pre /etc/kdump/pre.d/10-a: failed after Ts: exit status 3",
		"kdump_pre /etc/kdump/pre.d/20-b: 0",
		"kdump_pre /etc/kdump/pre.d/20-b: failed after Ts: exit status 3",
		"kdump_post /etc/kdump/post.d/x: 1 1",
		"kdump_post /etc/kdump/post.d/x: failed after Ts: exit status 3",
		"kdump_post /bin/post: 1 1 failed nowhere",
		"kdump_post /bin/post: failed after Ts: exit status 9",
		"kdump_emergency /etc/kdump/emergency.d/y: 0",
		"kdump_emergency /etc/kdump/emergency.d/y: failed after Ts: exit status 3",
		"kdump_emergency /bin/emergency: 0",
		"kdump_emergency /bin/emergency: done in Ts",
		"result=failed",
	}
	if got := hookLines(r, s, console.String()); !slices.Equal(got, want) {
		t.Errorf("the run says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(console.String(), "device: failed") || s.action() != config.Halt {
		t.Errorf("the action is %s after\n%s", s.action(), console)
	}
	if got, want := r.hooksTime(s.config), 7*(time.Minute+hookGrace); got != want {
		t.Errorf("hooksTime = %v, want %v", got, want)
	}
}

// TestHooksAfterDump has programs find the dump, and kdump.log have what they say.
func TestHooksAfterDump(t *testing.T) {
	image := newDisk(t, 64<<20, "mkfs.ext4", "-q", "-F")
	conf := strings.Replace(allHooks, "UUID=0a-0", "UUID="+uuid(t, image), 1)
	m := fakeMachine(t, tinyCore(t), conf)
	addScript(t, m, "/bin/pre", "kill -KILL $$\n") // which refuses nothing
	addScript(t, m, "/bin/post", "echo $1 $UKDUMP_RESULT; echo more >$UKDUMP_DIR/more.txt; ls $UKDUMP_DIR\n")
	addScript(t, m, "/bin/emergency", "")
	r, console := testRun(m)
	s := r.carryOutAll(initial(m))
	want := []string{
		"kdump_pre /bin/pre: failed after Ts: signal: killed",
		"kdump_post /bin/post: 0 partial", // there is no kernel log in this core
		"kdump_post /bin/post: kdump.log-incomplete",
		"kdump_post /bin/post: more.txt",
		"kdump_post /bin/post: vmcore",
		"kdump_post /bin/post: done in Ts",
		"result=partial",
	}
	got := hookLines(r, s, console.String())
	if !slices.Equal(got, want) {
		t.Errorf("the run says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	saved := files(t, image, "var/crash")
	if string(saved["more.txt"]) != "more\n" || !strings.Contains(string(saved["kdump.log"]), "kdump_post /bin/post: 0 partial\n") {
		t.Errorf("saved are %q in more.txt, and kdump.log:\n%s", saved["more.txt"], saved["kdump.log"])
	}
}

// TestHookRefuses has kdump_pre say that nothing is to be saved.
func TestHookRefuses(t *testing.T) {
	m := fakeMachine(t, "/dev/null", allHooks+"failure_action halt\nfinal_action poweroff\n")
	addScript(t, m, "/bin/pre", "echo no, thanks\nexit 1\n")
	addScript(t, m, "/bin/post", "")
	addScript(t, m, "/bin/emergency", "")
	r, console := testRun(m)
	s := r.carryOutAll(initial(m))
	want := []string{
		"kdump_pre /bin/pre: no, thanks",
		"kdump_pre /bin/pre: failed after Ts: exit status 1: nothing is to be saved",
		"result=refused",
	}
	if got := hookLines(r, s, console.String()); !slices.Equal(got, want) {
		t.Errorf("the run says %q, want %q", got, want)
	}
	if strings.Contains(console.String(), "device:") || s.action() != config.PowerOff {
		t.Errorf("the action is %s, want poweroff, and no device, after\n%s", s.action(), console)
	}
}

// TestHookTimeout has programs that hang, are not there or damaged. The run goes on.
func TestHookTimeout(t *testing.T) {
	m := fakeMachine(t, "/dev/null", allHooks+"hook_timeout 1\n")
	addScript(t, m, "/bin/pre", "trap '' TERM\nwhile :; do sleep 1000; done\n")
	addScript(t, m, "/bin/emergency", "")
	r, console := testRun(m)
	s := initial(m)
	s.damaged = map[string]bool{m.root + "/bin/emergency": true}
	s = r.carryOutAll(s)
	want := []string{
		"kdump_pre /bin/pre: failed after Ts: out of time: killed",
		"kdump_post /bin/post: failed after Ts: fork/exec " + m.root + "/bin/post: no such file or directory",
		"kdump_emergency /bin/emergency: failed after Ts: it is damaged",
		"result=failed",
	}
	if got := hookLines(r, s, console.String()); !slices.Equal(got, want) {
		t.Errorf("the run says %q, want %q", got, want)
	}
}

// TestFence listens for messages while a run is under way.
func TestFence(t *testing.T) {
	listener, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Skip(err)
	}
	defer listener.Close()
	port := listener.LocalAddr().(*net.UDPAddr).Port
	conf := "fence_kdump_nodes 127.0.0.1\nfence_kdump_args -c 2 -i 1 -p " + strconv.Itoa(port) + "\n"
	m := fakeMachine(t, "/dev/null", allHooks+conf)
	r, console := testRun(m)
	config, err := config.Parse(m.config, allHooks+conf, checks())
	if err != nil {
		t.Fatal(err)
	}
	s := initial(m)
	s.config = config
	r.carryOut(fencePhases(), s)
	for range 2 {
		message := make([]byte, 100)
		listener.SetReadDeadline(time.Now().Add(time.Minute))
		if n, _, err := listener.ReadFrom(message); err != nil || n != 8 {
			t.Errorf("received %d bytes, %v, want 8\n%s", n, err, console)
		}
	}
	if !r.succeeded["fence"] {
		t.Errorf("the run says\n%s", console)
	}
}
