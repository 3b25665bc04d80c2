// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image"
	"github.com/ukdump/ukdump/pkg/kmod"
)

// TestBuildPrograms builds an image with programs and has cpio list what is in it.
func TestBuildPrograms(t *testing.T) {
	for _, program := range []string{"/bin/sh", "/bin/ls"} {
		if _, err := os.Stat(program); err != nil {
			t.Skip(err)
		}
	}
	m := newMachine(t)
	pre := write(t, m.dir, "hooks/pre.sh", []byte("#!/bin/sh\nls /\n"))
	write(t, m.dir, "kdump.conf", []byte("ext4 LABEL=x\nkdump_pre "+pre+"\nextra_bins ls\nextra_modules e1000\n"))
	status, out, errout := m.build("--modules", "virtio", "--compress", "none")
	want := "kdumpctl build: packing /bin/sh, too, which runs " + pre + "; what that calls has to be in extra_bins\n"
	if status != 0 || errout != want || !strings.Contains(out, "\n  programs ") {
		t.Fatalf("build = %d, %q, %q, want 0, a size of programs, %q", status, out, errout, want)
	}
	img, err := image.ReadFile(m.output)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(img.Modules, func(e kmod.Entry) bool { return e.Name() == "e1000" }) {
		t.Errorf("the image has the modules %v, want e1000 among them", img.Modules)
	}
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip(err)
	}
	list := exec.Command(cpio, "-tv", "--quiet", "-F", m.output)
	listed, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{pre, sh} {
		i := slices.IndexFunc(strings.Split(string(listed), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "-rwxr-xr-x") && strings.HasSuffix(line, " "+file[1:])
		})
		if i < 0 {
			t.Errorf("the image has\n%swant the executable %s in it", listed, file)
		}
	}
}

func TestAddHook(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pre.d/10-one", []byte("#!/bin/sh\n"))
	plain := write(t, dir, "pre.d/README", nil)
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.ExtraBins = []string{"/bin/sh"}
	var warnings strings.Builder
	files, err := packHooks(cfg, []config.Hook{{Key: "kdump_pre", Dir: dir + "/pre.d"}, {Key: "kdump_post", Dir: dir + "/post.d"}}, &warnings)
	if err != nil || !slices.ContainsFunc(files, func(f image.File) bool { return f.Path == dir+"/pre.d/10-one" }) {
		t.Errorf("packHooks = %d files, %v, want 10-one among them", len(files), err)
	}
	if want := "kdumpctl build: " + plain + " is not executable and not packed\n"; warnings.String() != want {
		t.Errorf("packHooks says %q, want %q", &warnings, want)
	}
}

func TestBuildProgramErrors(t *testing.T) {
	m := newMachine(t)
	script := write(t, m.dir, "script", []byte("#!/bin/sh\n"))
	plain := write(t, m.dir, "plain", []byte("#!/bin/sh\n"))
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ line, want string }{
		{"kdump_pre /nowhere/pre.sh", "kdump.conf:2: kdump_pre: stat /nowhere/pre.sh: no such file"},
		{"kdump_post " + plain, "kdump.conf:2: kdump_post: " + plain + " is not executable (mode 0644)"},
		{"kdump_emergency " + write(t, m.dir, "text", []byte("echo\n")), "text: neither an ELF file nor a script"},
		{"kdump_pre " + script + "\nextra_bins no-such-program", `kdump.conf:3: extra_bins: no program "no-such-program" in /usr/local/sbin:`},
		{"extra_bins bin/ls", `kdump.conf:2: extra_bins: "bin/ls" is neither the name of a program nor its absolute path`},
		{"extra_modules gfs2", `kdump.conf: extra_modules: ` + m.modules + ` has no module "gfs2"`},
		{"fence_kdump_args -p x", `kdump.conf:2: fence_kdump_args: `},
	} {
		write(t, m.dir, "kdump.conf", []byte("ext4 LABEL=x\n"+test.line+"\n"))
		if status, out, errout := m.build("--modules", "virtio"); status != 1 || out != "" || !strings.Contains(errout, test.want) {
			t.Errorf("build with %q = %d, %q, %q, want 1, nothing, a line with %q", test.line, status, out, errout, test.want)
		}
	}
	if err := checkPlaces([]image.File{{Path: "/usr/bin/x"}, {Path: "/dev/shm/x"}}); err == nil || !strings.Contains(err.Error(), "/dev/shm/x cannot be in the image") {
		t.Errorf("checkPlaces = %v, want an error about /dev/shm/x", err)
	}
}
