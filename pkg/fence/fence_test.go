// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package fence

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	usual := Options{Port: 7410, Network: "udp", Interval: 10 * time.Second}
	for _, test := range []struct {
		args string
		want Options
		err  string // "" for none
	}{
		{"", usual, ""},
		{"-p 7410 -f auto -c 0 -i 10", usual, ""},
		{"-v --verbose", usual, ""},
		{"-p1 -f ipv6 -c3 -i2", Options{1, "udp6", 3, 2 * time.Second}, ""},
		{"--ipport=65535 --family=IPv4 --count=5 --interval 3600", Options{65535, "udp4", 5, time.Hour}, ""},
		{"-p 0", Options{}, "-p 0: ports are from 1 to 65535"},
		{"-p x", Options{}, "invalid value"},
		{"-c -1", Options{}, "-c -1: a count is not below 0"},
		{"-i 0", Options{}, "-i 0: an interval is from 1 to 3600 seconds"},
		{"-f ipx", Options{}, "it is auto, ipv4 or ipv6"},
		{"-p 7410 node1", Options{}, `"node1" is no option; hosts are named by fence_kdump_nodes`},
		{"-x", Options{}, "not defined: -x"},
	} {
		got, err := ParseOptions(strings.Fields(test.args))
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("ParseOptions(%q) = %+v, %v, want %+v, %q", test.args, got, err, test.want, test.err)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	f.Add("-p 7410 -f auto -c 0 -i 10")
	f.Fuzz(func(t *testing.T, args string) {
		o, err := ParseOptions(strings.Fields(args))
		if err == nil && (o.Port < 1 || o.Port > 65535 || o.Count < 0 || o.Interval < time.Second || !strings.HasPrefix(o.Network, "udp")) {
			t.Errorf("ParseOptions(%q) = %+v", args, o)
		}
	})
}

// listen returns a socket on the loopback of the family and its port.
func listen(t *testing.T, network, address string) (net.PacketConn, int) {
	t.Helper()
	c, err := net.ListenPacket(network, net.JoinHostPort(address, "0"))
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, c.LocalAddr().(*net.UDPAddr).Port
}

// fenceAgent finds a program of the fence-agents where distributions have it, or in
// the directory UKDUMP_FENCE_AGENTS.
func fenceAgent(t *testing.T, name string) string {
	t.Helper()
	dirs := []string{"/usr/sbin", "/usr/libexec", "/usr/libexec/fence-agents", "/usr/lib/fence-agents"}
	for _, dir := range append(dirs, os.Getenv("UKDUMP_FENCE_AGENTS")) {
		if file := dir + "/" + name; dir != "" {
			if _, err := os.Stat(file); err == nil {
				return file
			}
		}
	}
	t.Skipf("no %s here: the package fence-agents has it", name)
	return ""
}

// TestSameAsFenceKdumpSend compares with what fence_kdump_send sends.
func TestSameAsFenceKdumpSend(t *testing.T) {
	program := fenceAgent(t, "fence_kdump_send")
	c, port := listen(t, "udp4", "127.0.0.1")
	if out, err := exec.Command(program, "-p", strconv.Itoa(port), "-c", "1", "127.0.0.1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	theirs := receive(t, c)
	Send(t.Context(), []string{"127.0.0.1"}, Options{Port: port, Network: "udp", Count: 1, Interval: time.Hour}, func(err error) { t.Error(err) })
	if ours := receive(t, c); !bytes.Equal(ours, theirs) {
		t.Errorf("sent %x, want %x, which fence_kdump_send sends", ours, theirs)
	}
}

func receive(t *testing.T, c net.PacketConn) []byte {
	t.Helper()
	b := make([]byte, 100)
	c.SetReadDeadline(time.Now().Add(time.Minute))
	n, _, err := c.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// TestFenceKdump has fence_kdump, which waits for messages, tell whether it got
// one.
func TestFenceKdump(t *testing.T) {
	program := fenceAgent(t, "fence_kdump")
	for _, test := range []struct{ network, address string }{{"udp4", "127.0.0.1"}, {"udp6", "::1"}} {
		c, port := listen(t, test.network, test.address)
		c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			// Nobody may be listening yet, which costs no more than the message.
			Send(ctx, []string{test.address}, Options{Port: port, Network: test.network, Interval: 100 * time.Millisecond}, func(error) {})
		}()
		out, err := exec.Command(program, "-n", test.address, "-p", strconv.Itoa(port), "-t", "60", "-v").CombinedOutput()
		cancel()
		<-done
		if err != nil || !bytes.Contains(out, []byte("received valid message from '"+test.address+"'")) {
			t.Errorf("fence_kdump: %v\n%s", err, out)
		}
	}
}

// TestSend sends to nodes of which one cannot be looked up.
func TestSend(t *testing.T) {
	c, port := listen(t, "udp4", "127.0.0.1")
	var mu sync.Mutex
	var warnings []string
	o := Options{Port: port, Network: "udp4", Count: 3, Interval: 10 * time.Millisecond}
	Send(t.Context(), []string{"node.invalid", "localhost", "[::1]"}, o, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		node, _, _ := strings.Cut(err.Error(), ": ")
		warnings = append(warnings, node)
	})
	for range 3 {
		if got := receive(t, c); len(got) != 8 {
			t.Errorf("received %x, want 8 bytes", got)
		}
	}
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, _, err := c.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("received %d bytes, want nothing after 3 messages", n)
	}
	slices.Sort(warnings)
	if want := []string{"[::1]", "node.invalid"}; !slices.Equal(warnings, want) {
		t.Errorf("Send warned about %q, want once about each of %q", warnings, want)
	}
}
