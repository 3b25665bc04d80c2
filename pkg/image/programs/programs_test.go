// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package programs

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/hook"
)

// unpack writes the files of a set below a new directory.
func unpack(t *testing.T, s *Set) string {
	t.Helper()
	root := t.TempDir()
	for _, f := range s.Files() {
		path := filepath.Join(root, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		err := os.WriteFile(path, f.Data, 0o755)
		if f.Link != "" {
			os.Remove(path)
			err = os.Symlink(f.Link, path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// write makes an executable file.
func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRunElsewhere runs programs where there is nothing but what was found for
// them.
func TestRunElsewhere(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may chroot")
	}
	chroot, err := exec.LookPath("chroot")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	for _, test := range []struct {
		name, script string
		more         []string
		want         string
	}{
		{"sh", "#!/bin/sh\necho $((6*7))\n", nil, "42\n"},
		{"option", "#! /bin/sh -e\nfalse\necho no\n", nil, ""},
		{"bash", "#!/bin/bash\na=(1 2 3)\necho ${#a[@]}\n", nil, "3\n"},
		{"env", "#!/usr/bin/env -S LC_ALL=C bash\necho ${BASH_VERSION:+yes}\n", nil, "yes\n"},
		{"extra", "#!/bin/sh\nls /bin | grep -c '^sh$'\n", []string{"ls", "grep"}, "1\n"},
	} {
		s := NewSet()
		script := write(t, filepath.Join(dir, test.name), test.script)
		if interpreter := strings.Fields(test.script)[0][2:]; interpreter != "" {
			if _, err := os.Stat(interpreter); err != nil {
				t.Logf("%s: %v", test.name, err)
				continue
			}
		}
		if err := s.Add(script); err != nil {
			t.Errorf("%s: Add = %v", test.name, err)
			continue
		}
		for _, name := range test.more {
			path, err := s.LookPath(name)
			if err == nil {
				err = s.Add(path)
			}
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		cmd := exec.Command(chroot, unpack(t, s), script)
		cmd.Env = []string{"PATH=" + strings.Join(hook.Path(), ":")}
		out, err := cmd.CombinedOutput()
		if failed := err != nil; string(out) != test.want || failed != (test.want == "") {
			t.Errorf("%s: %q, %v, want %q", test.name, out, err, test.want)
		}
	}
}

// TestSameAsLdd compares with what the dynamic linker says of programs here.
func TestSameAsLdd(t *testing.T) {
	ldd, err := exec.LookPath("ldd")
	if err != nil {
		t.Skip(err)
	}
	for _, program := range []string{"/bin/sh", "/bin/bash", "/usr/bin/ssh", "/usr/bin/git", "/usr/bin/gdb", "/usr/bin/qemu-system-x86_64", "/usr/sbin/mkfs.xfs"} {
		out, err := exec.Command(ldd, program).Output()
		if err != nil {
			t.Logf("%s: %v", program, err)
			continue
		}
		var want []string
		for line := range strings.Lines(string(out)) {
			for word := range strings.FieldsSeq(line) {
				if filepath.IsAbs(word) { // "libc.so.6 => /lib/… (0x…)", or the linker alone
					resolved, err := filepath.EvalSymlinks(word)
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, resolved)
				}
			}
		}
		s := NewSet()
		if err := s.Add(program); err != nil {
			t.Errorf("Add(%s) = %v", program, err)
			continue
		}
		if program, err = filepath.EvalSymlinks(program); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range s.Files() {
			if f.Link == "" && f.Path != program {
				got = append(got, f.Path)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if want = slices.Compact(want); !slices.Equal(got, want) {
			t.Errorf("%s needs %q, want %q", program, got, want)
		}
	}
}

// TestSearch finds libraries where programs and the linker's configuration say.
func TestSearch(t *testing.T) {
	if _, err := exec.LookPath("gcc"); err != nil {
		t.Skip(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	compile := func(args ...string) {
		t.Helper()
		cmd := exec.Command("gcc", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Skipf("%s: %v\n%s", cmd, err, out)
		}
	}
	write(t, dir+"/low.c", "int low(void) { return 42; }\n")
	write(t, dir+"/high.c", "int low(void); int high(void) { return low(); }\n")
	write(t, dir+"/main.c", "int high(void); int main(void) { return high(); }\n")
	for _, sub := range []string{"bin", "listed", "beside"} {
		os.Mkdir(dir+"/"+sub, 0o755)
	}
	compile("-shared", "-fPIC", "-o", "listed/liblow.so", "low.c")
	compile("-shared", "-fPIC", "-o", "beside/libhigh.so", "high.c", "-Llisted", "-llow")
	compile("-o", "bin/main", "main.c", "-Lbeside", "-lhigh", "-Wl,-rpath-link,listed", "-Wl,-rpath,$ORIGIN/../beside")
	// Not for this machine, and in the way.
	other := elf.ELFMAG + "\x01\x02\x01"
	write(t, dir+"/wrong/liblow.so", other+strings.Repeat("\x00", 100))
	write(t, dir+"/ld.so.conf", "# comment\ninclude conf.d/*.conf\n"+dir+"/wrong # here\nhwcap 0 nosegneg\n")
	write(t, dir+"/conf.d/listed.conf", dir+"/listed/\n")
	if err := os.Symlink("bin/main", dir+"/link"); err != nil {
		t.Fatal(err)
	}

	s := NewSet()
	s.dirs = linkerConfig(dir+"/ld.so.conf", 0)
	if want := []string{dir + "/listed", dir + "/wrong"}; !slices.Equal(s.dirs, want) {
		t.Errorf("linkerConfig = %q, want %q", s.dirs, want)
	}
	s.dirs = []string{dir + "/wrong", dir + "/listed"}
	if err := s.Add(dir + "/link"); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range s.Files() {
		paths = append(paths, f.Path)
	}
	for _, want := range []string{dir + "/bin/main", dir + "/beside/libhigh.so", dir + "/listed/liblow.so", dir + "/link"} {
		if !slices.Contains(paths, want) {
			t.Errorf("found %q, want %s among them", paths, want)
		}
	}
	if os.Getuid() != 0 {
		t.Skip("only root may chroot")
	}
	var exit *exec.ExitError
	cmd := exec.Command("chroot", unpack(t, s), dir+"/link")
	cmd.Env = []string{"LD_ORIGIN_PATH=" + dir + "/bin"} // there is no /proc to tell the linker
	out, err := cmd.CombinedOutput()
	if exit, _ = err.(*exec.ExitError); exit == nil || exit.ExitCode() != 42 {
		t.Errorf("the program: %v, %s, want exit status 42", err, out)
	}

	s = NewSet()
	if err := s.Add(dir + "/link"); err == nil || !strings.Contains(err.Error(), `needs the library "liblow.so", which is not to be found`) {
		t.Errorf("Add without the configuration = %v, want an error about liblow.so", err)
	}
}

func TestAddErrors(t *testing.T) {
	dir := t.TempDir()
	plain := write(t, dir+"/plain", "#!/bin/sh\n")
	if err := os.Chmod(plain, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ path, want string }{
		{"/nowhere/x", "no such file"},
		{dir, "is no file"},
		{plain, "plain is not executable (mode 0644)"},
		{write(t, dir+"/text", "echo\n"), "text: neither an ELF file nor a script"},
		{write(t, dir+"/none", "#!\n"), `none: "#!" names no interpreter`},
		{write(t, dir+"/relative", "#!sh\n"), `"#!sh" names no interpreter`},
		{write(t, dir+"/absent", "#!/nowhere/sh\n"), "absent: its interpreter: "},
		{write(t, dir+"/env", "#!/usr/bin/env\n"), "env is to find its interpreter and is not told which"},
		{write(t, dir+"/envabsent", "#!/usr/bin/env no-such-program\n"), `no program "no-such-program" in /usr/local/sbin:`},
		{write(t, dir+"/damaged", elf.ELFMAG+"\x02\x01\x01"), "damaged: "},
	} {
		if err := NewSet().Add(test.path); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Add(%s) = %v, want an error with %q", test.path, err, test.want)
		}
	}
	// Scripts whose interpreters are scripts, around in a circle.
	a, b := dir+"/a", dir+"/b"
	write(t, a, "#!"+b+"\n")
	write(t, b, "#!"+a+"\n")
	if err := NewSet().Add(a); err != nil {
		t.Errorf("Add of a circle = %v, want it to end", err)
	}
}

func FuzzParseObject(f *testing.F) {
	if data, err := os.ReadFile("/bin/true"); err == nil && len(data) < 1<<20 {
		f.Add(data)
	}
	f.Add([]byte(elf.ELFMAG + "\x02\x01\x01"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if o, err := parseObject("/x", data); err == nil && o.name != "/x" {
			t.Errorf("parseObject = %+v", o)
		}
		if len(data) > 2 {
			interpreter(data)
		}
	})
}
