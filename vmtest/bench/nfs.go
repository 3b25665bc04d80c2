// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ukdump/ukdump/pkg/target/nfs"
	"github.com/ukdump/ukdump/pkg/target/servertest"
	"github.com/ukdump/ukdump/vmtest"
)

const (
	// nfsPayload is the size of the file that goes over NFS, in bytes.
	nfsPayload = 64 << 20
	nfsMount   = "/mnt"
	sampled    = "sampled: " // in front of a result, in JSON
)

// result is a sample of a client on the NFS mount.
type result struct {
	Client string
	sample
}

// nfs measures NFS in a machine with one CPU, as many a kernel cannot mount it: a
// file to a server on this host, by our program and by cp.
func (b *bench) nfs() ([]*table, error) {
	t := speedTable(fmt.Sprintf("A file of %d MiB to an NFS server, from an emulated machine", nfsPayload>>20))
	var results []result
	err := withTB(func(t testing.TB) {
		servertest.Ganesha(t, "")
		var err error
		if results, err = b.nfsMachine(t.TempDir()); err != nil {
			t.Fatal(err)
		}
	})
	var skipped skipped
	if errors.As(err, &skipped) {
		t.note("left out: %v", skipped)
		return []*table{t}, nil
	}
	if err != nil {
		return nil, err
	}
	var contenders []*contender
	for _, c := range nfsClients() {
		contender := &contender{client: c}
		for _, r := range results {
			if r.Client == c.label {
				contender.samples = append(contender.samples, r.sample)
			}
		}
		contenders = append(contenders, contender)
	}
	t.addSpeeds("", contenders)
	return []*table{t}, nil
}

// nfsMachine runs the machine, which runs this program again.
func (b *bench) nfsMachine(dir string) ([]result, error) {
	k, err := vmtest.FindKernel("bookworm")
	if err != nil {
		return nil, err
	}
	debian := filepath.Join(vmtest.Build, "debian", k.Suite)
	if _, err := os.Stat(debian); err != nil {
		return nil, fmt.Errorf("no Debian with cp: run vmtest/fetch root %s", k.Suite)
	}
	send, err := buildSend()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("cp", self, send, dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	root, err := vmtest.MakeRootWith(k, "bench", debian, dir)
	if err != nil {
		return nil, err
	}
	defer os.Remove(root)
	m := vmtest.Machine{Kernel: k, Root: root, Append: "maxcpus=1", Args: vmtest.Network(vmtest.NIC{}), Deadline: 20 * time.Minute,
		Steps: append(vmtest.AttachNetwork(), "modprobe nfs nfsv4", "mount tmpfs memory /memory",
			fmt.Sprintf("/%s -parts mounted -runs %d -out /memory", filepath.Base(self), b.runs))}
	console, err := m.Run()
	if err != nil {
		return nil, err
	}
	var results []result
	for _, line := range console.Lines {
		_, text, found := strings.Cut(line.Text, sampled)
		var r result
		if found {
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				return nil, fmt.Errorf("%q: %w", line.Text, err)
			}
			results = append(results, r)
		}
	}
	if len(results) != b.runs*len(nfsClients()) {
		return nil, fmt.Errorf("the machine has ended after %d results: %v", len(results), console.Lines[max(0, len(console.Lines)-10):])
	}
	return results, nil
}

// nfsClients are the programs that are compared, in the machine.
func nfsClients() []client {
	return []client{
		{label: "ukdump", command: []string{"/send", "/memory/conf", "FILE"}},
		{label: "cp", command: []string{"cp", "FILE", nfsMount + "/dumps/NEW"}},
	}
}

// mounted is what runs in the machine.
func (b *bench) mounted() ([]*table, error) {
	store, err := nfs.Open(context.Background(), nfs.Options{Server: "10.0.2.2", Export: "/srv", Dir: "/dumps", Mount: nfsMount})
	if err != nil {
		return nil, err
	}
	defer store.Close()
	m := &meeting{bench: b, file: filepath.Join(b.out, "file"), size: nfsPayload}
	conf := fmt.Sprintf("nfs 10.0.2.2:/srv\npath %s/dumps\n", nfsMount)
	if err := errors.Join(m.makePayload(), os.WriteFile(filepath.Join(b.out, "conf"), []byte(conf), 0o600)); err != nil {
		return nil, err
	}
	for round := range b.runs + 1 {
		for _, c := range nfsClients() {
			s, err := m.run(c, nfsMount+"/dumps")
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.label, err)
			}
			line, err := json.Marshal(result{c.label, s})
			if err != nil {
				return nil, err
			}
			if round > 0 {
				fmt.Printf("%s%s\n", sampled, line)
			}
		}
	}
	return nil, nil
}
