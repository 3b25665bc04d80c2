// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package ssh

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// benchSize bytes are uploaded at a time.
const benchSize = 512 << 20

// BenchmarkUpload is the rate at which a file gets to a server on this machine,
// and is safe there. BenchmarkOpenSSH is that of OpenSSH's own clients, which do
// not wait for the disk. To compare them, have one processor for both sides:
//
//	GOMAXPROCS=1 taskset -c 1 go test -run - -bench . ./pkg/target/ssh
func BenchmarkUpload(b *testing.B) {
	s := newServer(b)
	store, err := Open(b.Context(), s.opts)
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	text := random(1 << 20)
	b.SetBytes(benchSize)
	for b.Loop() {
		dir, err := store.Make(b.Context(), "dump")
		if err != nil {
			b.Fatal(err)
		}
		f, err := dir.Create(b.Context(), "vmcore", 0)
		if err != nil {
			b.Fatal(err)
		}
		for range benchSize / len(text) {
			if _, err := f.Write(text); err != nil {
				b.Fatal(err)
			}
		}
		if err := f.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenSSH(b *testing.B) {
	s := newServer(b)
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		b.Fatal(err)
	}
	from := filepath.Join(b.TempDir(), "from")
	if err := os.WriteFile(from, bytes.Repeat(random(1<<20), benchSize>>20), 0o600); err != nil {
		b.Fatal(err)
	}
	to := s.opts.User + "@127.0.0.1:" + s.opts.Dir
	common := []string{"-q", "-P", fmt.Sprint(s.Port), "-i", s.Path("client"), "-o", "UserKnownHostsFile=" + s.opts.KnownHosts}
	for name, args := range map[string][]string{
		"scp":          {"scp", from, to},
		"scp-aes-gcm":  {"scp", "-c", "aes128-gcm@openssh.com", from, to},
		"sftp":         {"sftp", "-b", "-", to},
		"sftp-aes-gcm": {"sftp", "-c", "aes128-gcm@openssh.com", "-b", "-", to},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				cmd := exec.Command(args[0], append(common, args[1:]...)...)
				cmd.Stdin = strings.NewReader("put " + from + "\n")
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v: %v\n%s", cmd, err, out)
				}
			}
		})
	}
}
