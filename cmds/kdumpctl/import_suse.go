// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ukdump/ukdump/pkg/collector"
)

// Reasons that several keys have.
const (
	reasonCrashkernel = "nothing here changes the boot loader: crashkernel= is set there by hand; kdumpctl status says what is reserved"
	reasonAppend      = "goes to kdumpctl load --append"
	reasonCmdline     = "kdumpctl load makes the command line of the running kernel's; --append and --remove change it"
	reasonKexec       = "kdumpctl load does without kexec and its options"
	reasonFadump      = "firmware-assisted dumps are not supported"
	reasonMail        = "nothing here sends mail: a kdump_post program may, or one that looks into the directory of dumps"
	reasonCPUs        = "the capture kernel is started with nr_cpus=1; kdumpctl load --append nr_cpus=N changes that"
	reasonNoSSH       = "there is no target by SSH"
	reasonFTP         = "dumps do not go to FTP servers: ssh, nfs, http and s3 are there"
)

// suseKeys returns the keys of sysconfig.kdump in SUSE's kdump 2.1.9, and those that
// it has dropped.
func suseKeys() []foreignKey {
	return []foreignKey{
		{"KDUMP_CRASHKERNEL", reasonCrashkernel},
		{"KDUMP_UPDATE_BOOTLOADER", reasonCrashkernel},
		{"KDUMP_AUTO_RESIZE", reasonCrashkernel},
		{"KDUMP_KERNELVER", "goes to kdumpctl build --kernel and kdumpctl load --kernel"},
		{"KDUMP_CPUS", reasonCPUs},
		{"KDUMP_COMMANDLINE", reasonCmdline},
		{"KDUMP_COMMANDLINE_APPEND", reasonAppend},
		{"KDUMP_FADUMP", reasonFadump},
		{"KDUMP_FADUMP_SHELL", reasonFadump},
		{"FADUMP_COMMANDLINE_APPEND", reasonFadump},
		{"KEXEC_OPTIONS", reasonKexec},
		{"MAKEDUMPFILE_OPTIONS", ""},
		{"KDUMP_IMMEDIATE_REBOOT", ""},
		{"KDUMP_TRANSFER", "no other program can save the dump"},
		{"KDUMP_SAVEDIR", ""},
		{"KDUMP_KEEP_OLD_DUMPS", ""},
		{"KDUMP_FREE_DISK_SIZE", "a dump that does not fit is tried smaller, and is not deleted if it fits"},
		{"KDUMP_VERBOSE", "what happens is on the console, and in kdump.log beside the dump"},
		{"KDUMP_DUMPLEVEL", ""},
		{"KDUMP_DUMPFORMAT", ""},
		{"KDUMP_CONTINUE_ON_ERROR", ""},
		{"KDUMP_REQUIRED_PROGRAMS", ""},
		{"KDUMP_PRESCRIPT", ""},
		{"KDUMP_POSTSCRIPT", ""},
		{"KDUMP_NETCONFIG", ""},
		{"KDUMP_NET_TIMEOUT", "target_timeout bounds what is done with a target, the network included"},
		{"KDUMP_SMTP_SERVER", reasonMail},
		{"KDUMP_SMTP_USER", reasonMail},
		{"KDUMP_SMTP_PASSWORD", reasonMail},
		{"KDUMP_NOTIFICATION_TO", reasonMail},
		{"KDUMP_NOTIFICATION_CC", reasonMail},
		{"KDUMP_HOST_KEY", "host keys are those in ssh_known_hosts, by default /root/.ssh/known_hosts; one has to be there"},
		{"KDUMP_SSH_IDENTITY", reasonNoSSH},
		{"KDUMPTOOL_FLAGS", "SUSE's kdump has dropped it, too"},
		{"KDUMP_COPY_KERNEL", "SUSE's kdump has dropped it, too"},
	}
}

func convertSUSE(c *conversion) {
	if dir := c.take("KDUMP_SAVEDIR"); dir != "" {
		c.saveDir("KDUMP_SAVEDIR", dir)
	}
	c.keepSUSE()
	c.collectorSUSE()
	if value := c.boolean("KDUMP_IMMEDIATE_REBOOT"); value == "false" {
		c.leave("KDUMP_IMMEDIATE_REBOOT", "the machine reboots after a dump; there is a shell only after a failure, with failure_action shell")
	} else if value == "true" {
		c.line("KDUMP_IMMEDIATE_REBOOT", "final_action", "reboot")
	}
	if value := c.boolean("KDUMP_CONTINUE_ON_ERROR"); value == "false" {
		c.line("KDUMP_CONTINUE_ON_ERROR", "failure_action", "shell")
	} else if value == "true" {
		c.line("KDUMP_CONTINUE_ON_ERROR", "failure_action", "reboot")
	}
	if c.script("KDUMP_PRESCRIPT", "kdump_pre") {
		c.leave("KDUMP_PRESCRIPT", "if kdump_pre exits with another status than 0, nothing is saved")
	}
	c.script("KDUMP_POSTSCRIPT", "kdump_post")
	if value := c.take("KDUMP_REQUIRED_PROGRAMS"); value != "" {
		c.line("KDUMP_REQUIRED_PROGRAMS", "extra_bins", strings.Join(strings.Fields(value), " "))
	}
	if value := c.take("KDUMP_NETCONFIG"); value != "" {
		c.networkSUSE(value)
	}
}

// keepSUSE takes over how many dumps are left beside the new one.
func (c *conversion) keepSUSE() {
	const name = "KDUMP_KEEP_OLD_DUMPS"
	value := c.take(name)
	n, err := strconv.Atoi(value)
	switch {
	case value == "" || value == "0": // all are left
	case err == nil && n >= -1:
		c.line(name, "keep", strconv.Itoa(max(n, 0)+1))
	default:
		c.leave(name, fmt.Sprintf("%.40q is not a number of dumps", value))
	}
}

// script takes over the path of a program. Others take command lines, too.
func (c *conversion) script(name, key string) bool {
	value := c.take(name)
	if strings.ContainsAny(value, " \t\n;|&<>$`'\"") {
		c.leave(name, key+" takes the path of a program, without arguments; a script may have the command line")
		return false
	}
	return value != "" && c.line(name, key, value)
}

// boolean returns "true", "false" or "" of a variable that is one of the words for
// these. Others SUSE's kdump ignores.
func (c *conversion) boolean(name string) string {
	switch value := c.take(name); value {
	case "yes", "1", "true":
		return "true"
	case "no", "0", "false":
		return "false"
	case "":
	default:
		c.leave(name, fmt.Sprintf("%.40q is neither true nor false", value))
	}
	return ""
}

// saveDir takes over where dumps go: a directory or a URL.
func (c *conversion) saveDir(name, value string) {
	scheme, _, isURL := strings.Cut(value, "://")
	scheme = strings.ToLower(scheme)
	if !isURL {
		if !path.IsAbs(value) { // which line would quote, with a password that is in it
			c.leave(name, "it is neither an absolute path nor a URL")
			return
		}
		c.line(name, "path", value)
		return
	}
	u, err := url.Parse(value)
	if err != nil {
		c.leave(name, "it is no URL") // the error may have its password
		return
	}
	switch scheme {
	case "file":
		c.line(name, "path", u.Path)
	case "nfs":
		_ = c.line(name, "nfs", u.Host+":"+u.Path) && c.line(name, "path", "/")
	case "ssh", "sftp", "scp":
		c.sshDir(name, u)
	case "ftp":
		c.leave(name, reasonFTP)
	case "cifs", "smb":
		c.leave(name, "dumps do not go to CIFS shares: ssh, nfs, http and s3 are there")
	default:
		c.leave(name, fmt.Sprintf("%.20q is no kind of target", scheme))
	}
}

// sshDir takes over a server with SSH and the key.
func (c *conversion) sshDir(name string, u *url.URL) {
	user := "root"
	if u.User.Username() != "" {
		user = u.User.Username()
	}
	if !c.line(name, "ssh", user+"@"+u.Host) {
		return
	}
	dir := u.Path
	if dir == "" {
		dir = "/"
	}
	c.line(name, "path", dir)
	if _, has := u.User.Password(); has {
		c.leave(name, "all but its password is taken over: kdumpctl propagate sets up a key")
	}
	keys := strings.Fields(c.take("KDUMP_SSH_IDENTITY"))
	if len(keys) == 0 {
		c.leave("KDUMP_SSH_IDENTITY", "it is not set, which means all keys of root's; here it is /root/.ssh/kdump_id_rsa, or what sshkey names")
		return
	}
	if c.line("KDUMP_SSH_IDENTITY", "sshkey", keys[0]) && len(keys) > 1 {
		c.leave("KDUMP_SSH_IDENTITY", "of the keys only the first is taken over")
	}
}

// collectorSUSE takes over what is in the dump, as kdump-save does.
func (c *conversion) collectorSUSE() {
	format, level, more := c.take("KDUMP_DUMPFORMAT"), c.take("KDUMP_DUMPLEVEL"), c.take("MAKEDUMPFILE_OPTIONS")
	option := "-z"
	switch format {
	case "none":
		c.leave("KDUMP_DUMPFORMAT", "a dump is saved wherever there is room for one, and not the kernel log alone")
		return
	case "raw":
		c.line("KDUMP_DUMPFORMAT", "core_collector", "makedumpfile -E -d 0")
		return
	case "ELF":
		option = "-E"
	case "lzo":
		option = "-l"
	case "snappy":
		option = "-p"
	case "compressed":
		option = "-c"
	case "zstd":
	case "":
		if level == "" && more == "" {
			return // there is nothing to take over
		}
		option = "-c"
	default:
		c.leave("KDUMP_DUMPFORMAT", fmt.Sprintf("%.20q is no format", format))
	}
	if n, err := strconv.Atoi(level); level != "" && (err != nil || n < 0 || n > 31) {
		c.leave("KDUMP_DUMPLEVEL", fmt.Sprintf("%.20q is no level from 0 to 31", level))
		level = ""
	}
	if level == "" {
		level = "31"
	}
	args := []string{"makedumpfile", option, "-d", level}
	if more != "" {
		all := slices.Concat(args, strings.Fields(more))
		if _, err := collector.ParseArgs(all); err != nil {
			c.leave("MAKEDUMPFILE_OPTIONS", err.Error())
		} else {
			args = all
		}
	}
	c.line("KDUMP_DUMPFORMAT", "core_collector", strings.Join(args, " "))
}

// networkSUSE takes over DEVICE:MODE[:force].
func (c *conversion) networkSUSE(value string) {
	const name = "KDUMP_NETCONFIG"
	device, mode, _ := strings.Cut(value, ":")
	mode, force := strings.CutSuffix(mode, ":force")
	switch {
	case device == "auto":
		c.line(name, "network", "snapshot")
	case mode == "dhcp" || mode == "dhcp4" || mode == "auto6":
		c.line(name, "network", device+" "+mode)
	case mode == "static":
		c.leave(name, "addresses are those that the machine has when the image is built, unless network says them")
	default:
		c.leave(name, fmt.Sprintf("%.40q is no way to bring up the network here", value))
	}
	if force || device == "auto" && strings.HasSuffix(value, ":force") {
		c.leave(name, "the network comes up if a target or fence_kdump_nodes needs it")
	}
}
