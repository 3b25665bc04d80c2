// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/initramfs"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image"
	"github.com/ukdump/ukdump/pkg/kexec"
	"github.com/ukdump/ukdump/pkg/netconf"
)

// kdumpctl runs the applet.
func kdumpctl(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = Run(args, strings.NewReader(""), &out, &errs)
	return status, out.String(), errs.String()
}

// write makes a file in dir.
func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// staticELF returns the smallest executable that needs no libraries.
func staticELF() []byte {
	var b bytes.Buffer
	header := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: 64}
	copy(header.Ident[:], elf.ELFMAG)
	header.Ident[elf.EI_CLASS], header.Ident[elf.EI_DATA], header.Ident[elf.EI_VERSION] = 2, 1, 1
	binary.Write(&b, binary.LittleEndian, header)
	return b.Bytes()
}

const release = "6.1.0-test"

// machine is the files that a build reads.
type machine struct{ dir, modules, config, init, rescue, output string }

// newMachine makes the files of a kernel that has ext4 and two modules, one of
// them compressed, and cannot unpack zstd.
func newMachine(t *testing.T) machine {
	t.Helper()
	dir := t.TempDir()
	m := machine{dir: dir, modules: filepath.Join(dir, "lib/modules", release), output: filepath.Join(dir, "out/image")}
	m.config = write(t, dir, "kdump.conf", []byte("# a comment\next4 UUID=0a1b2c3d-0000-4000-8000-0123456789ab\n"))
	m.init = write(t, dir, "ukdump-image", staticELF())
	m.rescue = write(t, dir, "bb", staticELF())

	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("\x7fELF virtio"))
	z.Close()
	write(t, m.modules, "kernel/virtio.ko.gz", packed.Bytes())
	write(t, m.modules, "kernel/virtio_blk.ko", []byte("\x7fELF virtio_blk"))
	write(t, m.modules, "kernel/e1000.ko", []byte("\x7fELF e1000"))
	write(t, m.modules, "modules.dep", []byte("kernel/virtio.ko.gz:\nkernel/virtio_blk.ko: kernel/virtio.ko.gz\nkernel/e1000.ko:\n"))
	write(t, m.modules, "modules.builtin", []byte("kernel/fs/ext4/ext4.ko\n"))
	write(t, dir, "boot/config-"+release, []byte("#\nCONFIG_RD_GZIP=y\n# CONFIG_RD_ZSTD is not set\n# CONFIG_RD_LZ4 is not set\n"))
	return m
}

// build runs kdumpctl build for the machine, with more options.
func (m machine) build(options ...string) (status int, stdout, stderr string) {
	args := []string{"build", "-o", m.output, "--config", m.config, "--kernel", release, "--module-dir", m.modules, "--init", m.init}
	return kdumpctl(append(args, options...)...)
}

func TestBuild(t *testing.T) {
	for _, tt := range []struct {
		name    string
		options []string
		modules string // that are in the image, in order
		rescue  int    // files
	}{
		{"named", []string{"--modules", "virtio-blk"}, "virtio virtio_blk", 0},
		{"list and repeated", []string{"--modules", "e1000, virtio", "--modules=e1000"}, "e1000 virtio", 0},
		{"generic", []string{"--generic"}, "virtio virtio_blk", 0},
		{"none", []string{"--no-modules"}, "", 0},
		{"rescue", []string{"--no-modules", "--rescue=RESCUE"}, "", 1},
	} {
		m := newMachine(t)
		for i := range tt.options {
			tt.options[i] = strings.Replace(tt.options[i], "RESCUE", m.rescue, 1)
		}
		status, out, errout := m.build(tt.options...)
		if status != 0 || errout != "" || !strings.HasPrefix(out, m.output+": ") {
			t.Errorf("%s: build = %d, %q, %q, want 0, the image, nothing", tt.name, status, out, errout)
			continue
		}
		img, err := image.ReadFile(m.output)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var names []string
		for _, e := range img.Modules {
			names = append(names, e.Name())
		}
		if got := strings.Join(names, " "); got != tt.modules {
			t.Errorf("%s: modules %q, want %q", tt.name, got, tt.modules)
		}
		if img.Compression != image.Gzip {
			t.Errorf("%s: compressed with %s, want gzip, the first that the kernel unpacks", tt.name, img.Compression)
		}
		if got := img.Parts[3]; got.Name != "rescue" || got.Files != tt.rescue {
			t.Errorf("%s: rescue part %+v, want %d files", tt.name, got, tt.rescue)
		}
		cfg, err := config.Parse("", string(img.Config), checks())
		if err != nil || len(cfg.Targets) != 1 || cfg.Targets[0].String() != "ext4 UUID=0a1b2c3d-0000-4000-8000-0123456789ab" {
			t.Errorf("%s: configuration %q (%v), want the target of %s", tt.name, img.Config, err, m.config)
		}
	}
}

// TestBuildWarnings builds with a file of kdump-utils.
func TestBuildWarnings(t *testing.T) {
	m := newMachine(t)
	write(t, m.dir, "kdump.conf", []byte("default halt\next4 LABEL=x\nforce_rebuild 1\n"))
	const want = "kdumpctl build: kdump.conf:1: default is the old name of failure_action\n" +
		"kdumpctl build: kdump.conf:3: force_rebuild means nothing here\n"
	if status, _, errout := m.build("--no-modules"); status != 0 || errout != want {
		t.Errorf("build = %d, %q, want 0, %q", status, errout, want)
	}
	img, err := image.ReadFile(m.output)
	if err != nil || !strings.Contains(string(img.Config), "\nfailure_action halt\n") || strings.Contains(string(img.Config), "force_rebuild") {
		t.Errorf("the image has %v, %v", img, err)
	}
}

// TestKdumpUtilsExamples reads what kdump-utils has for examples of targets in the
// file that it installs.
func TestKdumpUtilsExamples(t *testing.T) {
	for _, line := range []string{
		"raw /dev/vg/lv_kdump", "ext4 /dev/vg/lv_kdump", "ext4 LABEL=/boot", "ext4 UUID=03138356-5e61-4ab3-b58e-27507ac41937",
		"virtiofs myfs", "nfs my.server.com:/export/tmp", "nfs [2001:db8::1:2:3:4]:/export/tmp", "ssh user@my.server.com",
		"ssh user@2001:db8::1:2:3:4", "core_collector makedumpfile -F -l --message-level 7 -d 31", "core_collector scp",
		`core_collector "cp --sparse=always"`, "fence_kdump_args -p 7410 -f auto -c 0 -i 10",
		`dracut_args --omit-drivers "cfg80211 snd" --add-drivers "ext2 ext3"`, `dracut_args --mount "UUID=0383 /mnt ext4 defaults"`,
	} {
		if c, err := config.Parse(config.Path, line+"\n", checks()); err != nil || strings.Contains(line, " /dev/") && len(c.Targets) != 1 {
			t.Errorf("%q is %+v, %v, want it accepted", line, c, err)
		}
	}
}

func TestBuildErrors(t *testing.T) {
	for _, tt := range []struct {
		name    string
		config  string // "" for the usual one
		options []string
		want    string
	}{
		{"unknown key", "core_colector x\n", []string{"--no-modules"}, `kdump.conf:1: unknown key "core_colector" (did you mean core_collector?)`},
		{"bad collector", "core_collector makedumpfile -d 99\n", []string{"--no-modules"}, "kdump.conf:1: core_collector: "},
		{"no target", "path /var/crash\n", []string{"--generic"}, "names no target"},
		{"root of another machine", "ext4 LABEL=x\nfailure_action dump_to_rootfs\n", []string{"--generic"}, "dump_to_rootfs is about this machine"},
		{"no shell", "ext4 LABEL=x\nfailure_action shell\n", []string{"--no-modules"}, "no rescue shell to pack (make rescue builds it)"},
		{"no config", "", []string{"--no-modules", "--config", "/nowhere/kdump.conf"}, "/nowhere/kdump.conf: no such file or directory; kdumpctl sample prints one"},
		{"unknown module", "", []string{"--modules", "virtio_blk,nosuch"}, "nosuch: no such module"},
		{"no file system", "xfs LABEL=x\n", []string{"--modules", "virtio"}, "xfs: no such module"},
		{"not depmodded", "", []string{"--generic", "--module-dir", "/"}, "run depmod for this kernel"},
		{"two ways", "", []string{"--generic", "--no-modules"}, "exclude each other"},
		{"unsupported", "", []string{"--no-modules", "--compress", "zstd"}, "the kernel cannot unpack zstd ("},
		{"unknown compression", "", []string{"--no-modules", "--compress", "xz"}, `unknown compression "xz"`},
		{"dynamic", "", []string{"--no-modules", "--init", "/bin/ls"}, "/bin/ls needs a dynamic linker"},
		{"no program", "", []string{"--no-modules", "--init", "/etc/passwd"}, "/etc/passwd is no executable"},
		{"argument", "", []string{"--no-modules", "image"}, `unexpected argument "image"`},
		{"absent node", "ext4 /dev/nosuch\n", nil, "/dev/nosuch: no such file"},
	} {
		m := newMachine(t)
		if tt.config != "" {
			write(t, m.dir, "kdump.conf", []byte(tt.config))
		}
		status, out, errout := m.build(tt.options...)
		if status != 1 || out != "" || !strings.HasPrefix(errout, "kdumpctl build: ") ||
			!strings.Contains(errout, tt.want) || strings.Count(errout, "\n") != 1 {
			t.Errorf("%s: build = %d, %q, %q, want 1, nothing, a line with %q", tt.name, status, out, errout, tt.want)
		}
		if _, err := os.Stat(m.output); err == nil {
			t.Errorf("%s: the failed build left an image", tt.name)
		}
	}
}

// kernelFile makes the beginning of a bzImage of that release.
func kernelFile(t *testing.T, dir, release string) string {
	b := make([]byte, 0x600)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x20e:], 0x300)
	copy(b[0x500:], release+" (builder@host) #1 SMP")
	return write(t, dir, "vmlinuz-"+release, b)
}

func TestLoadDryRun(t *testing.T) {
	m := newMachine(t)
	if status, _, errout := m.build("--generic"); status != 0 {
		t.Fatal(errout)
	}
	kernel, other := kernelFile(t, m.dir, release), kernelFile(t, m.dir, "6.2.0-test")
	whole, err := os.ReadFile(m.output)
	if err != nil {
		t.Fatal(err)
	}
	cut := write(t, m.dir, "cut", whole[:len(whole)-20])

	status, out, errout := kdumpctl("load", "--dry-run", "--kernel-image", kernel, "--initrd", m.output, "--append", "kdump.path=/crash", "--remove", "novmcoredd")
	if status != 0 || errout != "" || strings.Contains(out, "armed") || strings.Contains(out, "novmcoredd") {
		t.Errorf("load --dry-run = %d, %q, %q, want 0, what would be loaded, nothing", status, out, errout)
	}
	for _, want := range []string{"kernel        " + kernel + "\n", "image         " + m.output + "\n", " nr_cpus=1 ", " kdump.path=/crash\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("load --dry-run = %q, want %q in it", out, want)
		}
	}
	for _, tt := range []struct{ kernel, initrd, want string }{
		{other, m.output, "has modules for 6.1.0-test, but " + other + " is 6.2.0-test"},
		{kernel, cut, cut + ": "},
		{kernel, kernel, "not an image"},
		{kernel, "/nowhere/image", "no such file"},
		{"/nowhere/vmlinuz", m.output, "no such file"},
	} {
		status, out, errout := kdumpctl("load", "--dry-run", "--kernel-image", tt.kernel, "--initrd", tt.initrd)
		if status != 1 || out != "" || !strings.Contains(errout, tt.want) || strings.Count(errout, "\n") != 1 {
			t.Errorf("load of %s with %s = %d, %q, %q, want 1, nothing, a line with %q", tt.initrd, tt.kernel, status, out, errout, tt.want)
		}
	}
	if status, _, errout := kdumpctl("load", "--kernel", "0.0.0-none"); status != 1 || !strings.Contains(errout, "--kernel-image") {
		t.Errorf("load of an unknown release = %d, %q, want 1 and a hint", status, errout)
	}
}

// TestUnreserved runs what needs a reservation on a machine without one.
func TestUnreserved(t *testing.T) {
	st, err := kexec.ReadStatus()
	if err == nil && (st.Reserved > 0 || st.Armed) {
		t.Skip("this machine has memory reserved for a capture kernel: a test must not disarm it")
	}
	want := kexec.ErrNoReservation.Error()
	if err != nil {
		want = err.Error()
	}
	m := newMachine(t)
	if status, _, errout := m.build("--no-modules"); status != 0 {
		t.Fatal(errout)
	}
	status, out, errout := kdumpctl("load", "--kernel-image", kernelFile(t, m.dir, release), "--initrd", m.output)
	if status != 1 || out != "" || errout != "kdumpctl load: "+want+"\n" {
		t.Errorf("load = %d, %q, %q, want 1, nothing, %q", status, out, errout, want)
	}
}

func TestStatus(t *testing.T) {
	m := newMachine(t)
	if status, _, errout := m.build("--generic"); status != 0 {
		t.Fatal(errout)
	}
	img, err := readImageStatus(m.output)
	if err != nil {
		t.Fatal(err)
	}
	st := status{Reserved: 192 << 20, Ranges: []string{"0xa7000000-0xb2ffffff"}, Armed: true, Image: img}
	var text bytes.Buffer
	st.print(&text)
	for _, want := range []string{
		"reserved   192.0 MiB at 0xa7000000-0xb2ffffff\n", "armed      yes\n", m.output,
		"target     ext4 UUID=0a1b2c3d-0000-4000-8000-0123456789ab, directory /var/crash\n",
		"collector  makedumpfile -z -d 31\n", "then       reboot; without a dump reboot\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("status prints %q, want %q in it", &text, want)
		}
	}

	text.Reset()
	(&status{ImageError: "x does not exist"}).print(&text)
	for _, want := range []string{"reserved   nothing: add crashkernel=", "armed      no", "image      x does not exist\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("status of nothing prints %q, want %q in it", &text, want)
		}
	}
}

// TestStatusNetwork has images with plans of the network: one that is not true of this
// machine, to which loopback leads to itself, and one for any machine.
func TestStatusNetwork(t *testing.T) {
	for _, test := range []struct{ plan, want string }{
		{"link eth9 mac 52:54:00:00:00:01\naddress eth9 192.0.2.7/24\n", "127.0.0.2 is this machine"},
		{"link any\ndhcp4 any\n", ""},
		{"link", "network:1: link: "},
		{"", ""},
	} {
		spec := image.Spec{Init: staticELF(), Config: []byte("nfs 127.0.0.2:/srv\n")}
		if test.plan != "" {
			spec.Files = []image.File{{Path: netconf.Path, Data: []byte(test.plan)}}
		}
		path := filepath.Join(t.TempDir(), "image")
		if err := image.WriteFile(path, spec, image.Gzip); err != nil {
			t.Fatal(err)
		}
		img, err := readImageStatus(path)
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		(&status{Image: img}).print(&text)
		_, line, found := strings.Cut(text.String(), "\nnetwork    not as the image has it, build and load it again: ")
		line, _, _ = strings.Cut(line, "\n")
		if found != (test.want != "") || !strings.Contains(line, test.want) {
			t.Errorf("the plan %q: status prints %q, want %q in the line about it", test.plan, &text, test.want)
		}
	}
}

// TestStatusOfThisMachine checks the exit status and the form of the output.
func TestStatusOfThisMachine(t *testing.T) {
	st, err := kexec.ReadStatus()
	status, out, errout := kdumpctl("status", "--json", "--initrd", "/nowhere/image")
	if err != nil {
		if status != 1 || out != "" || errout != "kdumpctl status: "+err.Error()+"\n" {
			t.Errorf("status = %d, %q, %q, want 1, nothing, %q", status, out, errout, err)
		}
		return
	}
	want := 3
	if st.Armed {
		want = 0
	}
	var got struct {
		Reserved   uint64 `json:"reserved"`
		Armed      bool   `json:"armed"`
		ImageError string `json:"image_error"`
	}
	err = json.Unmarshal([]byte(out), &got)
	if err != nil || status != want || got.Reserved != st.Reserved || got.Armed != st.Armed || got.ImageError == "" {
		t.Errorf("status --json = %d, %q (%v), want %d and what %+v says", status, out, err, want, st)
	}
}

// TestSample checks that the sample is a configuration, and so is everything in
// it that is commented out.
func TestSample(t *testing.T) {
	status, out, errout := kdumpctl("sample")
	if status != 0 || out != initramfs.SampleConfig || errout != "" {
		t.Fatalf("sample = %d, %q, %q", status, out, errout)
	}
	examples := regexp.MustCompile(`(?m)^#[a-z]`).ReplaceAllStringFunc(out, func(s string) string { return s[1:] })
	for _, text := range []string{out, examples} {
		if _, err := config.Parse("sample", text, checks()); err != nil {
			t.Errorf("the sample is no configuration: %v", err)
		}
	}
	if strings.Count(examples, "\n#") >= strings.Count(out, "\n#")-10 {
		t.Errorf("the sample has few examples: %q", out)
	}
}

// TestBuildHelpKeys checks that the help has every key that the manual has.
func TestBuildHelpKeys(t *testing.T) {
	manual, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(string(manual), -1) {
		for key := range strings.FieldsSeq(strings.ReplaceAll(row[1], "`", " ")) {
			n++
			if !regexp.MustCompile(`[^a-z_0-9]` + key + `[^a-z_0-9]`).MatchString(buildHelp) {
				t.Errorf("kdumpctl build -h does not have %s", key)
			}
		}
	}
	if n < 40 {
		t.Errorf("docs/configuration.md has %d keys, want 40 and more", n)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"help"}, {"build", "-h"}, {"load", "--help"}, {"unload", "-h"}, {"status", "-h"}, {"sample", "-h"}, {"import", "-h"}} {
		status, out, errout := kdumpctl(args...)
		if status != 0 || !strings.HasPrefix(out, "usage: kdumpctl") || errout != "" {
			t.Errorf("%q = %d, %q, %q, want 0, the usage, nothing", args, status, out, errout)
		}
		for line := range strings.Lines(out) {
			if len(line) > 81 {
				t.Errorf("%q: line of %d bytes: %q", args, len(line), line)
			}
		}
	}
	for _, args := range [][]string{{"bild"}, {"build", "--bild"}, {"status", "x"}} {
		status, out, errout := kdumpctl(args...)
		if status != 1 || out != "" || strings.Count(errout, "\n") != 1 {
			t.Errorf("%q = %d, %q, %q, want 1, nothing, one line", args, status, out, errout)
		}
	}
}
