// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dumpinfo

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/collector"
	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

func run1(args ...string) (status int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	status = Run(args, nil, &out, &errOut)
	return status, out.String(), errOut.String()
}

// testCore writes a core of a kernel that makedumpfile understands.
func testCore(t *testing.T) string {
	t.Helper()
	return coretest.Kernel{
		Era: coretest.Linux6_1(), CPUs: 3,
		Blocks: []coretest.Block{{PFN: 0x200, Is: coretest.LRU, Times: 0x100}},
	}.Write(t)
}

// save writes a dump of the core at path.
func save(t *testing.T, path string, opts collector.Options) string {
	t.Helper()
	core, err := vmcore.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close()
	out := filepath.Join(t.TempDir(), "dump")
	f, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := collector.Save(context.Background(), core, f, opts); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestUsage(t *testing.T) {
	if status, out, _ := run1("-h"); status != 0 || !strings.HasPrefix(out, "usage: dumpinfo") {
		t.Errorf("-h: status %d, %q", status, out)
	}
	missing := filepath.Join(t.TempDir(), "missing")
	for _, args := range [][]string{{}, {"--nonsense"}, {missing}, {missing, missing}, {os.DevNull}, {t.TempDir()}} {
		status, out, errOut := run1(args...)
		if status != 1 || out != "" || !strings.HasPrefix(errOut, "dumpinfo: ") || strings.Count(errOut, "\n") != 1 {
			t.Errorf("dumpinfo %q: status %d, stdout %q, stderr %q; want 1 and one line", args, status, out, errOut)
		}
	}
}

func TestText(t *testing.T) {
	core := testCore(t)
	dump := save(t, core, collector.Options{Levels: []int{3}, Codec: compress.LZO})
	status, out, errOut := run1("--verify", dump)
	if status != 0 {
		t.Errorf("status %d, %s", status, errOut)
	}
	for _, want := range []string{
		"file         " + dump + "\n",
		"format       kdump-compressed, header version 6\n",
		"complete     yes\n",
		"machine      x86_64\n",
		"CPUs         3\n",
		"dump level   3: without zero pages, page cache\n",
		"\nlzo ",
		"verified     nothing is wrong\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if status, out, _ := run1("--verify", core); status != 0 || !strings.Contains(out, "format       ELF\n") {
		t.Errorf("of the core itself: status %d\n%s", status, out)
	}
}

func TestJSON(t *testing.T) {
	dump := save(t, testCore(t), collector.Options{Levels: []int{3}, Codec: compress.Zlib})
	_, out, _ := run1("--json", "--verify", dump)
	var got info
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	stat, err := os.Stat(dump)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Complete || got.CPUs != 3 || *got.Level != 3 || got.PageSize != 4096 || got.Machine != "x86_64" ||
		got.Bytes != stat.Size() || !slices.Equal(got.Files, []string{dump}) || got.Findings != nil {
		t.Errorf("%+v", got)
	}
	p := got.Pages
	if p.RAM == 0 || p.Excluded < 0x100 || p.RAM != p.Dumped+p.Excluded || p.Missing != 0 {
		t.Errorf("pages: %+v", p)
	}
	sum := p.Shared
	for _, c := range got.Codecs {
		sum += c.Pages
	}
	if sum != p.Dumped {
		t.Errorf("%d pages by codec, %d dumped", sum, p.Dumped)
	}
}

// TestDamage damages a dump here and there.
func TestDamage(t *testing.T) {
	dump := save(t, testCore(t), collector.Options{Levels: []int{3}, Codec: compress.Zlib})
	good, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	write := func(b []byte) {
		if err := os.WriteFile(dump, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for at := range 4096 / 16 {
		b := bytes.Clone(good)
		b[at*16] ^= 4
		write(b)
		if status, out, errOut := run1("--verify", dump); status != 1 || !strings.Contains(out+errOut, "wrong: ") && !strings.HasPrefix(errOut, "dumpinfo: ") {
			t.Errorf("byte %d changed: status %d\n%s%s", at*16, status, out, errOut)
		}
	}
	for _, n := range []int{0, 1, 4096, len(good) / 2, len(good) - 1} {
		write(good[:n])
		if status, out, errOut := run1("--verify", dump); status != 1 {
			t.Errorf("cut to %d bytes: status %d\n%s%s", n, status, out, errOut)
		}
	}
	write(good)
	if status, _, _ := run1("--verify", dump); status != 0 {
		t.Error("the undamaged dump is found wrong")
	}
}

// TestOthers looks at what makedumpfile writes of the same core.
func TestOthers(t *testing.T) {
	tool, err := exec.LookPath("makedumpfile")
	if err != nil {
		t.Skip("no makedumpfile: ", err)
	}
	core := testCore(t)
	makedumpfile := func(t *testing.T, args ...string) []byte {
		t.Helper()
		var stdout, stderr bytes.Buffer
		cmd := exec.Command(tool, args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, &stderr)
		}
		return stdout.Bytes()
	}
	well := func(t *testing.T, format string, paths ...string) {
		t.Helper()
		status, out, errOut := run1(append([]string{"--verify"}, paths...)...)
		if status != 0 || !strings.Contains(out, "format       "+format) || !strings.Contains(out, "complete     yes") {
			t.Errorf("status %d, want 0 and format %q\n%s%s", status, format, out, errOut)
		}
	}
	for _, test := range []struct {
		name, format string
		args         []string
	}{
		{"raw", "kdump-compressed", []string{"-d", "31"}},
		{"zlib", "kdump-compressed", []string{"-c", "-d", "31"}},
		{"lzo", "kdump-compressed", []string{"-l", "-d", "1"}},
		{"level 0", "kdump-compressed", []string{"-c", "-d", "0"}},
		{"threads", "kdump-compressed", []string{"-c", "-d", "31", "--num-threads", "1"}},
		{"ELF", "ELF", []string{"-E", "-d", "31"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dump := filepath.Join(t.TempDir(), "dump")
			makedumpfile(t, append(test.args, core, dump)...)
			well(t, test.format, dump)
		})
		t.Run(test.name+" flattened", func(t *testing.T) {
			dump := filepath.Join(t.TempDir(), "flat")
			flat := makedumpfile(t, append(test.args, "-F", core)...)
			if err := os.WriteFile(dump, flat, 0o600); err != nil {
				t.Fatal(err)
			}
			well(t, "flattened", dump)
			if err := os.WriteFile(dump, flat[:len(flat)-1], 0o600); err != nil {
				t.Fatal(err)
			}
			if status, out, _ := run1("--verify", dump); status != 1 || !strings.Contains(out, "end mark") {
				t.Errorf("without its last byte: status %d\n%s", status, out)
			}
		})
	}
	t.Run("split", func(t *testing.T) {
		dir := t.TempDir()
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		makedumpfile(t, "-c", "-d", "31", "--split", core, a, b)
		well(t, "kdump-compressed, split", b, a)
		well(t, "kdump-compressed", a)
	})
}
