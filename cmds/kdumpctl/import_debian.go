// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"slices"
	"strings"
)

// debianKeys returns the keys of kdump-tools 1.8 and later, and those that it has
// dropped.
func debianKeys() []foreignKey {
	return []foreignKey{
		{"USE_KDUMP", "what is armed is what kdumpctl load was called for; ukdump.service does so at boot"},
		{"KDUMP_KERNEL", "goes to kdumpctl load --kernel-image; the default is the running kernel's file"},
		{"KDUMP_INITRD", "kdumpctl build makes another one, /var/lib/ukdump/initrd-RELEASE.img"},
		{"KDUMP_COREDIR", ""},
		{"KDUMP_FAIL_CMD", ""},
		{"KDUMP_DUMP_DMESG", "the kernel log is always saved, and first"},
		{"KDUMP_NUM_DUMPS", ""},
		{"KDUMP_COMPRESSION", "a dump is compressed page by page, as core_collector says, so that it can be opened as it is"},
		{"DEBUG_KERNEL", "the kernel describes itself; no other file is needed"},
		{"MAKEDUMP_ARGS", ""},
		{"KDUMP_KEXEC_ARGS", reasonKexec},
		{"KDUMP_CMDLINE", reasonCmdline},
		{"KDUMP_CMDLINE_APPEND", reasonAppend},
		{"HOSTTAG", "machine names the machine across the network; the default is its host name and a part of its machine-id"},
		{"SSH", ""},
		{"SSH_KEY", reasonNoSSH},
		{"SSH_KDUMP_RETRY", "target_timeout bounds what is done with a target"},
		{"NFS", ""},
		{"NFS_TIMEO", "requests to NFS servers have bounds of their own"},
		{"NFS_RETRANS", "requests to NFS servers have bounds of their own"},
		{"NFS_MOUNT_RETRY", "target_timeout bounds what is done with a target"},
		{"FTP", reasonFTP},
		{"FTP_USER", reasonFTP},
		{"FTP_PASSWORD", reasonFTP},
		{"FTP_PORT", reasonFTP},
		{"KDUMP_SYSCTL", "kernel.panic and the like are for sysctl.d(5)"},
	}
}

func convertDebian(c *conversion) {
	dir := c.take("KDUMP_COREDIR")
	ssh, nfs := c.take("SSH"), c.take("NFS")
	if ssh != "" && c.line("SSH", "ssh", ssh) {
		if dir != "" {
			c.line("KDUMP_COREDIR", "path", dir)
		}
		if key := c.take("SSH_KEY"); key != "" {
			c.line("SSH_KEY", "sshkey", key)
		}
	}
	if nfs != "" && c.line("NFS", "nfs", nfs) {
		c.line("NFS", "path", "/") // it is mounted at the directory for dumps
	}
	if ssh == "" && nfs == "" && dir != "" {
		c.line("KDUMP_COREDIR", "path", dir)
	}
	if n := c.take("KDUMP_NUM_DUMPS"); n != "" && n != "0" { // which leaves all
		c.line("KDUMP_NUM_DUMPS", "keep", n)
	}
	if args := c.take("MAKEDUMP_ARGS"); args != "" {
		c.line("MAKEDUMP_ARGS", "core_collector", "makedumpfile "+strings.Join(strings.Fields(args), " "))
	}
	if command := c.take("KDUMP_FAIL_CMD"); command != "" {
		c.failCommand(command)
	}
}

// failCommand takes over a command that is run if saving the dump fails.
func (c *conversion) failCommand(command string) {
	words := strings.FieldsFunc(command, func(r rune) bool { return strings.ContainsRune(" \t\n;&|'\"", r) })
	has := func(names ...string) bool {
		return slices.ContainsFunc(words, func(word string) bool {
			return slices.Contains(names, word[strings.LastIndexByte(word, '/')+1:])
		})
	}
	const name = "KDUMP_FAIL_CMD"
	switch {
	case has("sh", "bash", "dash"):
		c.line(name, "failure_action", "shell")
	case has("reboot"):
		c.line(name, "failure_action", "reboot")
	case has("poweroff"):
		c.line(name, "failure_action", "poweroff")
	case has("halt"):
		c.line(name, "failure_action", "halt")
	default:
		c.leave(name, "commands are not run: kdump_emergency names a program for that")
	}
}

// redHatKeys returns the keys of /etc/sysconfig/kdump in kdump-utils.
func redHatKeys() []foreignKey {
	const console = "what happens is on the console, and in kdump.log beside the dump"
	return []foreignKey{
		{"KDUMP_KERNELVER", "goes to kdumpctl build --kernel and kdumpctl load --kernel"},
		{"KDUMP_COMMANDLINE", reasonCmdline},
		{"KDUMP_COMMANDLINE_REMOVE", "goes to kdumpctl load --remove, beside what is removed anyway"},
		{"KDUMP_COMMANDLINE_APPEND", reasonAppend + ", beside what is added anyway"},
		{"FADUMP_COMMANDLINE_APPEND", reasonFadump},
		{"KEXEC_ARGS", reasonKexec},
		{"KDUMP_BOOTDIR", "goes to kdumpctl load --kernel-image, if the kernel is not where distributions have it"},
		{"KDUMP_IMG", "goes to kdumpctl load --kernel-image, if the kernel is not where distributions have it"},
		{"KDUMP_IMG_EXT", "goes to kdumpctl load --kernel-image, if the kernel is not where distributions have it"},
		{"VMCORE_CREATION_NOTIFICATION", reasonMail},
		{"KDUMP_STDLOGLVL", console},
		{"KDUMP_SYSLOGLVL", console},
		{"KDUMP_KMSGLOGLVL", console},
	}
}
