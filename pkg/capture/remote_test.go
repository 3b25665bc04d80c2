// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image || s3

package capture

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/receiver"
	"github.com/ukdump/ukdump/pkg/target/s3/s3test"
	"github.com/ukdump/ukdump/pkg/target/servertest"
	"github.com/ukdump/ukdump/pkg/target/ssh/sshdtest"
)

// TestSameDump saves the memory of a real machine to a disk and to a server of each
// kind. It has to be the same dump, byte for byte.
func TestSameDump(t *testing.T) {
	core := realCore(t)
	image := newDisk(t, 1<<30, "mkfs.ext4", "-q", "-F")
	save := func(t *testing.T, conf string) {
		t.Helper()
		r, console := testRun(fakeMachine(t, core, conf))
		if s := r.carryOutAll(initial(r.machine)); s.outcome().result() != "ok" {
			t.Fatalf("%s: result %s, want ok\n%s", conf, s.outcome().result(), console)
		}
	}
	save(t, "ext4 UUID="+uuid(t, image)+"\n")
	want := files(t, image, "var/crash")["vmcore"]

	for name, start := range map[string]func(*testing.T) remote{
		"ssh": startSSH, "nfs": startNFS, "put": startPut, "kdumprecv": startReceiver, "s3": startS3,
	} {
		t.Run(name, func(t *testing.T) {
			server := start(t)
			save(t, "machine tested\n"+server.conf)
			if got := readDump(t, server.dumps); !bytes.Equal(got, want) {
				t.Errorf("the server has %d bytes, not the same as the %d on the disk", len(got), len(want))
			}
		})
	}
}

// readDump returns the only dump below dir, as makedumpfile makes it of a flattened
// one.
func readDump(t *testing.T, dir string) []byte {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(dir, "tested-*/vmcore"))
	flat, _ := filepath.Glob(filepath.Join(dir, "tested-*/vmcore.flat"))
	if len(found)+len(flat) != 1 {
		t.Fatalf("%s has the dumps %q and %q, want one", dir, found, flat)
	}
	if flat != nil {
		in, err := os.Open(flat[0])
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		found = []string{filepath.Join(t.TempDir(), "vmcore")}
		cmd := exec.Command(makedumpfile(t), "-R", found[0])
		cmd.Stdin = in
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("makedumpfile -R: %v\n%s", err, out)
		}
	}
	dump, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	return dump
}

// makedumpfile returns where it is, installed or fetched by make tools.
func makedumpfile(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"makedumpfile", "../../build/tools/makedumpfile-bookworm"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no makedumpfile here")
	return ""
}

// remote is a server for the test.
type remote struct {
	conf  string // lines of kdump.conf
	dumps string // where the directories of dumps are
}

func startSSH(t *testing.T) remote {
	s := sshdtest.New(t)
	known := s.Path("known_hosts")
	if err := os.WriteFile(known, []byte(sshdtest.Host(s.Port)+" "+s.Public(t, "host")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dumps := s.Path("dumps")
	return remote{fmt.Sprintf("ssh %s@127.0.0.1:%d\npath %s\nsshkey %s\nssh_known_hosts %s\n",
		s.User, s.Port, dumps, s.Path("client"), known), dumps}
}

func startNFS(t *testing.T) remote {
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !strings.Contains(string(known), "\tnfs4\n") {
		t.Skip("this kernel has no NFS, or has not loaded it (modprobe nfs)")
	}
	s := servertest.Ganesha(t, "")
	return remote{"nfs 127.0.0.1:/srv\npath /dumps\n", filepath.Join(s.Store, "dumps")}
}

func startPut(t *testing.T) remote {
	s := servertest.Nginx(t, "")
	return remote{fmt.Sprintf("http https://%s/\ntls_pin %s\n", s.Address(), s.Pin), filepath.Join(s.Store, "dumps")}
}

// startReceiver starts what kdumprecv is.
func startReceiver(t *testing.T) remote {
	dir := t.TempDir()
	recv, err := receiver.New(receiver.Options{Dir: dir, Machine: func(*http.Request) (string, error) { return "web1", nil }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(recv)
	t.Cleanup(func() {
		server.Close()
		recv.Close()
	})
	return remote{"http " + server.URL + "/\n", filepath.Join(dir, "web1")}
}

func startS3(t *testing.T) remote {
	s := servertest.New(t, "")
	store := s3test.New(t, s.Store, "--cert", s.Path("cert.pem"), "--key", s.Path("key.pem"))
	s.Write(t, "credentials", s3test.Credentials)
	return remote{fmt.Sprintf("s3 https://%s/%s\ntls_ca %s\ns3_credentials %s\n", store.Address(), s3test.Bucket, s.Path("cert.pem"), s.Path("credentials")),
		filepath.Join(s.Store, s3test.Bucket)}
}
