// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ukdump/ukdump/vmtest"
)

// reservation is what all rivals work with in the comparison.
const reservation = "256M"

// heat is a rival that compresses with a codec, and what was measured of it.
type heat struct {
	codec    string
	rival    vmtest.Rival
	captures []*vmtest.Capture // those that succeeded
	samples  []sample          // one a round, in which nothing is a number if that failed
}

func (h *heat) label() string { return h.codec + ": " + h.rival.Name }

// heats returns all who compete, by codec. Of each codec the first are we; the
// first of all and the last are how we and kdump-tools are installed.
func heats() (all []*heat) {
	for _, codec := range []string{"zstd", "lzo", "zlib"} {
		for _, r := range []vmtest.Rival{vmtest.Ukdump(codec), vmtest.Busybox(codec, true), vmtest.Busybox(codec, false)} {
			all = append(all, &heat{codec: codec, rival: r})
		}
	}
	return append(all, &heat{codec: "zlib", rival: vmtest.KdumpTools()})
}

// captureFigures are the columns of the table of captures.
var captureFigures = figures{
	{"user space s", wall.of}, {"CPU s of QEMU", cpu.of},
	{"log saved after s", func(s sample) float64 { return s.Log }}, {"dump MB", output.of},
}

// capture crashes machines with ukdump and others armed, in turn.
func (b *bench) capture() ([]*table, error) {
	c, err := b.newContest()
	if err != nil {
		return nil, err
	}
	t := &table{
		Title:   "Capture kernel, crashkernel=" + reservation + ", level-31 dump of 2 GiB to ext4",
		Columns: captureFigures.names(),
	}
	t.note("User space is all from the kernel's start of PID 1 to its reboot")
	heats := heats()
	for round := range b.runs {
		for _, h := range heats {
			if err := h.run(c); err != nil {
				t.note("%s, run %d: %v", h.label(), round+1, err)
			}
		}
	}
	addHeats(t, heats)
	images, err := b.images(c, heats)
	return []*table{t, phases(heats[0]), images}, err
}

// run is one round of the heat.
func (h *heat) run(c *contest) error {
	capture, err := c.race(h.label(), h.rival, reservation)
	if err != nil {
		nan := math.NaN()
		h.samples = append(h.samples, sample{Wall: nan, CPU: nan, Log: nan, Size: nan})
		return err
	}
	h.captures = append(h.captures, capture)
	h.samples = append(h.samples, sample{
		Wall: capture.User.Seconds(), CPU: capture.CPU.Seconds(), Log: capture.Log.Seconds(), Size: float64(capture.Bytes) / 1e6,
	})
	return nil
}

// addHeats adds what was measured, and how ukdump compares.
func addHeats(t *table, heats []*heat) {
	var ours *heat
	for _, h := range heats {
		t.add(h.label(), captureFigures.row(h.samples))
		if ours == nil || ours.codec != h.codec {
			ours = h
			continue
		}
		t.add(h.codec+": ukdump / that", captureFigures.ratios(ours.samples, h.samples))
	}
	t.add("as installed: ukdump with zstd / kdump-tools with zlib",
		captureFigures.ratios(heats[0].samples, heats[len(heats)-1].samples))
}

// phases returns the table of what ukdump spent its time with.
func phases(h *heat) *table {
	t := &table{Title: "Phases of ukdump's run, " + h.codec, Columns: []string{"s"}}
	t.note("Start is from the kernel's start of PID 1 to its first line; the others are explained in pkg/capture")
	var names []string
	took := map[string][]float64{}
	for _, c := range h.captures {
		for _, phase := range c.Phases {
			if took[phase.Name] == nil {
				names = append(names, phase.Name)
			}
			took[phase.Name] = append(took[phase.Name], phase.Took.Seconds())
		}
	}
	for _, name := range names {
		t.add(name, []spread{spreadOf(took[name]...)})
	}
	return t
}

// images returns the table of how long images take to make.
func (b *bench) images(c *contest, heats []*heat) (*table, error) {
	var here, there []float64
	for range max(b.runs, 5) {
		took, err := timeBuild(c.kernel)
		if err != nil {
			return nil, err
		}
		here = append(here, took.Seconds())
	}
	for _, h := range heats {
		for _, capture := range h.captures {
			if capture.Build != 0 {
				there = append(there, capture.Build.Seconds())
			}
		}
	}
	t := &table{Title: "Making an image for an ext4 target on a virtio disk", Columns: []string{"s"}}
	t.add("kdumpctl build, on this machine", []spread{spreadOf(here...)})
	t.add("kdumpctl build, in the emulated machine", []spread{spreadOf(there...)})
	t.add("kdump-tools' hook, there", []spread{spreadOf(c.hook.Seconds())})
	return t, nil
}

// timeBuild has this machine build an image.
func timeBuild(k vmtest.Kernel) (time.Duration, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	conf := filepath.Join(dir, "kdump.conf")
	if err := os.WriteFile(conf, []byte("ext4 UUID="+vmtest.TargetUUID+"\n"), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.Command(filepath.Join(vmtest.Build, "ukdump"), "kdumpctl", "build", "--config", conf,
		"-o", filepath.Join(dir, "image"), "--kernel", k.Release,
		"--module-dir", filepath.Join(k.Root, "lib/modules", k.Release), "--modules", "virtio_pci,virtio_blk")
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("kdumpctl build: %w\n%s", err, out)
	}
	return time.Since(began), nil
}
