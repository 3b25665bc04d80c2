// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/config/shellvars"
)

const suseSample = `## Path: System/Kernel/Kdump
KDUMP_CRASHKERNEL="auto"
KDUMP_KERNELVER=""
KDUMP_CPUS=32
KDUMP_COMMANDLINE_APPEND="net_delay=1"
KDUMP_IMMEDIATE_REBOOT="true"
KDUMP_TRANSFER=""
KDUMP_SAVEDIR="sftp://dumps:s3cret@dumps.example.org:2222/srv/crash"
KDUMP_KEEP_OLD_DUMPS=5
KDUMP_DUMPLEVEL=31
KDUMP_DUMPFORMAT="lzo"
MAKEDUMPFILE_OPTIONS="--non-mmap"
KDUMP_CONTINUE_ON_ERROR="no"
KDUMP_REQUIRED_PROGRAMS="/usr/bin/logger
/usr/bin/date"
KDUMP_PRESCRIPT="/usr/local/sbin/pre --fast"
KDUMP_POSTSCRIPT=/usr/local/sbin/post
KDUMP_NETCONFIG="eth0:dhcp4:force"
KDUMP_SMTP_PASSWORD="s3cret"
KDUMP_SSH_IDENTITY="/root/.ssh/kdump /root/.ssh/other"
KDUMP_HOST_KEY="*"
KDUMP_VERBOSE=$((1|2))
FROBNICATE=yes
`

const suseWant = `# Made by kdumpctl import of FILE, the configuration of SUSE's kdump.
#
# What is not taken over as it is, and why:
#
#   KDUMP_VERBOSE (line 22): only a shell could tell what "$((1|2))" is
#   KDUMP_SAVEDIR (line 8): all but its password is taken over: kdumpctl propagate sets up a key
#   KDUMP_SSH_IDENTITY (line 20): of the keys only the first is taken over
#   KDUMP_KEEP_OLD_DUMPS (line 9): keep: it is not about ssh, but about ext4, ext3, ext2, xfs, btrfs, vfat, minix, virtiofs, 9p, nfs
#   KDUMP_PRESCRIPT (line 16): kdump_pre takes the path of a program, without arguments; a script may have the command line
#   KDUMP_NETCONFIG (line 18): the network comes up if a target or fence_kdump_nodes needs it
#   KDUMP_CRASHKERNEL (line 2): nothing here changes the boot loader: crashkernel= is set there by hand; kdumpctl status says what is reserved
#   KDUMP_CPUS (line 4): the capture kernel is started with nr_cpus=1; kdumpctl load --append nr_cpus=N changes that
#   KDUMP_COMMANDLINE_APPEND (line 5): goes to kdumpctl load --append
#   KDUMP_SMTP_PASSWORD (line 19): nothing here sends mail: a kdump_post program may, or one that looks into the directory of dumps
#   KDUMP_HOST_KEY (line 21): host keys are those in ssh_known_hosts, by default /root/.ssh/known_hosts; one has to be there
#   FROBNICATE (line 23): SUSE's kdump does not know it

ssh dumps@dumps.example.org:2222
path /srv/crash
sshkey /root/.ssh/kdump
core_collector makedumpfile -l -d 31 --non-mmap
final_action reboot
failure_action shell
kdump_post /usr/local/sbin/post
extra_bins /usr/bin/logger /usr/bin/date
network eth0 dhcp4
`

const debianSample = `# kdump-tools configuration
USE_KDUMP=1
KDUMP_KERNEL=/var/lib/kdump/vmlinuz
KDUMP_COREDIR="/srv/dumps"
KDUMP_FAIL_CMD="echo 'makedumpfile FAILED.'; /bin/bash; reboot -f"
MAKEDUMP_ARGS="-F -c  -d 17"
KDUMP_CMDLINE_APPEND="$KDUMP_CMDLINE_APPEND irqpoll"
HOSTTAG="hostname"
NFS="nas:/export/crash"
NFS_TIMEO="600"
SSH="user@server"
SSH_KEY="/root/.ssh/kdump"
FTP="server:/pub"
FTP_PASSWORD='s3cret'
`

const debianWant = `# Made by kdumpctl import of FILE, the configuration of Debian's kdump-tools.
#
# What is not taken over as it is, and why:
#
#   KDUMP_CMDLINE_APPEND (line 7): only a shell could tell what "$KDUMP_CMDLINE_APPEND" is
#   USE_KDUMP (line 2): what is armed is what kdumpctl load was called for; ukdump.service does so at boot
#   KDUMP_KERNEL (line 3): goes to kdumpctl load --kernel-image; the default is the running kernel's file
#   HOSTTAG (line 8): machine names the machine across the network; the default is its host name and a part of its machine-id
#   NFS_TIMEO (line 10): requests to NFS servers have bounds of their own
#   FTP (line 13): dumps do not go to FTP servers: ssh, nfs, http and s3 are there
#   FTP_PASSWORD (line 14): dumps do not go to FTP servers: ssh, nfs, http and s3 are there

ssh user@server
path /srv/dumps
sshkey /root/.ssh/kdump
nfs nas:/export/crash
path /
core_collector makedumpfile -F -c -d 17
failure_action shell
`

const redHatSample = `KDUMP_KERNELVER=""
KDUMP_COMMANDLINE_REMOVE="hugepages hugepagesz slub_debug quiet"
KDUMP_COMMANDLINE_APPEND="irqpoll nr_cpus=1"
KEXEC_ARGS="-s"
KDUMP_IMG="vmlinuz"
KDUMP_STDLOGLVL=3
`

const redHatWant = `# Made by kdumpctl import of FILE, the configuration of Red Hat's kdump-utils.
#
# What is not taken over as it is, and why:
#
#   KDUMP_COMMANDLINE_REMOVE (line 2): goes to kdumpctl load --remove, beside what is removed anyway
#   KDUMP_COMMANDLINE_APPEND (line 3): goes to kdumpctl load --append, beside what is added anyway
#   KEXEC_ARGS (line 4): kdumpctl load does without kexec and its options
#   KDUMP_IMG (line 5): goes to kdumpctl load --kernel-image, if the kernel is not where distributions have it
#   KDUMP_STDLOGLVL (line 6): what happens is on the console, and in kdump.log beside the dump

`

func TestImport(t *testing.T) {
	for _, test := range []struct{ flag, sample, want, left string }{
		{"--suse", suseSample, suseWant, "12"},
		{"--debian", debianSample, debianWant, "7"},
		{"--redhat", redHatSample, redHatWant, "5"},
	} {
		file := write(t, t.TempDir(), "config", []byte(test.sample))
		status, out, errout := kdumpctl("import", test.flag, file)
		want := strings.Replace(test.want, "FILE", file, 1)
		wantErr := "kdumpctl import: " + test.left + " settings of " + file + " are not taken over as they are; comments say why\n"
		if status != 0 || out != want || errout != wantErr {
			t.Errorf("import %s = %d,\n%s%s, want 0,\n%s%s", test.flag, status, out, errout, want, wantErr)
		}
		if _, err := config.Parse(config.Path, out, checks()); err != nil {
			t.Errorf("import %s prints what is no configuration: %v", test.flag, err)
		}
		vars, err := shellvars.Parse(test.sample)
		if err != nil {
			t.Fatal(err)
		}
		if d := recognize(vars); d == nil || "--"+d.flag != test.flag {
			t.Errorf("the sample for %s is recognized as %+v", test.flag, d)
		}

		output := file + ".out"
		if status, out, _ := kdumpctl("import", test.flag, file, "-o", output); status != 0 || out != "" {
			t.Errorf("import -o = %d, %q, want 0, nothing", status, out)
		}
		if got, err := os.ReadFile(output); err != nil || string(got) != want {
			t.Errorf("import -o wrote %q, %v, want %q", got, err, want)
		}
		if status, _, errout := kdumpctl("import", test.flag, file, "-o", output); status != 1 || !strings.Contains(errout, "file exists") {
			t.Errorf("import -o over a file = %d, %q, want 1 and why", status, errout)
		}
	}
}

// TestImportValues looks at what becomes of single settings.
func TestImportValues(t *testing.T) {
	for _, test := range []struct {
		dialect, text string
		lines         string // of kdump.conf, with " | " between them
		left          string // a part of the only comment; "" for none
	}{
		{"suse", "KDUMP_SAVEDIR=/var/crash", "path /var/crash", ""},
		{"suse", "KDUMP_SAVEDIR=file:///var/crash", "path /var/crash", ""},
		{"suse", "KDUMP_SAVEDIR=NFS://nas/srv/crash", "nfs nas:/srv/crash | path /", ""},
		{"suse", "KDUMP_SAVEDIR='nfs://[2001:db8::1]/srv'", "nfs [2001:db8::1]:/srv | path /", ""},
		{"suse", "KDUMP_SAVEDIR=scp://h", "ssh root@h | path /", "KDUMP_SSH_IDENTITY: it is not set"},
		{"suse", "KDUMP_SAVEDIR=ssh://u@h/d KDUMP_SSH_IDENTITY=/k", "ssh u@h | path /d | sshkey /k", ""},
		{"suse", "KDUMP_SAVEDIR=ssh://u@h/d KDUMP_SSH_IDENTITY=k", "ssh u@h | path /d", `sshkey: "k" is not an absolute path`},
		{"suse", "KDUMP_SAVEDIR=ftp://u:s3cret@h/d", "", "do not go to FTP servers"},
		{"suse", "KDUMP_SAVEDIR=smb://u:s3cret@h/d", "", "do not go to CIFS shares"},
		{"suse", "KDUMP_SAVEDIR=gopher://u:s3cret@h/d", "", `"gopher" is no kind of target`},
		{"suse", "KDUMP_SAVEDIR='ftp://u:s3cret%zz@h/d'", "", "it is no URL"},
		{"suse", "KDUMP_SAVEDIR=ftp:u:s3cret@h", "", "neither an absolute path nor a URL"},
		{"suse", "KDUMP_SAVEDIR='/a#b'", "", "values in kdump.conf end at the first #"},
		{"suse", "KDUMP_SAVEDIR='/a\n/b'", "", "cannot be the value of a line"},
		{"suse", "KDUMP_DUMPLEVEL=17", "core_collector makedumpfile -c -d 17", ""},
		{"suse", "KDUMP_DUMPLEVEL=99", "core_collector makedumpfile -c -d 31", `"99" is no level`},
		{"suse", "KDUMP_DUMPFORMAT=zstd", "core_collector makedumpfile -z -d 31", ""},
		{"suse", "KDUMP_DUMPFORMAT=raw", "core_collector makedumpfile -E -d 0", ""},
		{"suse", "KDUMP_DUMPFORMAT=none", "", "not the kernel log alone"},
		{"suse", "KDUMP_DUMPFORMAT=tar", "core_collector makedumpfile -z -d 31", `"tar" is no format`},
		{"suse", "MAKEDUMPFILE_OPTIONS=--eppic=x", "core_collector makedumpfile -c -d 31", "--eppic"},
		{"suse", "KDUMP_IMMEDIATE_REBOOT=0", "", "there is a shell only after a failure"},
		{"suse", "KDUMP_CONTINUE_ON_ERROR=maybe", "", `"maybe" is neither true nor false`},
		{"suse", "KDUMP_PRESCRIPT=/a/b", "kdump_pre /a/b", "nothing is saved"},
		{"suse", "KDUMP_POSTSCRIPT=b", "", `"b" is not the absolute path of a program`},
		{"suse", "KDUMP_SSH_IDENTITY=/k", "", "there is no target by SSH"},
		{"suse", "KDUMP_NETCONFIG=auto", "network snapshot", ""},
		{"suse", "KDUMP_NETCONFIG=eth1:auto6", "network eth1 auto6", ""},
		{"suse", "KDUMP_NETCONFIG=eth1:static", "", "addresses are those that the machine has"},
		{"suse", "KDUMP_NETCONFIG=eth1:dhcp6", "", `"eth1:dhcp6" is no way to bring up the network`},
		{"debian", "KDUMP_COREDIR=/srv", "path /srv", ""},
		{"debian", "NFS=nas:/srv KDUMP_COREDIR=/x", "nfs nas:/srv | path /", ""},
		{"debian", "SSH=u@h", "ssh u@h", ""},
		{"debian", "SSH=h:x:y", "", "SSH (line 1): ssh: "},
		{"debian", "KDUMP_FAIL_CMD='reboot -f'", "failure_action reboot", ""},
		{"debian", "KDUMP_FAIL_CMD='/sbin/poweroff'", "failure_action poweroff", ""},
		{"debian", "KDUMP_FAIL_CMD='halt -f'", "failure_action halt", ""},
		{"debian", "KDUMP_FAIL_CMD='rebootify'", "", "commands are not run"},
		{"debian", "MAKEDUMP_ARGS='-X'", "", "Xen dumps are not supported"},
		{"debian", "KDUMP_NUM_DUMPS=", "", ""},
		{"debian", "KDUMP_NUM_DUMPS=0", "", ""},
		{"debian", "KDUMP_NUM_DUMPS=4", "keep 4", ""},
		{"debian", "KDUMP_NUM_DUMPS=some", "", "KDUMP_NUM_DUMPS (line 1): keep: "},
		{"suse", "KDUMP_KEEP_OLD_DUMPS=4", "keep 5", ""},
		{"suse", "KDUMP_KEEP_OLD_DUMPS=0", "", ""},
		{"suse", "KDUMP_KEEP_OLD_DUMPS=-1", "keep 1", ""},
		{"suse", "KDUMP_KEEP_OLD_DUMPS=all", "", "is not a number of dumps"},
	} {
		vars, err := shellvars.Parse(test.text)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(dialects(), func(d dialect) bool { return d.flag == test.dialect })
		c := newConversion(dialects()[i], "f", vars)
		left := strings.Join(c.left, " | ")
		if got := strings.Join(c.lines, " | "); got != test.lines || (left == "") != (test.left == "") || !strings.Contains(left, test.left) || len(c.left) > 1 {
			t.Errorf("%q becomes %q, and leaves %q, want %q, %q", test.text, got, left, test.lines, test.left)
		}
		if strings.Contains(c.text(), "s3cret") {
			t.Errorf("%q becomes\n%swhich has the password", test.text, c.text())
		}
	}
}

// TestImportKeys gives each key a value: each is to be taken over, or named.
func TestImportKeys(t *testing.T) {
	for _, d := range dialects() {
		for _, key := range d.keys() {
			c := newConversion(d, "f", []shellvars.Var{{Name: key.name, Value: "odd#", Line: 1}})
			if len(c.left) == 0 {
				t.Errorf("%s: %s is neither taken over nor named", d.name, key.name)
			}
			for _, left := range c.left {
				if _, reason, _ := strings.Cut(left, ": "); len(reason) < 10 {
					t.Errorf("%s: no reason in %q", d.name, left)
				}
			}
		}
	}
}

// TestImportInstalled reads the files that packages of this system, or those in
// UKDUMP_KDUMP_TOOLS, have: none of their keys may be unknown.
func TestImportInstalled(t *testing.T) {
	files := map[string][]string{
		"debian": {"/etc/default/kdump-tools", "/usr/share/kdump-tools/kdump-tools.conf"},
		"suse":   {"/usr/share/fillup-templates/sysconfig.kdump"},
	}
	if dir := os.Getenv("UKDUMP_KDUMP_TOOLS"); dir != "" {
		files["debian"] = append(files["debian"], dir+"/kdump-tools.conf")
		files["suse"] = append(files["suse"], dir+"/sysconfig.kdump")
	}
	found := false
	for _, d := range dialects() {
		for _, file := range files[d.flag] {
			text, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			found = true
			vars, err := shellvars.Parse(string(text))
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if got := recognize(vars); got == nil || got.flag != d.flag {
				t.Errorf("%s is recognized as %+v", file, got)
			}
			for _, m := range regexp.MustCompile(`(?m)^#?([A-Z_]+)=`).FindAllStringSubmatch(string(text), -1) {
				if !slices.ContainsFunc(d.keys(), func(k foreignKey) bool { return k.name == m[1] }) {
					t.Errorf("%s: %s is not known", file, m[1])
				}
			}
			if status, _, errout := kdumpctl("import", "--"+d.flag, file); status != 0 {
				t.Errorf("import of %s = %d, %s", file, status, errout)
			}
		}
	}
	if !found {
		t.Skip("neither kdump-tools nor SUSE's kdump is here")
	}
}

func TestImportErrors(t *testing.T) {
	dir := t.TempDir()
	script := write(t, dir, "script", []byte("KDUMP_COREDIR=/x\nrm -rf /\n"))
	other := write(t, dir, "other", []byte("PATH=/bin\n"))
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--suse", "/nowhere/kdump"}, "open /nowhere/kdump: no such file"},
		{[]string{"--debian", script}, script + `: line 2: "rm -rf /" is no assignment, and commands are not run`},
		{[]string{"--suse", other, "--debian", other}, "--suse and --debian exclude each other"},
		{[]string{other}, "unexpected argument"},
	} {
		status, out, errout := kdumpctl(append([]string{"import"}, test.args...)...)
		if status != 1 || out != "" || !strings.Contains(errout, test.want) || strings.Count(errout, "\n") != 1 {
			t.Errorf("import %q = %d, %q, %q, want 1, nothing, a line with %q", test.args, status, out, errout, test.want)
		}
	}
	if d := recognize([]shellvars.Var{{Name: "PATH"}}); d != nil {
		t.Errorf("recognize = %+v, want nothing", d)
	}
}

// FuzzImport checks that whatever comes out is a configuration.
func FuzzImport(f *testing.F) {
	for i, sample := range []string{suseSample, debianSample, redHatSample} {
		f.Add(i, sample)
	}
	f.Fuzz(func(t *testing.T, i int, text string) {
		vars, err := shellvars.Parse(text)
		if err != nil {
			return
		}
		all := dialects()
		c := newConversion(all[uint(i)%uint(len(all))], "f", vars)
		if _, err := config.Parse(config.Path, c.text(), checks()); err != nil {
			t.Errorf("%q becomes %q: %v", text, c.text(), err)
		}
	})
}
