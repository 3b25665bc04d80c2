// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ukdump/ukdump/initramfs"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image"
	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/netconf"
)

const buildHelp = `usage: kdumpctl build [OPTION...]

Makes the capture image: a few megabytes that a capture kernel boots, with one
program, the configuration and the kernel modules that it takes to reach the
target of dumps. Build again after a kernel update and after a change of the
configuration or the disks. kdumpctl load arms the image.

  -o FILE            the image (/var/lib/ukdump/initrd-RELEASE.img)
  --config FILE      the configuration (/etc/kdump.conf)
  --kernel RELEASE   the capture kernel's release (the running kernel's)
  --module-dir DIR   where its modules are (/lib/modules/RELEASE)
  --compress HOW     zstd, lz4, gzip or none (the first that the kernel's own
                     configuration, if it can be found, says it can unpack)

Which modules are packed, always with the target's file system and all that they
depend on:
  (default)          those of the target's disk and of what it hangs on, up to
                     the bus, in this machine
  --modules A,B,...  these; for another machine
  --generic          drivers for disks of most kinds; for any machine
  --no-modules       none at all; for a kernel that has everything built in
With the last three the configuration must name the target, and it is taken as
it is.

  --init FILE        the program: a static ukdump (ukdump-image in the directory
                     of this program or /usr/lib/ukdump; else this program)
  --rescue[=FILE]    pack a rescue shell (rescue/bb in the same directories);
                     "failure_action shell" in the configuration does so, too

The configuration has one "key value" a line; kdumpctl sample prints one, and
kdumpctl import makes one of that of another kdump. The targets are tried in the
order of their lines until one has the dump; without any, it goes to the file
system that holds path:

  ext2|ext3|ext4|xfs|btrfs|vfat|minix DEVICE
                     a file system, by UUID=, LABEL= or /dev/NAME
  raw DEVICE         a disk without one, see kdumpctl format-raw -h
  virtiofs|9p TAG    a directory that the hypervisor shares
  nfs SERVER:/EXPORT, ssh USER@HOST[:PORT], http URL, s3 URL

About the target in the line above, or else about all:

  path DIR           directory for dumps on it (/var/crash)
  max_size SIZE      a dump that would be larger is tried at level 31
  max_rate SIZE      how much of it is written in a second at the most
  keep NUMBER        how many dumps are left once one is saved (all)
  target_timeout DURATION
                     when to try the next one (half of the time that is left)
  sshkey, ssh_known_hosts FILE
                     our key and the trusted ones (/root/.ssh/kdump_id_rsa and
                     /root/.ssh/known_hosts; kdumpctl propagate makes them)
  tls_ca FILE, tls_pin sha256//HASH, tls_cert, tls_key FILE
                     certificates to trust (the host's bundle), or the one key;
                     our own certificate
  http_token FILE    a bearer token
  s3_region NAME, s3_credentials FILE
                     where the bucket is, and keys as in ~/.aws/credentials

The dump, and what happens then:

  core_collector makedumpfile OPTION...
                     what to save, and how (makedumpfile -z -d 31)
  encrypt KEY...     encrypt to public keys of age
  machine NAME       what the machine is called (its host name and an id)
  network snapshot|none|[LINK] dhcp|auto6|static...
                     how the network comes up (as it is now)
  final_action reboot|halt|poweroff
                     what to do in the end (reboot)
  failure_action reboot|halt|poweroff|shell|dump_to_rootfs
                     what to do if no dump was saved (reboot)
  deadline, stall_timeout, device_timeout, hook_timeout, shell_timeout DURATION
                     when to give up the whole run, a dump that does not move
                     (3m), the wait for the target's device (60s), a program
                     (60s) and an open shell (10m)

Programs and modules, packed with all that they need:

  kdump_pre FILE     runs before; with an exit status but 0 nothing is saved
  kdump_post FILE    runs after; its argument is 0 if the dump was saved, else 1
  kdump_emergency FILE
                     runs after that if the dump was not saved
  extra_bins PROGRAM...
                     what those call
  extra_modules NAME...
  fence_kdump_nodes HOST..., fence_kdump_args OPTION...
                     tell a cluster, as fence_kdump_send(8) does

Of kdump-utils, default, dracut_args (--mount, --add-drivers), force_rebuild,
force_no_rebuild and auto_reset_crashkernel are accepted with a warning.
`

// buildOptions are the options of build.
type buildOptions struct {
	output, config     string
	release, moduleDir string
	compress           string
	modules            listFlag
	generic, noModules bool
	init               string
	rescue             optionalFile
	devices            []string // of the targets, on this machine
}

func runBuild(args []string, stdout, stderr io.Writer) error {
	var o buildOptions
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.StringVar(&o.output, "o", "", "")
	flags.StringVar(&o.config, "config", config.Path, "")
	flags.StringVar(&o.release, "kernel", "", "")
	flags.StringVar(&o.moduleDir, "module-dir", "", "")
	flags.StringVar(&o.compress, "compress", "", "")
	flags.Var(&o.modules, "modules", "")
	flags.BoolVar(&o.generic, "generic", false, "")
	flags.BoolVar(&o.noModules, "no-modules", false, "")
	flags.StringVar(&o.init, "init", "", "")
	flags.Var(&o.rescue, "rescue", "")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := o.complete(); err != nil {
		return err
	}
	compression, err := o.compression()
	if err != nil {
		return err
	}
	spec, err := o.spec(stderr)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(o.output), 0o755); err != nil {
		return err
	}
	if err := image.WriteFile(o.output, spec, compression); err != nil {
		return err
	}
	img, err := image.ReadFile(o.output)
	if err != nil {
		return err
	}
	printImage(stdout, o.output, img)
	for _, f := range spec.Files {
		if f.Path == netconf.Path {
			printIndented(stdout, "network", f.Data)
		}
	}
	return nil
}

// complete fills in what was not asked for.
func (o *buildOptions) complete() (err error) {
	ways := 0
	for _, chosen := range []bool{len(o.modules) > 0, o.generic, o.noModules} {
		if chosen {
			ways++
		}
	}
	if ways > 1 {
		return errors.New("--modules, --generic and --no-modules exclude each other")
	}
	if o.release == "" {
		if o.release, err = runningRelease(); err != nil {
			return err
		}
	}
	if o.moduleDir == "" {
		o.moduleDir = "/lib/modules/" + o.release
	}
	if o.output == "" {
		o.output = defaultImage(o.release)
	}
	return nil
}

// compression returns the compression asked for, or else the best that the
// kernel can unpack. It is an error to ask for one that it cannot.
func (o *buildOptions) compression() (image.Compression, error) {
	kernelConfig, file := o.kernelConfig()
	if o.compress == "" {
		for _, c := range image.Compressions() {
			if kernelConfig == nil || c.SupportedBy(kernelConfig) {
				return c, nil
			}
		}
	}
	c, err := image.ParseCompression(o.compress)
	if err != nil {
		return "", err
	}
	if kernelConfig != nil && !c.SupportedBy(kernelConfig) {
		return "", fmt.Errorf("the kernel cannot unpack %s (%s): choose another with --compress, or none at all to have it chosen", c, file)
	}
	return c, nil
}

// kernelConfig returns the configuration that the kernel was built with and its
// file, or nil if it is not to be found.
func (o *buildOptions) kernelConfig() (text []byte, file string) {
	for _, file := range []string{
		filepath.Join(o.moduleDir, "config"),                             // Fedora
		filepath.Join(o.moduleDir, "../../../boot/config-"+o.release),    // an unpacked package
		filepath.Join(o.moduleDir, "../../../../boot/config-"+o.release), // the same, with usr/lib/modules
		"/boot/config-" + o.release,
	} {
		if text, err := os.ReadFile(file); err == nil {
			return text, file
		}
	}
	return nil, ""
}

// spec gathers what goes into the image.
func (o *buildOptions) spec(stderr io.Writer) (image.Spec, error) {
	spec := image.Spec{Release: o.release}
	cfg, err := readConfig(o.config, buildChecks())
	if err != nil {
		return spec, err
	}
	for _, warning := range cfg.Warnings {
		fmt.Fprintf(stderr, "kdumpctl build: %s\n", warning)
	}
	nameMachine(cfg)
	if err := o.completeTargets(cfg); err != nil {
		return spec, err
	}
	plan, err := o.planNetwork(cfg, stderr)
	if err != nil {
		return spec, err
	}
	if spec.Modules, err = o.chooseModules(cfg, plan); err != nil {
		return spec, err
	}
	if err := o.checkServers(cfg); err != nil {
		return spec, err
	}
	if spec.Files, err = packFiles(cfg); err != nil {
		return spec, err
	}
	if spec.Programs, err = packPrograms(cfg, stderr); err != nil {
		return spec, fmt.Errorf("%s: %w", o.config, err)
	}
	if plan != nil {
		spec.Files = append(spec.Files, image.File{Path: netconf.Path, Data: []byte(plan.Text())})
	}
	if !o.generic { // whose drivers would bring everything
		firmware, err := image.Firmware("/", spec.Modules, o.release)
		if err != nil {
			return spec, err
		}
		spec.Files = append(spec.Files, firmware...)
	}
	spec.Config = []byte(cfg.Text()) // as completed by completeTargets and packFiles
	if spec.Init, err = o.readInit(cfg, stderr); err != nil {
		return spec, err
	}
	if o.rescue.wanted || cfg.FailureAction == config.Shell {
		for _, command := range initramfs.RescueCommands() {
			spec.RescueCommands = append(spec.RescueCommands, path.Base(command))
		}
		spec.Rescue, err = o.readRescue()
	}
	return spec, err
}

// readConfig reads and checks a configuration.
func readConfig(name string, checks config.Checks) (*config.Config, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; kdumpctl sample prints one to start from", err)
	}
	if err != nil {
		return nil, err
	}
	return config.Parse(name, string(text), checks)
}

// thisMachine reports whether the image is for the machine that builds it.
func (o *buildOptions) thisMachine() bool { return !o.generic && !o.noModules && len(o.modules) == 0 }

// completeTargets completes what the configuration says of targets. When the image
// is for this machine, it looks for them here.
func (o *buildOptions) completeTargets(cfg *config.Config) error {
	switch {
	case o.thisMachine():
	case len(cfg.Targets) == 0:
		return fmt.Errorf("%s names no target: it must, for another machine", o.config)
	case cfg.FailureAction == config.DumpToRootfs:
		return fmt.Errorf("%s: failure_action: dump_to_rootfs is about this machine; for another one, name its root file system as the last target", o.config)
	default:
		return nil
	}
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	o.devices, err = hostTargets(cfg, parseMounts(string(mountinfo)))
	return err
}

// chooseModules returns the modules to pack.
func (o *buildOptions) chooseModules(cfg *config.Config, plan *netconf.Plan) ([]kmod.Module, error) {
	if o.noModules {
		return nil, nil
	}
	needs := image.Needs{Devices: o.devices}
	for _, t := range cfg.Targets {
		if t.OnFilesystem() || t.Shared() || t.Kind == "nfs" {
			needs.Filesystems = append(needs.Filesystems, t.Kind)
		}
	}
	tree, err := kmod.OpenTree(o.moduleDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w (--no-modules if the kernel has none)", err)
	}
	if err != nil {
		return nil, err
	}
	if needs.Names, err = o.networkModules(tree, plan); err != nil {
		return nil, err
	}
	for _, name := range cfg.ExtraModules {
		if len(tree.Resolve(name)) == 0 {
			return nil, fmt.Errorf("%s: extra_modules: %s has no module %q", o.config, o.moduleDir, name)
		}
		needs.Names = append(needs.Names, name)
	}
	switch {
	case o.thisMachine():
		return image.HostModules(tree, needs)
	case o.generic:
		return image.GenericModules(tree, needs)
	}
	return image.NamedModules(tree, o.modules, needs)
}

// readInit returns the program for the image.
func (o *buildOptions) readInit(cfg *config.Config, stderr io.Writer) ([]byte, error) {
	if o.init != "" {
		return readStatic(o.init)
	}
	file, err := prebuilt(imageBinary(cfg))
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(stderr, "kdumpctl build: %v; packing this program instead, which is larger\n", err)
		file, err = ownExecutable()
	}
	if err != nil {
		return nil, err
	}
	return readStatic(file)
}

// readRescue returns the rescue busybox.
func (o *buildOptions) readRescue() ([]byte, error) {
	if o.rescue.path != "" {
		return readStatic(o.rescue.path)
	}
	file, err := prebuilt(rescueBinary)
	if err != nil {
		return nil, fmt.Errorf("no rescue shell to pack (make rescue builds it): %w", err)
	}
	return readStatic(file)
}

func printImage(w io.Writer, name string, img *image.Image) {
	fmt.Fprintf(w, "%s: %s as %s, %s unpacked\n", name, mib(img.Packed), img.Compression, mib(img.Unpacked))
	for _, p := range img.Parts {
		if p.Files > 0 {
			fmt.Fprintf(w, "  %-8s %9.1f KiB  %s\n", p.Name, float64(p.Bytes)/1024, files(p.Files))
		}
	}
	if len(img.Modules) > 0 {
		var names []string
		for _, m := range img.Modules {
			names = append(names, m.Name())
		}
		fmt.Fprintf(w, "modules of %s, in this order: %s\n", img.Release, strings.Join(names, " "))
	}
	printIndented(w, "configuration", img.Config)
}

func printIndented(w io.Writer, title string, text []byte) {
	fmt.Fprintf(w, "%s:\n", title)
	for line := range strings.Lines(string(text)) {
		fmt.Fprintf(w, "  %s", line)
	}
}

func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// optionalFile is an option that may come with a file name: --x or --x=FILE.
type optionalFile struct {
	wanted bool
	path   string
}

func (f *optionalFile) String() string   { return f.path }
func (f *optionalFile) IsBoolFlag() bool { return true } // lets --x stand alone

func (f *optionalFile) Set(s string) error {
	f.wanted = true
	if s != "true" { // what package flag passes for --x alone
		f.path = s
	}
	return nil
}
