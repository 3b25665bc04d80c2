// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kexec

import (
	"slices"
	"strings"
)

// CommandLine is the recipe for the capture kernel's command line: what the
// running kernel was given, less what does harm there, with what a capture
// kernel needs, with what the administrator adds.
//
// The machine is the same, so options that made it boot (consoles, drivers,
// interrupts, IOMMU, mitigations) are inherited; see Added for what is added
// and why, and dropped in this file for what is not inherited.
type CommandLine struct {
	Running string   // the running kernel's command line (/proc/cmdline)
	Remove  []string // names of further options to leave out, added ones too
	Append  string   // options to add at the end; they replace Added ones of the same name
	Arch    string   // the machine, by its GOARCH name
}

// Option is an option that every capture kernel gets.
type Option struct {
	Text string // as on the command line
	Why  string // the reason, in half a line
	arch string // GOARCH, or "" for every machine
}

// added are the options of the capture kernel. Documentation/admin-guide/
// kernel-parameters.txt of Linux describes each.
var added = []Option{
	{"nr_cpus=1", "memory for one CPU; the others are in any state", ""},
	{"reset_devices", "drivers reset devices that were left running", ""},
	{"rootfstype=ramfs", "tmpfs would stop at half of memory and cut it off", ""},
	{"panic=10", "reboot 10 s after a panic of the capture kernel", ""},
	{"oops=panic", "an oops of it is a panic, before PID 1 as after", ""},
	{"printk.devkmsg=on", "no rate limit on the progress in /dev/kmsg", ""},
	{"cgroup_disable=memory", "no bookkeeping memory for each page", ""},
	{"transparent_hugepage=never", "no rounding up to 2 MiB, no khugepaged", ""},
	{"cma=0", "no contiguous memory set aside", ""},
	{"hugetlb_cma=0", "none for huge pages either", ""},
	{"novmcoredd", "no copies of device memory", ""},
	{"irqpoll", "find devices whose interrupt goes astray", "amd64"},
	{"numa=off", "no structures for nodes that cannot be used", "amd64"},
	{"nokaslr", "no random address that fragments the reservation", "amd64"},
	{"mce=off", "a machine check left over is no second crash", "amd64"},
	{"hest_disable", "nor is a firmware error left over", "amd64"},
	{"acpi_no_memhotplug", "hot-added memory holds the crash: leave it alone", "amd64"},
}

// Added returns the options that a capture kernel on arch (a GOARCH name) gets.
func Added(arch string) []Option {
	var options []Option
	for _, o := range added {
		if o.arch == "" || o.arch == arch {
			options = append(options, o)
		}
	}
	return options
}

// dropped are the options that the capture kernel does not inherit. A name that
// ends in "." stands for all that begin with it.
var dropped = []string{
	// What the boot loader says about files that are not loaded now.
	"BOOT_IMAGE", "initrd", "bootconfig",
	// Memory: the capture kernel gets its map from kexec.
	"crashkernel", "fadump", "elfcorehdr", "mem", "memmap", "memtest",
	"hugepages", "hugepagesz", "default_hugepagesz", "kernelcore", "movablecore",
	"log_buf_len", "trace_buf_size", "swiotlb",
	// Debugging aids that take memory or time.
	"slub_debug", "slab_debug", "page_owner", "debug_pagealloc", "kmemleak",
	"ftrace", "trace_event", "initcall_debug",
	// What would stop or end the capture kernel instead of a dump.
	"kgdbwait", "panic_on_warn", "panic_on_taint", "softlockup_panic", "hardlockup_panic",
	"hung_task_panic", "nmi_watchdog", "panic_print", "crash_kexec_post_notifiers",
	// CPUs that the capture kernel does not start.
	"maxcpus", "possible_cpus", "isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity",
	// The root file system and user space: PID 1 is ours, from the image. The
	// kernel's own ip= waits for a network.
	"root", "ro", "rw", "rootflags", "rootwait", "rootdelay", "resume", "resume_offset", "noresume",
	"init", "rdinit", "single", "emergency", "rescue", "1", "2", "3", "4", "5", "S", "s",
	"rd.", "systemd.", "luks.", "plymouth.", "splash", "ostree",
	"ip", "nfsroot", "nfsaddrs",
	// The console of a capture kernel should tell why there is no dump.
	"quiet",
}

// String returns the command line.
func (c CommandLine) String() string {
	appended := split(c.Append)
	options := Added(c.Arch)
	isAdded := func(name string) bool {
		return slices.ContainsFunc(options, func(o Option) bool { return sameName(paramName(o.Text), name) })
	}
	isRemoved := func(name string) bool {
		return slices.ContainsFunc(c.Remove, func(r string) bool { return sameName(r, name) })
	}
	// An appended option takes the place of an added one instead of following
	// it, as the kernel lets the smallest nr_cpus= win, not the last.
	isAppended := func(name string) bool {
		return slices.ContainsFunc(appended, func(p string) bool { return sameName(paramName(p), name) })
	}

	var line []string
	for _, p := range split(c.Running) {
		if name := paramName(p); !isDropped(name) && !isAdded(name) && !isRemoved(name) {
			line = append(line, p)
		}
	}
	for _, o := range options {
		if name := paramName(o.Text); !isRemoved(name) && !isAppended(name) {
			line = append(line, o.Text)
		}
	}
	return strings.Join(append(line, appended...), " ")
}

func isDropped(name string) bool {
	return slices.ContainsFunc(dropped, func(d string) bool {
		return sameName(d, name) || strings.HasSuffix(d, ".") && strings.HasPrefix(name, d)
	})
}

// split cuts a command line into parameters the way of the kernel's next_arg
// (lib/cmdline.c): at white space that stands outside of double quotes, up to
// the "--" behind which arguments of init follow.
func split(line string) []string {
	quoted := false
	params := strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
	if quoted {
		// An open quote reaches to the end; close it before anything follows.
		params[len(params)-1] += `"`
	}
	if i := slices.Index(params, "--"); i >= 0 {
		params = params[:i]
	}
	return params
}

// paramName returns the name of a parameter: what precedes "=", unquoted.
func paramName(param string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(param, `"`), "=")
	return strings.TrimSuffix(name, `"`)
}

// sameName reports whether the kernel takes a and b for the same name: it makes
// no difference between dashes and underscores (parameq in kernel/params.c).
func sameName(a, b string) bool {
	return strings.ReplaceAll(a, "-", "_") == strings.ReplaceAll(b, "-", "_")
}
