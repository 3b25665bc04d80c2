// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package netconf

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests of what is done to the network run in namespaces of their own: the
// test starts itself once more, with a network that has nothing but lo, and its own
// /etc and /run. The other end of the cables is in a second namespace, "peer".

// mark is set in the environment to the mount namespace that was left.
const mark = "NETCONF_TEST_SPACE"

// inSpace reports whether the test runs in namespaces of its own. If not, it has
// run there when inSpace returns, with the same outcome.
func inSpace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(mark) != "" {
		furnish(t)
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skipf("no iproute2: %v", err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.v", "-test.timeout=5m", "-test.run=^"+t.Name()+"$")
	everybodys, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Skip(err)
	}
	cmd.Env = append(os.Environ(), mark+"="+everybodys)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil && cmd.ProcessState == nil:
		t.Skipf("no namespaces: %v", err)
	case err != nil:
		t.Fatalf("%s", out)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skipf("%s", out)
	}
	t.Logf("%s", out)
	return false
}

// furnish makes the namespaces habitable.
func furnish(t *testing.T) {
	t.Helper()
	if own, _ := os.Readlink("/proc/self/ns/mnt"); own == os.Getenv(mark) {
		t.Fatal("these are the namespaces of everybody")
	}
	passwd := readFile(t, "/etc/passwd")
	group := readFile(t, "/etc/group")
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/etc", "/run"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, "/etc/passwd", passwd)
	writeFile(t, "/etc/group", group)
	ip(t, "netns add peer")
	ip(t, "-n peer link set lo up")
	ip(t, "link set lo up")
}

// cable makes a network card with a cable to one in the other namespace, which is
// up.
func cable(t *testing.T, name, mac, peer string) {
	t.Helper()
	ip(t, "link add "+name+" address "+mac+" type veth peer name "+peer+" netns peer")
	ip(t, "-n peer link set "+peer+" up")
}

// ip runs the command of iproute2 and returns what it prints, with single spaces.
func ip(t *testing.T, args string) string {
	t.Helper()
	out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	var lines []string
	for line := range strings.Lines(string(out)) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

// serve runs a server in the other namespace until the test ends, and returns when
// it has printed the text.
func serve(t *testing.T, ready, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s to test with: %v", name, err)
	}
	cmd := exec.Command("ip", append([]string{"netns", "exec", "peer", path}, args...)...)
	output := &awaited{text: ready, seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		if t.Failed() {
			t.Logf("%s: %s", name, output)
		}
	})
	select {
	case <-output.seen:
	case err := <-ended:
		t.Fatalf("%s ended: %v\n%s", name, err, output)
	case <-time.After(time.Minute):
		t.Fatalf("%s does not say %q\n%s", name, ready, output)
	}
}

// awaited is a writer that tells when a text was written.
type awaited struct {
	text string
	seen chan struct{}
	mu   sync.Mutex
	all  bytes.Buffer
}

func (a *awaited) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := strings.Contains(a.all.String(), a.text)
	a.all.Write(p)
	if !before && strings.Contains(a.all.String(), a.text) {
		close(a.seen)
	}
	return len(p), nil
}

func (a *awaited) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all.String()
}

// up brings up a plan and returns what was said.
func up(t *testing.T, text string) (said string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return upWithin(ctx, t, text)
}

func upWithin(ctx context.Context, t *testing.T, text string) (said string, err error) {
	t.Helper()
	plan, err := Parse("network", text)
	if err != nil {
		t.Fatal(err)
	}
	err = Up(ctx, plan, func(line string) { said += line + "\n" })
	t.Logf("Up says:\n%s", said)
	return said, err
}

// want requires that a text has others in it.
func want(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s: %q is not in\n%s", what, part, text)
		}
	}
}

// wantNot requires that a text does not have others in it.
func wantNot(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if strings.Contains(text, part) {
			t.Errorf("%s: %q is in\n%s", what, part, text)
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// goroutines returns how many there are. If it is given a number, it waits until
// there are no more than that.
func goroutines(t *testing.T, most ...int) int {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		n := runtime.NumGoroutine()
		if len(most) == 0 || n <= most[0] {
			return n
		}
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, there were %d:\n%s", n, most[0], buf[:runtime.Stack(buf, true)])
		}
	}
}
