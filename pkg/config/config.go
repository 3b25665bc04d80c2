// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package config reads /etc/kdump.conf, in the grammar that users of Red Hat's
// kdump-utils know: where the dump goes, what it contains and what happens
// after it. The image builder checks the file and packs it into the image,
// where the capture run reads the same text with the same code.
//
// The file has one "KEY VALUE" per line. Lines that start with "#" and empty
// lines mean nothing; a value ends at its first "#", even inside quotes; double
// quotes around a whole value are dropped.
//
// Several targets are tried in the order of their lines. A key that is about a
// target holds for the one in the line above it; before all targets, for those
// that do not have their own. Apart from that no key may occur twice. The keys:
//
//	ext2|ext3|ext4|xfs|btrfs|vfat|minix DEVICE
//	    A target: the file system to save to, by UUID=…, LABEL=… or a path such
//	    as /dev/vda1. Without any target the image builder takes the file system
//	    that holds path in the running system.
//	raw DEVICE
//	    A target: a disk or partition without a file system, prepared by kdumpctl
//	    format-raw, by UUID=… as that prints it, or a path.
//	virtiofs|9p TAG
//	    A target: a directory that the hypervisor shares.
//	nfs SERVER:/EXPORT
//	    A target: an export of an NFS server.
//	ssh USER@HOST[:PORT]
//	    A target: a server with SSH, by SFTP.
//	http URL
//	    A target: a web server that takes PUT requests, or kdumprecv.
//	s3 URL
//	    A target: a bucket of an object store, as s3://BUCKET/PREFIX.
//	path DIRECTORY
//	    About a target: absolute path of the directory for dumps on it. Default
//	    /var/crash.
//	target_timeout DURATION
//	    About a target: after that time the next one is tried. Default: half of the
//	    time that the run has left, all of it for the last target.
//	max_size SIZE
//	    About a target: a dump that would be larger is tried at dump level 31, and
//	    ends there if that does not help. A number of bytes, or as in "500M", "20G".
//	max_rate SIZE
//	    About a target: so much of the dump is written in a second, at the most.
//	keep NUMBER
//	    About a file system, virtiofs, 9p and nfs: once a dump is saved, the oldest
//	    ones of this machine are removed, so that so many are left. Default: all stay.
//	sshkey FILE, ssh_known_hosts FILE
//	    About ssh: the private key, and the host keys that are trusted. Defaults
//	    /root/.ssh/kdump_id_rsa and /root/.ssh/known_hosts.
//	tls_ca FILE, tls_pin sha256//HASH, tls_cert FILE, tls_key FILE
//	    About http and s3: whose certificates are trusted (default: the host's
//	    bundle), or the one key that is; our own certificate and its key.
//	http_token FILE
//	    About http: a bearer token, alone in the file.
//	s3_region NAME, s3_credentials FILE
//	    About s3: where the bucket is, and the access key and secret key, in the
//	    format of ~/.aws/credentials; default: what the machine's metadata service
//	    says.
//	network snapshot|none|dhcp|auto6|LINK HOW...
//	    How the network is brought up, in as many lines as it takes. The default is
//	    a snapshot: as the host reaches the targets when the image is built. See
//	    package netconf.
//	machine NAME
//	    What the machine is called where dumps of several machines lie side by side:
//	    in the names of directories across the network, and as the owner of slots
//	    of a raw device. The image builder's default is made of the host's name and
//	    its machine-id(5).
//	encrypt RECIPIENT...
//	    Encrypt everything that is saved, to public keys of age ("age1…"). None is
//	    the default.
//	core_collector makedumpfile OPTION...
//	    How to filter and compress. Default "makedumpfile -z -d 31". A program that
//	    copies files, such as scp, stands for all of memory.
//	final_action reboot|halt|poweroff
//	    What to do in the end. Default reboot.
//	failure_action reboot|halt|poweroff|shell|dump_to_rootfs
//	    What to do if no dump was saved. A shell ends after shell_timeout, and
//	    final_action follows. dump_to_rootfs adds the running system's root file
//	    system as the last target. Default reboot.
//	kdump_pre PROGRAM
//	    Runs before the first target is looked for. If its exit status is not 0,
//	    nothing is saved and final_action follows.
//	kdump_post PROGRAM
//	    Runs after the targets, with 0 as its argument if the dump was saved and
//	    else 1.
//	kdump_emergency PROGRAM
//	    Runs after that if the dump was not saved, before failure_action.
//	extra_bins PROGRAM...
//	    Programs to pack, which those above call.
//	extra_modules MODULE...
//	    Kernel modules to pack and load, with all that they need.
//	fence_kdump_nodes HOST..., fence_kdump_args OPTION...
//	    Tell the nodes of a cluster that this one is saving a dump, as
//	    fence_kdump_send(8) does with these options.
//	deadline DURATION
//	    After that time the run is given up, wherever it is, and the machine
//	    does its final action. Default: 15 minutes and a minute for each 8 GiB
//	    of memory.
//	stall_timeout DURATION
//	    If for that time nothing of the dump could be read or written, it is given
//	    up. Default 3m: a SCSI disk may take that long before it says that it
//	    has failed.
//	device_timeout DURATION
//	    How long to wait for the target's device to appear. Default 60s.
//	hook_timeout DURATION
//	    How long each of the programs may run before it is killed. Default 60s.
//	shell_timeout DURATION
//	    How long a rescue shell stays open. Default 10m.
//
// A DURATION is a number of seconds, or as in "90s", "15m", "1h30m"; from one
// second to a day.
//
// Of the other keys of kdump-utils, "default" means failure_action, of dracut_args
// the options --mount, --add-drivers and --force-drivers are understood, and
// force_rebuild, force_no_rebuild and auto_reset_crashkernel mean nothing: all of
// these give a warning.
//
// On the capture kernel's command line, "kdump.KEY=VALUE" replaces a single
// value (see Override).
package config

import (
	"slices"
	"strings"
	"time"
)

// Path is where the configuration lies, on the host and in the image.
const Path = "/etc/kdump.conf"

// Config is what a kdump.conf says. Its fields are in the order of the keys
// above.
type Config struct {
	// Targets are where the dump can go, in the order in which they are tried.
	Targets []Target
	// Common has what is said about targets where none is named; its Kind and
	// Address are empty.
	Common Target
	// Network has the values of network, which package netconf understands.
	Network []string
	Machine string
	// Encrypt has the public keys to encrypt to.
	Encrypt []string
	// CoreCollector is the command line of the core collector, split at spaces;
	// never empty.
	CoreCollector []string
	FinalAction   Action // never Shell
	FailureAction Action
	// Pre, Post and Emergency are the paths of programs to run, "" for none.
	Pre, Post, Emergency string
	// ExtraBins are programs for them to call, and ExtraModules kernel modules.
	ExtraBins, ExtraModules []string
	// FenceNodes are hosts to send fence_kdump messages to, and FenceArgs options
	// of fence_kdump_send.
	FenceNodes, FenceArgs []string
	// Deadline bounds the whole run; 0 means that the default applies, which
	// depends on the size of memory.
	Deadline      time.Duration
	StallTimeout  time.Duration
	DeviceTimeout time.Duration
	HookTimeout   time.Duration
	ShellTimeout  time.Duration
	// Warnings are about lines that are accepted and do not mean all that they may
	// be taken for; each names the file and the line.
	Warnings []string
}

// Target is a place that dumps can go to, and what is said about it.
type Target struct {
	// Kind is the key of its line, for a file system the type that mount(2) knows.
	Kind string
	// Address is the value of its line; for a file system its device: "UUID=…",
	// "LABEL=…" or an absolute path.
	Address string
	// Dir is the value of path: absolute and clean.
	Dir string
	// Timeout bounds everything that is done with the target; 0 means that the
	// default applies, which depends on the time that is left.
	Timeout time.Duration
	// MaxSize bounds the dump, in bytes, MaxRate what is written of it in a second, and
	// Keep the number of dumps that are left there; 0 means that nothing does.
	MaxSize, MaxRate int64
	Keep             int
	// What servers are to be told, and known by; all but TLSPin and Region are the
	// paths of files.
	SSHKey, KnownHosts             string
	TLSCA, TLSPin, TLSCert, TLSKey string
	Token                          string
	Region, Credentials            string
}

// String returns the line that names the target. The query of a URL may have a
// signature, which is a secret, and is left out.
func (t Target) String() string {
	address := t.Address
	if t.Kind == "http" {
		address, _, _ = strings.Cut(address, "?")
	}
	return t.Kind + " " + address
}

// OnDevice reports whether the target is on a block device.
func (t Target) OnDevice() bool { return t.Kind == "raw" || t.OnFilesystem() }

// OverNetwork reports whether it takes the network to reach the target.
func (t Target) OverNetwork() bool { return !t.OnDevice() && !t.Shared() }

// Shared reports whether the target is a directory that the machine's hypervisor
// shares with it; its address is the tag of the share.
func (t Target) Shared() bool { return t.Kind == "virtiofs" || t.Kind == "9p" }

// Ordered reports whether the target's files can only be written from beginning
// to end.
func (t Target) Ordered() bool { return t.Kind == "http" || t.Kind == "s3" }

// OnFilesystem reports whether the target is a file system on a block device.
func (t Target) OnFilesystem() bool { return slices.Contains(filesystems(), t.Kind) }

// Keeps reports whether old dumps can be removed from the target.
func (t Target) Keeps() bool { return t.OnFilesystem() || t.Shared() || t.Kind == "nfs" }

// Action is what happens after the run, by its name in the file.
type Action string

// The actions.
const (
	Reboot   Action = "reboot"
	Halt     Action = "halt"
	PowerOff Action = "poweroff"
	Shell    Action = "shell"
	// DumpToRootfs is for the image builder, which makes a target of it.
	DumpToRootfs Action = "dump_to_rootfs"
)

// Default returns the configuration that an empty file stands for.
func Default() *Config {
	return &Config{
		Common:        Target{Dir: "/var/crash"},
		CoreCollector: []string{"makedumpfile", "-z", "-d", "31"},
		FinalAction:   Reboot,
		FailureAction: Reboot,
		StallTimeout:  3 * time.Minute,
		DeviceTimeout: time.Minute,
		HookTimeout:   time.Minute,
		ShellTimeout:  10 * time.Minute,
	}
}

// Checks say what is wrong with values that packages above this one understand.
// One that is nil finds nothing: PID 1 leaves most to the image builder.
type Checks struct {
	// Collector checks the command line of core_collector, split at spaces.
	Collector func(args []string) error
	// Target checks the address of a target across the network.
	Target func(kind, address string) error
	// Network checks a line of network.
	Network func(value string) error
	// Fence checks the options of fence_kdump_send.
	Fence func(args []string) error
	// File checks a file that goes into the image; a secret one only its owner may
	// be able to read.
	File func(name string, secret bool) error
	// Program checks a program, by its path or, in extra_bins, its name.
	Program func(name string) error
	// Recipient checks a public key.
	Recipient func(key string) error
}
