// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the machines of the tests have for an object store.
const (
	s3Bucket = "dumps"
	s3Access = "ukdump"
	s3Secret = "not/much+of=a-secret"
)

// s3Server is Versity's gateway on loopback.
type s3Server struct {
	dir  string
	port int
	cmd  *exec.Cmd
}

// serveS3 starts a server, or skips.
func serveS3(t *testing.T) *s3Server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &s3Server{dir: t.TempDir(), port: listener.Addr().(*net.TCPAddr).Port}
	listener.Close()
	for _, dir := range []string{"buckets/" + s3Bucket, "metadata"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(s.stop)
	s.start(t)
	return s
}

// start starts the server and waits until it takes connections.
func (s *s3Server) start(t *testing.T) {
	t.Helper()
	program := filepath.Join(Build, "tools/bin/versitygw")
	if _, err := os.Stat(program); err != nil {
		t.Skip("no versitygw: run vmtest/fetch server s3")
	}
	address := fmt.Sprintf("127.0.0.1:%d", s.port)
	s.cmd = exec.Command(program, "--access", s3Access, "--secret", s3Secret, "--port", address, "--quiet", "--keep-alive",
		"posix", "--sidecar", filepath.Join(s.dir, "metadata"), filepath.Join(s.dir, "buckets"))
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the S3 server takes no connections: %v", err)
		}
	}
}

// stop kills the server, as far as it runs.
func (s *s3Server) stop() {
	if s.cmd != nil && s.cmd.Process != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
	s.cmd = nil
}

// curl asks the server for something.
func (s *s3Server) curl(t *testing.T, args ...string) string {
	t.Helper()
	common := []string{"-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", s3Access + ":" + s3Secret,
		"-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"}
	return output(t, "curl", append(common, args...)...)
}

// fetch gets all objects, with curl, into a new directory.
func (s *s3Server) fetch(t *testing.T) string {
	t.Helper()
	to := t.TempDir()
	base := fmt.Sprintf("http://127.0.0.1:%d/%s", s.port, s3Bucket)
	for _, key := range regexp.MustCompile(`<Key>(.*?)</Key>`).FindAllStringSubmatch(s.curl(t, base+"?list-type=2"), -1) {
		file := filepath.Join(to, key[1])
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		// Curl signs a colon as it is sent, the server as it is to be sent.
		s.curl(t, "-o", file, base+"/"+strings.ReplaceAll(key[1], ":", "%3A"))
	}
	return to
}

// TestS3 saves a dump to an object store, which gets it in spite of what happens in
// the middle.
func TestS3(t *testing.T) {
	begin(t)
	ukdump(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		args []string                                    // of the machine
		act  func(t *testing.T, s *s3Server, m *Monitor) // in the middle of the dump
		said []string
	}{
		{name: "steady"},
		{name: "restarted", act: func(t *testing.T, s *s3Server, _ *Monitor) {
			s.stop()
			s.start(t)
		}},
		{name: "link down", act: func(t *testing.T, _ *s3Server, m *Monitor) {
			for _, up := range []bool{false, true} {
				if err := m.SetLink("nic0", up); err != nil {
					t.Errorf("the cable: %v", err)
				}
				if !up {
					time.Sleep(20 * time.Second)
				}
			}
		}},
		{name: "clock", args: []string{"-rtc", "base=2001-02-03T04:05:06"}, said: []string{"the clock is wrong"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serveS3(t)
			listener, args, err := ListenMonitor(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			m := Machine{Kernel: k, Root: root, MemoryMiB: 1024, Args: slices.Concat(Network(NIC{}), args, test.args)}
			m.Steps = slices.Concat(AttachNetwork(), []string{
				"write /root/credentials [default]|aws_access_key_id = " + s3Access + "|aws_secret_access_key = " + s3Secret,
				fmt.Sprintf("write /etc/kdump.conf machine tested|s3 http://10.0.2.2:%d/%s/crash|s3_credentials /root/credentials"+
					"|core_collector makedumpfile -l -d 0", s.port, s3Bucket),
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
					awaitParts(s, 3)
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
			dumps := filepath.Join(s.fetch(t), "crash")
			unflatten(t, k, onlyDump(t, dumps))
			checkSaved(t, k, console, dumps)
		})
	}
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

// awaitParts waits until the server has that many parts of an upload, or five
// minutes.
func awaitParts(s *s3Server, n int) {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		parts, _ := filepath.Glob(filepath.Join(s.dir, "buckets", s3Bucket, ".sgwtmp/multipart/*/*/*"))
		if len(parts) >= n {
			return
		}
	}
}
