// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/vmtest"
)

// payloadSize is the size of the file that is sent, in bytes.
const payloadSize = 256 << 20

// The columns of the tables about targets: how fast they are, and what a dump takes.
var (
	targetFigures = figures{wall, cpu, rss, rate}
	memoryFigures = figures{rss, cpu, wall}
)

// targets measures each kind of target with a real server on loopback: how fast a
// file gets there, next to the reference clients of its protocol, and how much
// memory a whole dump takes. The clients have one CPU, the servers the others.
func (b *bench) targets() ([]*table, error) {
	dir, err := os.MkdirTemp(b.out, "ukdump-bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	defer os.Setenv("TMPDIR", os.Getenv("TMPDIR"))
	if err := os.Setenv("TMPDIR", dir); err != nil { // where servers keep what they get
		return nil, err
	}
	core, err := realCore()
	if err != nil {
		return nil, err
	}
	m := &meeting{bench: b, core: core, file: filepath.Join(dir, "file"), size: payloadSize}
	if m.program, err = buildSend(); err != nil {
		return nil, err
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	m.recipient = identity.Recipient().String()
	if err := m.makePayload(); err != nil {
		return nil, err
	}
	m.speed = speedTable(fmt.Sprintf("A file of %d MiB to servers on loopback", payloadSize>>20))
	m.memory = &table{Title: "Level-31 dumps of a real core of 2 GiB to the same servers", Columns: memoryFigures.names()}
	for _, kind := range kinds() {
		if err := m.measure(kind); err != nil {
			return nil, fmt.Errorf("%s: %w", kind.name, err)
		}
	}
	return []*table{m.speed, m.memory}, nil
}

// meeting is where clients and servers meet.
type meeting struct {
	*bench
	core, file    string
	size          int64  // of the file
	program       string // cmd send
	recipient     string // of age
	speed, memory *table
	sent          int // files so far
}

// buildSend builds the program that is measured, like the largest image build.
func buildSend() (string, error) {
	program := filepath.Join(vmtest.Build, "bench", "send")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", "image,network,s3,nethttpomithttp2",
		"-o", program, "./send")
	cmd.Dir = filepath.Join(vmtest.Build, "..", "vmtest", "bench")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd, err, out)
	}
	return program, nil
}

// makePayload makes the file, which nothing can compress, like a dump.
func (m *meeting) makePayload() error {
	f, err := os.Create(m.file)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, m.size)
	return errors.Join(err, f.Close())
}

// server is a place that dumps can go to.
type server struct {
	conf   string   // lines of kdump.conf that name it
	store  string   // the directory that what it got is in
	rivals []client // who else can send a file there; nobody has to where there is none
}

// client is a program that sends a file. In its command FILE stands for the file
// and NEW for a name that is new each time.
type client struct {
	label   string
	command []string
	input   string // what it reads
}

// kind is a kind of target, or one way to use it.
type kind struct {
	name  string
	start func(t testing.TB) server
}

// contender is a client and what was measured of it.
type contender struct {
	client
	samples []sample
}

// speedTable returns a table of how fast clients are, and how much faster ukdump,
// the first, is.
func speedTable(title string) *table {
	return &table{Title: title, Columns: append(targetFigures.names(), "ukdump / it, MB/s")}
}

// addSpeeds adds the clients of one server to it.
func (t *table) addSpeeds(prefix string, contenders []*contender) {
	for i, c := range contenders {
		ratio := []spread{{}}
		if i > 0 {
			ratio = figures{rate}.ratios(contenders[0].samples, c.samples)
		}
		t.add(prefix+c.label, append(targetFigures.row(c.samples), ratio...))
	}
}

// measure measures one kind, unless there is no server for it here.
func (m *meeting) measure(k kind) error {
	var clients, dumps []*contender
	err := withTB(func(t testing.TB) {
		var s server
		onCPUs(others(), func() { s = k.start(t) })
		clients, dumps = m.contenders(t, s)
		for round := range m.bench.runs + 1 {
			for _, c := range slices.Concat(clients, dumps) {
				sample, err := m.run(c.client, s.store)
				if err != nil {
					t.Fatalf("%s: %v", strings.Join(c.command, " "), err)
				}
				if round > 0 {
					c.samples = append(c.samples, sample)
				}
			}
		}
	})
	var skipped skipped
	if errors.As(err, &skipped) {
		m.speed.note("%s was left out: %v", k.name, skipped)
		return nil
	}
	if err != nil {
		return err
	}
	m.speed.addSpeeds(k.name+": ", clients)
	for _, c := range dumps {
		m.memory.add(k.name+c.label, memoryFigures.row(c.samples))
	}
	return nil
}

// contenders returns who sends the file to a server, our program first, and that
// when it sends dumps.
func (m *meeting) contenders(t testing.TB, s server) (clients, dumps []*contender) {
	conf := filepath.Join(t.TempDir(), "kdump.conf")
	sealed := conf + ".age"
	mustWrite(t, conf, s.conf)
	mustWrite(t, sealed, s.conf+"encrypt "+m.recipient+"\n")
	if len(s.rivals) > 0 {
		clients = []*contender{{client: client{label: "ukdump", command: []string{m.program, conf, "FILE"}}}}
	}
	for _, rival := range s.rivals {
		clients = append(clients, &contender{client: rival})
	}
	return clients, []*contender{
		{client: client{command: []string{m.program, conf, "-dump", m.core}}},
		{client: client{label: ", encrypted", command: []string{m.program, sealed, "-dump", m.core}}},
	}
}

// run runs a client once, on one CPU, and removes what came to the store.
func (m *meeting) run(c client, store string) (s sample, err error) {
	m.sent++
	replace := strings.NewReplacer("FILE", m.file, "NEW", fmt.Sprintf("new%d", m.sent))
	var command []string
	for _, arg := range c.command {
		command = append(command, replace.Replace(arg))
	}
	onCPUs(last(), func() { s, err = measure(command, replace.Replace(c.input)) })
	s.Size = float64(m.size) / 1e6
	return s, errors.Join(err, empty(store))
}

// empty removes all files below a directory, but not the directories, which
// servers may know.
func empty(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			err = os.Remove(path)
		}
		return err
	})
}

// last returns the last CPU, and others all but that, if there are others.
func last() unix.CPUSet {
	var set unix.CPUSet
	set.Set(runtime.NumCPU() - 1)
	return set
}

func others() unix.CPUSet {
	var set unix.CPUSet
	for cpu := range max(1, runtime.NumCPU()-1) {
		set.Set(cpu)
	}
	return set
}

// onCPUs has f, and the processes that it starts, run on these CPUs alone.
func onCPUs(set unix.CPUSet, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before unix.CPUSet
	if unix.SchedGetaffinity(0, &before) == nil && unix.SchedSetaffinity(0, &set) == nil {
		defer unix.SchedSetaffinity(0, &before)
	}
	f()
}
