// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/ukdump/ukdump/vmtest"
)

// reservation is what all rivals work with in the comparison.
const reservation = "256M"

// contest is a machine, and what was measured in it.
type contest struct {
	kernel vmtest.Kernel
	root   string
	hook   time.Duration // how long kdump-tools took to make its initramfs
	// captures are those of a rival with a codec, one a round.
	captures map[heat][]*vmtest.Capture
}

// heat is a rival, by its name, that compresses with a codec.
type heat struct{ rival, codec string }

func newContest() (*contest, error) {
	k, err := vmtest.FindKernel("bookworm")
	if err != nil {
		return nil, err
	}
	root, hook, err := vmtest.MakeVersusRoot(k)
	return &contest{kernel: k, root: root, hook: hook, captures: map[heat][]*vmtest.Capture{}}, err
}

// rivals returns who can compress with the codec, ukdump first.
func rivals(codec string) []vmtest.Rival {
	all := []vmtest.Rival{vmtest.Ukdump(codec), vmtest.Busybox(codec, true), vmtest.Busybox(codec, false)}
	if codec == "zlib" {
		all = append(all, vmtest.KdumpTools())
	}
	return all
}

// capture crashes machines with ukdump and others armed, in turn.
func (b *bench) capture() ([]*table, error) {
	c, err := newContest()
	if err != nil {
		return nil, err
	}
	codecs := []string{"zstd", "lzo", "zlib"}
	for range b.runs {
		for _, codec := range codecs {
			for _, r := range rivals(codec) {
				capture, err := r.Race(c.kernel, c.root, reservation)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", r.Name, codec, err)
				}
				fmt.Fprintf(os.Stderr, "%s, %s: %.2f s, %.2f s of CPU\n", r.Name, codec, capture.User.Seconds(), capture.CPU.Seconds())
				c.captures[heat{r.Name, codec}] = append(c.captures[heat{r.Name, codec}], capture)
			}
		}
	}
	build, err := b.build(c)
	return []*table{c.compare(codecs), c.phases("zstd"), build}, err
}

// aspects are the figures of a capture.
var aspects = []func(*vmtest.Capture) float64{
	func(c *vmtest.Capture) float64 { return c.User.Seconds() },
	func(c *vmtest.Capture) float64 { return c.CPU.Seconds() },
	func(c *vmtest.Capture) float64 { return c.Log.Seconds() },
	func(c *vmtest.Capture) float64 { return float64(c.Bytes) / 1e6 },
}

// compare returns the table of all that was measured, and of how ukdump compares.
func (c *contest) compare(codecs []string) *table {
	t := &table{
		Title:   "Capture kernel, crashkernel=" + reservation + ", level-31 dump of 2 GiB to ext4",
		Columns: []string{"user space s", "CPU s of QEMU", "kernel log saved after s", "dump MB"},
	}
	t.note("User space is all from the kernel's start of PID 1 to its reboot")
	compare := func(label string, a, b heat) {
		var ratios []spread
		for _, of := range aspects {
			ratios = append(ratios, ratio(c.captures[a], c.captures[b], of))
		}
		t.add(label, ratios)
	}
	for _, codec := range codecs {
		ours := heat{vmtest.Ukdump(codec).Name, codec}
		for _, r := range rivals(codec) {
			theirs := heat{r.Name, codec}
			var figures []spread
			for _, of := range aspects {
				figures = append(figures, spreadOver(c.captures[theirs], of))
			}
			t.add(codec+", "+r.Name, figures)
			if theirs != ours {
				compare("ukdump / "+r.Name, ours, theirs)
			}
		}
	}
	compare("as installed: ukdump with zstd / kdump-tools with zlib",
		heat{vmtest.Ukdump("zstd").Name, "zstd"}, heat{vmtest.KdumpTools().Name, "zlib"})
	return t
}

func spreadOver(captures []*vmtest.Capture, of func(*vmtest.Capture) float64) spread {
	var figures []float64
	for _, c := range captures {
		figures = append(figures, of(c))
	}
	return spreadOf(figures)
}

// ratio returns the figures of a by those of b of the same round; none if b has
// none.
func ratio(a, b []*vmtest.Capture, of func(*vmtest.Capture) float64) spread {
	var figures []float64
	for i := range b {
		if of(b[i]) != 0 {
			figures = append(figures, of(a[i])/of(b[i]))
		}
	}
	return spreadOf(figures)
}

// phases returns the table of what ukdump spent its time with.
func (c *contest) phases(codec string) *table {
	t := &table{Title: "Phases of ukdump's run, " + codec, Columns: []string{"s"}}
	t.note("Start is from the kernel's start of PID 1 to its first line; the others are explained in pkg/capture")
	captures := c.captures[heat{vmtest.Ukdump(codec).Name, codec}]
	for i, phase := range captures[0].Phases {
		t.add(phase.Name, []spread{spreadOver(captures, func(c *vmtest.Capture) float64 { return c.Phases[i].Took.Seconds() })})
	}
	return t
}

// build returns the table of how long images take to make.
func (b *bench) build(c *contest) (*table, error) {
	var here []float64
	for range max(b.runs, 5) {
		took, err := timeBuild(c.kernel)
		if err != nil {
			return nil, err
		}
		here = append(here, took.Seconds())
	}
	var machine []*vmtest.Capture
	for heat, captures := range c.captures {
		if heat.rival == vmtest.Ukdump(heat.codec).Name {
			machine = append(machine, captures...)
		}
	}
	t := &table{Title: "Making an image for an ext4 target on a virtio disk", Columns: []string{"s"}}
	t.add("kdumpctl build, on this machine", []spread{spreadOf(here)})
	t.add("kdumpctl build, in the emulated machine", []spread{spreadOver(machine, func(c *vmtest.Capture) float64 { return c.Build.Seconds() })})
	t.add("kdump-tools' hook, there", []spread{spreadOf([]float64{c.hook.Seconds()})})
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

// reservations are tried for the smallest that works, in MiB.
var reservations = []int{192, 160, 144, 128, 112, 104, 96, 88, 80, 76, 72, 68, 64}

// smallest finds out how little memory suffices.
func (b *bench) smallest() ([]*table, error) {
	c, err := newContest()
	if err != nil {
		return nil, err
	}
	t := &table{Title: "The smallest crashkernel= with which the dump succeeds", Columns: []string{"MiB"}}
	for _, r := range []vmtest.Rival{vmtest.Ukdump("zstd"), vmtest.Busybox("zstd", true), vmtest.KdumpTools()} {
		works := 0
		for _, size := range reservations {
			if _, err := r.Race(c.kernel, c.root, fmt.Sprintf("%dM", size)); err != nil {
				fmt.Fprintf(os.Stderr, "%s with %d MiB: %v\n", r.Name, size, err)
				break
			}
			works = size
		}
		t.add(r.Name, []spread{spreadOf([]float64{float64(works)})})
	}
	t.note("Tried: %d", slices.Sorted(slices.Values(reservations)))
	return []*table{t}, nil
}
