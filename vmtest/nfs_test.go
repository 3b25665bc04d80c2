// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// nfsServer is an NFS server in user space, on the port that NFS has, as addresses
// of exports have none.
type nfsServer struct {
	export string // the directory that clients see as /srv
	conf   string
	log    *os.File
	cmd    *exec.Cmd
}

const nfsPort = 2049

// serveNFS starts a server, or skips.
func serveNFS(t *testing.T) *nfsServer {
	t.Helper()
	if _, err := exec.LookPath("ganesha.nfsd"); err != nil {
		t.Skip("no ganesha.nfsd here (Debian: nfs-ganesha, nfs-ganesha-vfs)")
	}
	dir := t.TempDir()
	s := &nfsServer{export: filepath.Join(dir, "export"), conf: filepath.Join(dir, "conf")}
	if err := os.Mkdir(s.export, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := fmt.Sprintf(`
NFS_Core_Param { NFS_Port = %d; Protocols = 4; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
NFSv4 { RecoveryRoot = %q; Grace_Period = 5; Lease_Lifetime = 10; Minor_Versions = 1, 2; Only_Numeric_Owners = true; }
EXPORT { Export_Id = 1; Path = %q; Pseudo = /srv; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
	Protocols = 4; Transports = TCP; FSAL { Name = VFS; } }
`, nfsPort, filepath.Join(dir, "recovery"), s.export)
	if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.log, err = os.Create(filepath.Join(dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.stop()
		s.log.Close()
		if t.Failed() {
			t.Logf("the server says:\n%s", readFile(t, s.log.Name()))
		}
	})
	s.start(t)
	return s
}

// start starts the server and waits until it takes connections.
func (s *nfsServer) start(t *testing.T) {
	t.Helper()
	s.cmd = exec.Command("ganesha.nfsd", "-F", "-f", s.conf, "-L", "STDERR", "-p", s.conf+".pid")
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", nfsPort))
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the NFS server takes no connections: %v", err)
		}
	}
}

// stop kills the server, as far as it runs.
func (s *nfsServer) stop() {
	if s.cmd != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.cmd = nil
	}
}

// TestNFS saves a dump to an NFS server that runs all the time, that is restarted
// in the middle, and that dies, where the next target gets the dump.
func TestNFS(t *testing.T) {
	begin(t)
	ukdump(t)
	k := needKernel(t, suites()[0])
	root, err := MakeRoot(k)
	if err != nil {
		t.Fatal(err)
	}
	// Beyond level 31 there is enough to be in the middle of for a while.
	const conf = "machine tested|nfs 10.0.2.2:/srv|path /dumps|core_collector makedumpfile -l -d 0"
	for _, test := range []struct {
		name string
		act  func(t *testing.T, s *nfsServer) // in the middle of the dump
	}{
		{"steady", nil},
		{"restarted", func(t *testing.T, s *nfsServer) {
			s.stop()
			s.start(t)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serveNFS(t)
			m := Machine{Kernel: k, Root: root, MemoryMiB: 1024, Args: Network(NIC{})}
			m.Steps = slices.Concat(AttachNetwork(), []string{"write /etc/kdump.conf " + conf, kdumpctl + "build", kdumpctl + "load", "fill 256", "crash"})
			acted := make(chan struct{})
			if test.act != nil {
				go func() {
					defer close(acted)
					awaitGrown(s.export, 8<<20)
					test.act(t, s)
				}()
			} else {
				close(acted)
			}
			console, err := m.Run()
			logConsole(t, console)
			if err != nil {
				t.Fatalf("the machine did not end by itself: %v", err)
			}
			<-acted
			checkSaved(t, k, console, filepath.Join(s.export, "dumps"))
		})
	}
}

// awaitGrown waits until a dump that is under way in the directory has that size,
// or five minutes.
func awaitGrown(dir string, size int64) {
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		names, _ := filepath.Glob(filepath.Join(dir, "dumps/*/vmcore-incomplete"))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil && info.Size() >= size {
				return
			}
		}
	}
}
