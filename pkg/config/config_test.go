// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// testChecks stand for those of the packages above this one.
func testChecks() Checks {
	return Checks{
		Collector: func(args []string) error {
			if args[0] != "makedumpfile" {
				return errors.New("only makedumpfile is known")
			}
			return nil
		},
		Target: func(kind, address string) error {
			if address == "bad" {
				return fmt.Errorf("nobody has a %s there", kind)
			}
			return nil
		},
		Network: func(value string) error {
			if value == "bad" {
				return errors.New("no network")
			}
			return nil
		},
		Fence: func(args []string) error {
			if args[0] == "-x" {
				return errors.New("no such option")
			}
			return nil
		},
		Recipient: func(key string) error {
			if key == "bad" {
				return errors.New("no key")
			}
			return nil
		},
	}
}

func TestParse(t *testing.T) {
	const text = `
# where
ext4   UUID=0a1b2c3d-0000-4000-8000-0123456789ab
path "/srv/crash dumps/"   # trailing comment
core_collector makedumpfile -l  --message-level 7 -d 17
	final_action poweroff
failure_action shell
deadline 1800
stall_timeout 60
device_timeout 1m30s
encrypt age1one  age1two
machine web1.example.org
network eth0 dhcp
network eth1 static 192.0.2.1/24
`
	got, err := Parse("/etc/kdump.conf", text, testChecks())
	want := &Config{
		Targets: []Target{{
			Kind: "ext4", Address: "UUID=0a1b2c3d-0000-4000-8000-0123456789ab", Dir: "/srv/crash dumps",
		}},
		Common:        Target{Dir: "/var/crash"},
		Network:       []string{"eth0 dhcp", "eth1 static 192.0.2.1/24"},
		Machine:       "web1.example.org",
		Encrypt:       []string{"age1one", "age1two"},
		CoreCollector: []string{"makedumpfile", "-l", "--message-level", "7", "-d", "17"},
		FinalAction:   PowerOff,
		FailureAction: Shell,
		Deadline:      30 * time.Minute,
		StallTimeout:  time.Minute,
		DeviceTimeout: 90 * time.Second,
		HookTimeout:   time.Minute,
		ShellTimeout:  10 * time.Minute,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse = %+v, %v, want %+v", got, err, want)
	}
}

func TestParseTargets(t *testing.T) {
	const text = `
path /common
sshkey /root/key
keep 3
ext4 LABEL=first
path /one
target_timeout 1m
xfs LABEL=second
target_timeout 2m
keep 1
max_size 2G
max_rate 20M
vfat LABEL=third
ssh dump@example.org
http https://example.org/
tls_pin sha256//abc
`
	got, err := Parse(Path, text, testChecks())
	want := Default()
	want.Targets = []Target{
		{Kind: "ext4", Address: "LABEL=first", Dir: "/one", Timeout: time.Minute, Keep: 3},
		{Kind: "xfs", Address: "LABEL=second", Dir: "/common", Timeout: 2 * time.Minute, Keep: 1, MaxSize: 2 << 30, MaxRate: 20 << 20},
		{Kind: "vfat", Address: "LABEL=third", Dir: "/common", Keep: 3},
		{Kind: "ssh", Address: "dump@example.org", Dir: "/common", SSHKey: "/root/key"},
		{Kind: "http", Address: "https://example.org/", TLSPin: "sha256//abc"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse = %+v, %v, want %+v", got, err, want)
	}
}

// TestParseInherited reads what kdump-utils reads, and what it means there.
func TestParseInherited(t *testing.T) {
	const text = `
auto_reset_crashkernel yes
force_rebuild 1
default dump_to_rootfs
core_collector /usr/sbin/makedumpfile -F -l --message-level 7 -d 31
kdump_pre /usr/local/sbin/pre.sh
kdump_post "/var/crash/scripts/post it.sh"
kdump_emergency /bin/e
extra_bins /usr/bin/lftp  ip
dracut_args --omit-drivers "cfg80211 snd" --add-drivers "a b" --mount='LABEL=x /mnt nfs4 ro' --mount "10.0.0.1:/srv /mnt nfs4 defaults"
extra_modules gfs2
fence_kdump_nodes node1 node2
fence_kdump_args -p 7410 -f auto -c 0 -i 10
path /crash
sshkey /root/.ssh/kdump_id_rsa
hook_timeout 5
`
	got, err := Parse("/etc/kdump.conf", text, testChecks())
	want := Default()
	want.Targets = []Target{
		{Kind: "nfs", Address: "LABEL=x", Dir: "/var/crash"}, {Kind: "nfs", Address: "10.0.0.1:/srv", Dir: "/crash"},
	}
	want.CoreCollector = []string{"makedumpfile", "-l", "--message-level", "7", "-d", "31"}
	want.FailureAction = DumpToRootfs
	want.Pre, want.Post, want.Emergency = "/usr/local/sbin/pre.sh", "/var/crash/scripts/post it.sh", "/bin/e"
	want.ExtraBins, want.ExtraModules = []string{"/usr/bin/lftp", "ip"}, []string{"a", "b", "gfs2"}
	want.FenceNodes, want.FenceArgs = []string{"node1", "node2"}, []string{"-p", "7410", "-f", "auto", "-c", "0", "-i", "10"}
	want.HookTimeout = 5 * time.Second
	want.Warnings = []string{
		"kdump.conf:2: auto_reset_crashkernel means nothing here",
		"kdump.conf:3: force_rebuild means nothing here",
		"kdump.conf:4: default is the old name of failure_action",
		`kdump.conf:10: dracut_args: dracut does not build this image, "--omit-drivers" means nothing here`,
		"kdump.conf:15: sshkey means nothing for nfs",
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Parse =\n%+v, %v, want\n%+v", got, err, want)
	}
}

// TestKdumpUtils reads the file that kdump-utils installs, with everything in it
// that is commented out: first one target, then the other.
func TestKdumpUtils(t *testing.T) {
	const text = `
auto_reset_crashkernel yes
path /var/crash
core_collector makedumpfile -l --message-level 7 -d 31
kdump_post /var/crash/scripts/kdump-post.sh
kdump_pre /var/crash/scripts/kdump-pre.sh
extra_bins /usr/bin/lftp
extra_modules gfs2
failure_action shell
force_rebuild 1
force_no_rebuild 1
dracut_args --omit-drivers "cfg80211 snd" --add-drivers "ext2 ext3"
fence_kdump_args -p 7410 -f auto -c 0 -i 10
fence_kdump_nodes node1 node2
`
	for _, target := range []string{
		"raw /dev/vg/lv_kdump", "ext4 /dev/vg/lv_kdump", "ext4 LABEL=/boot", "ext4 UUID=03138356-5e61-4ab3-b58e-27507ac41937",
		"virtiofs myfs", "nfs my.server.com:/export/tmp", "nfs [2001:db8::1:2:3:4]:/export/tmp", "ssh user@my.server.com",
		"ssh user@2001:db8::1:2:3:4\nsshkey /root/.ssh/kdump_id_rsa",
	} {
		c, err := Parse(Path, target+text, testChecks())
		want, _, _ := strings.Cut(target, "\n")
		if err != nil || len(c.Targets) != 1 || c.Targets[0].String() != want || c.Targets[0].Dir != "/var/crash" {
			t.Errorf("Parse with %q = %+v, %v, want that target", target, c, err)
		}
	}
}

func TestSplitQuoted(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
		err  bool
	}{
		{"", nil, false},
		{" a\t b ", []string{"a", "b"}, false},
		{`a"b c"'d "e' ""`, []string{`ab cd "e`, ""}, false},
		{`a "b c'`, []string{"a", "b c'"}, true},
	} {
		got, err := splitQuoted(test.text)
		if (err != nil) != test.err || err == nil && !slices.Equal(got, test.want) {
			t.Errorf("splitQuoted(%q) = %q, %v, want %q, error %v", test.text, got, err, test.want, test.err)
		}
	}
}

// TestKeysExplained checks that whoever looks for a key finds it.
func TestKeysExplained(t *testing.T) {
	manual, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("config.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(string(source), "\npackage config\n")
	for _, key := range keys() {
		if !strings.Contains(string(manual), "`"+key+"`") {
			t.Errorf("docs/configuration.md does not have %s", key)
		}
		if !regexp.MustCompile(`[^a-z_0-9]` + key + `[^a-z_0-9]`).MatchString(comment) {
			t.Errorf("the package comment does not have %s", key)
		}
	}
}

func TestTargetString(t *testing.T) {
	for target, want := range map[Target]string{
		{Kind: "ext4", Address: "LABEL=what?"}:                       "ext4 LABEL=what?",
		{Kind: "http", Address: "https://a.example/b?signature=xyz"}: "http https://a.example/b",
	} {
		if got := target.String(); got != want {
			t.Errorf("%#v is %q, want %q", target, got, want)
		}
	}
}

func TestParseEmptyIsDefault(t *testing.T) {
	got, err := Parse(Path, "# nothing\n\n", testChecks())
	if err != nil || !reflect.DeepEqual(got, Default()) {
		t.Errorf("Parse = %+v, %v, want %+v", got, err, Default())
	}
}

func TestSalvage(t *testing.T) {
	anyRaw := []Target{{Kind: "raw", Address: "TYPE=raw", Dir: "/var/crash"}}
	for _, test := range []struct {
		text string
		want []Target
	}{
		{"", anyRaw},
		{"\x00\xff\n\nrepeat\next4 UUID=0a1b-0\npath /x\nfinal_action halt\nxfs LABEL=2", []Target{
			{Kind: "ext4", Address: "UUID=0a1b-0", Dir: "/var/crash"}, {Kind: "xfs", Address: "LABEL=2", Dir: "/var/crash"},
		}},
		{"ext5 UUID=0a1b-0\nxfs LABEL=crash", []Target{{Kind: "xfs", Address: "LABEL=crash", Dir: "/var/crash"}}},
		{"ext4 UUID=0a1b-0x\next4 /dev/vda1\nraw /dev/vdb\nnfs server:/srv\nex", anyRaw},
		{"raw UUID=0a1b-0\n", []Target{{Kind: "raw", Address: "UUID=0a1b-0", Dir: "/var/crash"}}},
	} {
		want := Default()
		want.Targets = test.want
		if got := Salvage(test.text); !reflect.DeepEqual(got, want) {
			t.Errorf("Salvage(%q) = %+v, want %+v", test.text, got, want)
		}
	}
}

// TestSalvageOwn keeps what says whose dump it is, and who may read it.
func TestSalvageOwn(t *testing.T) {
	got := Salvage("machine alpha\nencr\x01pt age1damaged age1\nfinal_action halt\n")
	if want := []string{"age1damaged", "age1"}; got.Machine != "alpha" || !slices.Equal(got.Encrypt, want) || got.FinalAction != Reboot {
		t.Errorf("Salvage = %+v", got)
	}
	if got := Salvage("machine al/pha\n"); got.Machine != "" {
		t.Errorf("the machine is %q", got.Machine)
	}
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"\n\ncore_colector x", `kdump.conf:3: unknown key "core_colector" (did you mean core_collector?)`},
		{"ext5 /dev/vda", `kdump.conf:1: unknown key "ext5" (did you mean ext4?)`},
		{"frobnicate yes", `kdump.conf:1: unknown key "frobnicate"`},
		{"minix LABEL=x", `kdump.conf:1: minix: "LABEL=x": minix has neither UUID nor label; give the path of the device`},
		{"nfs bad", `kdump.conf:1: nfs: nobody has a nfs there`},
		{"virtiofs /a", `kdump.conf:1: virtiofs: "/a" is not the tag of a share, which has no slash or space`},
		{"default shell\nfailure_action shell", `kdump.conf:2: failure_action is given a second time (the first is in line 1)`},
		{"default bash", `kdump.conf:1: default: "bash" is none of reboot, halt, poweroff, shell, dump_to_rootfs`},
		{"blacklist i2c", `kdump.conf:1: key "blacklist" is not supported: kdump-utils dropped it, too; remove the line`},
		{"kdump_pre pre.sh", `kdump.conf:1: kdump_pre: "pre.sh" is not the absolute path of a program, without arguments`},
		{"kdump_post /a//b", `kdump.conf:1: kdump_post: "/a//b" is not the absolute path of a program, without arguments`},
		{"fence_kdump_args -x", `kdump.conf:1: fence_kdump_args: no such option`},
		{`dracut_args --mount "/dev/vda1 /mnt zfs"`, `kdump.conf:1: dracut_args: --mount: "zfs" is none of the file systems that dumps go to: ext4, ext3, ext2, xfs, btrfs, vfat, minix`},
		{`dracut_args --mount /dev/vda1 /mnt ext4`, `kdump.conf:1: dracut_args: --mount: "/dev/vda1" is not like "UUID=1b3ac4c0-… /mnt ext4 defaults"`},
		{`dracut_args --mount "/dev/vda1`, `kdump.conf:1: dracut_args: a quote is not closed`},
		{`dracut_args --mount "vda1 /mnt ext4 ro"`, `kdump.conf:1: dracut_args: --mount: "vda1" is neither UUID=…, LABEL=… nor a path below /dev`},
		{"path /a\npath /b", "kdump.conf:2: path is given a second time (the first is in line 1)"},
		{"ext4 /dev/vda\npath /a\n\npath /b", "kdump.conf:4: path is given a second time (the first is in line 2)"},
		{"deadline 1m\next4 /dev/vda\ndeadline 1m", "kdump.conf:3: deadline is given a second time (the first is in line 1)"},
		{"path", "kdump.conf:1: path has no value"},
		{"path # /a", "kdump.conf:1: path has no value"},
		{`path ""`, "kdump.conf:1: path has no value"},
		{"path var/crash", `kdump.conf:1: path: "var/crash" is not an absolute path`},
		{"path /var/../etc", `kdump.conf:1: path: "/var/../etc" has .. in it`},
		{"path /var\x00/etc", `kdump.conf:1: path has control characters in its value "/var\x00/etc"`},
		{`core_collector " "`, "kdump.conf:1: core_collector has no value"},
		{"core_collector gzip", "kdump.conf:1: core_collector: only makedumpfile is known"},
		{"ext4 /dev/vda\ntls_ca /root/ca", "kdump.conf:2: tls_ca: it is not about ext4, but about http, s3"},
		{"sshkey key", `kdump.conf:1: sshkey: "key" is not an absolute path`},
		{"http http://a/\npath /b", "kdump.conf:2: path: the path of a target by http is part of its address"},
		{"network dhcp\nnetwork bad", `kdump.conf:2: network: no network`},
		{"machine ../x", `kdump.conf:1: machine: "../x" is not a name of up to 63 letters, digits, hyphens, dots and underscores`},
		{"encrypt age1x bad", `kdump.conf:1: encrypt: no key`},
		{"final_action shell", `kdump.conf:1: final_action: "shell" is none of reboot, halt, poweroff`},
		{"failure_action continue", `kdump.conf:1: failure_action: "continue" is none of reboot, halt, poweroff, shell, dump_to_rootfs`},
		{"deadline soon", `kdump.conf:1: deadline: "soon" is not a duration such as 90s, 15m or 1h30m`},
		{"deadline 0", `kdump.conf:1: deadline: "0" is not between 1s and 24h`},
		{"deadline -5s", `kdump.conf:1: deadline: "-5s" is not between 1s and 24h`},
		{"shell_timeout 25h", `kdump.conf:1: shell_timeout: "25h" is not between 1s and 24h`},
		{"keep 0", `kdump.conf:1: keep: "0" is not a number of dumps from 1 to 1000`},
		{"keep 5x", `kdump.conf:1: keep: "5x" is not a number of dumps from 1 to 1000`},
		{"s3 s3://b\nkeep 5", `kdump.conf:2: keep: it is not about s3, but about ext4, ext3, ext2, xfs, btrfs, vfat, minix, virtiofs, 9p, nfs`},
		{"max_size 5m", `kdump.conf:1: max_size: "5m" is not a size such as 500M, 20G or 1T`},
		{"max_size -5M", `kdump.conf:1: max_size: "-5M" is not a size such as 500M, 20G or 1T`},
		{"max_size 9999999999T", `kdump.conf:1: max_size: "9999999999T" is not a size such as 500M, 20G or 1T`},
		{"max_size 100", `kdump.conf:1: max_size: "100" is less than 1M`},
		{"max_rate 100K", `kdump.conf:1: max_rate: "100K" is less than 1M`},
		{"max_size M", `kdump.conf:1: max_size: "M" is not a size such as 500M, 20G or 1T`},
		{"xfs vda1", `kdump.conf:1: xfs: "vda1" is neither UUID=…, LABEL=… nor a path below /dev`},
		{"xfs /dev/../vda1", `kdump.conf:1: xfs: "/dev/../vda1" is neither UUID=…, LABEL=… nor a path below /dev`},
		{"xfs PARTUUID=1-2", `kdump.conf:1: xfs: "PARTUUID=1-2": a device cannot be found by PARTUUID; use UUID= or LABEL=, which blkid prints`},
		{"xfs UUID=", "kdump.conf:1: xfs: UUID= names no device"},
		{"xfs UUID=12g4", `kdump.conf:1: xfs: "UUID=12g4": 'g' does not occur in UUIDs`},
		{strings.Repeat("#", maxSize+1), "kdump.conf: larger than 1 MiB; this is no kdump.conf"},
	} {
		c, err := Parse("/etc/kdump.conf", test.text, testChecks())
		if err == nil || err.Error() != test.want || c != nil {
			t.Errorf("Parse(%.60q) = %v, %v, want %s", test.text, c, err, test.want)
		}
	}
}

func TestOverride(t *testing.T) {
	c := Default()
	c.Targets = []Target{{Kind: "ext4", Address: "/dev/vda1", Dir: "/one", Timeout: time.Second}, {Kind: "ext4", Address: "/dev/vda2", Dir: "/two"}}
	wrong := c.Override(`quiet kdump.path=/a  "kdump.core_collector=makedumpfile -d 1" kdump.xfs="LABEL=my disk"`+
		` kdump.path=/b kdump.final_action=shell kdump.pth=/c xkdump.path=/d kdump.`+"\n", testChecks())
	want := Default()
	want.Targets = []Target{{Kind: "xfs", Address: "LABEL=my disk", Dir: "/b", Timeout: time.Second}}
	want.Common.Dir = "/b"
	want.CoreCollector = []string{"makedumpfile", "-d", "1"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("Override made %+v, want %+v", c, want)
	}
	wantErrs := []string{
		`kernel command line: final_action: "shell" is none of reboot, halt, poweroff`,
		`kernel command line: unknown key "pth" (did you mean path?)`,
		`kernel command line: unknown key ""`,
	}
	var gotErrs []string
	for _, err := range wrong {
		gotErrs = append(gotErrs, err.Error())
	}
	if !slices.Equal(gotErrs, wantErrs) {
		t.Errorf("Override = %q, want %q", gotErrs, wantErrs)
	}
}

func TestSplitCmdline(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" \n", nil},
		{"a  b\tc\n", []string{"a", "b", "c"}},
		{`"a b" c="d e"f ""`, []string{"a b", "c=d ef", ""}},
		{`a "b c`, []string{"a", "b c"}},
	} {
		if got := splitCmdline(test.text); !slices.Equal(got, test.want) {
			t.Errorf("splitCmdline(%q) = %q, want %q", test.text, got, test.want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "", 3}, {"", "abc", 3}, {"path", "path", 0}, {"pth", "path", 1},
		{"kitten", "sitting", 3}, {"flaw", "lawn", 2},
	} {
		if got := editDistance(test.a, test.b); got != test.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("ext4 UUID=0a1b-2c3d\npath /var/crash\n")
	f.Add("path \"/a b \"\ncore_collector makedumpfile -l\n#x\n\nfailure_action shell\ndeadline 90s")
	f.Add("sshkey /a\ntls_pin x\next4 /dev/a\nssh a@b\nhttp http://a/b\ntls_ca /c\nencrypt age1x\nmachine a\n")
	f.Add("default halt\nkdump_pre /a\nextra_bins a b\nhook_timeout 5\ndracut_args --mount 'LABEL=x / xfs' --add-drivers=a -x")
	f.Add("vfat LABEL=\"x\"\nfinal_action halt\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(Path, text, testChecks())
		if (c == nil) == (err == nil) {
			t.Fatalf("Parse(%q) = %v, %v", text, c, err)
		}
		if err != nil {
			return
		}
		c.Warnings = nil
		again, err := Parse(Path, c.Text(), testChecks())
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("Parse(%q) = %+v, but its text %q is read as %+v, %v", text, c, c.Text(), again, err)
		}
	})
}

func FuzzOverride(f *testing.F) {
	f.Add(`kdump.path=/a "kdump.core_collector=makedumpfile -d 1"`)
	f.Fuzz(func(t *testing.T, cmdline string) {
		c := Default()
		c.Override(cmdline, testChecks())
		if len(c.CoreCollector) == 0 || c.Common.Dir == "" || c.FinalAction == Shell {
			t.Errorf("Override(%q) made %+v", cmdline, c)
		}
	})
}
