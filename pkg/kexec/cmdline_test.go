// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kexec

import (
	"slices"
	"strings"
	"testing"
)

// ours is what a machine of a made-up architecture gets: the options that every
// machine gets.
const ours = "nr_cpus=1 reset_devices rootfstype=ramfs panic=10 oops=panic printk.devkmsg=on " +
	"cgroup_disable=memory transparent_hugepage=never cma=0 hugetlb_cma=0 novmcoredd"

func TestCommandLine(t *testing.T) {
	for _, tt := range []struct {
		name string
		line CommandLine
		want string
	}{
		{"empty", CommandLine{}, ours},
		{"debian", CommandLine{Running: "BOOT_IMAGE=/boot/vmlinuz-6.1.0-18-amd64 root=UUID=1b4e28ba-2fa1-11d2-883f-b9a761bde3fb ro console=tty0 console=ttyS0,115200 quiet crashkernel=256M\n"},
			"console=tty0 console=ttyS0,115200 " + ours},
		{"fedora", CommandLine{Running: "BOOT_IMAGE=(hd0,gpt2)/vmlinuz root=/dev/mapper/fedora-root ro rd.lvm.lv=fedora/root rd.luks.uuid=luks-x systemd.show_status=1 intel_iommu=on crashkernel=2G-64G:256M,64G-:512M"},
			"intel_iommu=on " + ours},
		{"already ours", CommandLine{Running: "panic=1 nr-cpus=4 printk.devkmsg=off nvme_core.io_timeout=30"},
			"nvme_core.io_timeout=30 " + ours},
		{"quotes", CommandLine{Running: `dyndbg="file drivers/usb/* +p" "foo=a b" root="LABEL=a b" x`},
			`dyndbg="file drivers/usb/* +p" "foo=a b" x ` + ours},
		{"open quote", CommandLine{Running: `a dyndbg="file x`}, `a dyndbg="file x" ` + ours},
		{"arguments of init", CommandLine{Running: "a -- b nr_cpus=9"}, "a " + ours},
		{"remove inherited", CommandLine{Running: "a=1 b=2 a=3", Remove: []string{"a"}}, "b=2 " + ours},
		{"remove added", CommandLine{Remove: []string{"cgroup-disable", "novmcoredd"}},
			"nr_cpus=1 reset_devices rootfstype=ramfs panic=10 oops=panic printk.devkmsg=on transparent_hugepage=never cma=0 hugetlb_cma=0"},
		{"append replaces added", CommandLine{Running: "console=ttyS0", Append: "nr_cpus=2  console=ttyS1 x=\"a b\""},
			"console=ttyS0 " + strings.TrimPrefix(ours, "nr_cpus=1 ") + ` nr_cpus=2 console=ttyS1 x="a b"`},
		{"append brings back", CommandLine{Running: "root=/dev/sda1", Append: "root=/dev/sda2"}, ours + " root=/dev/sda2"},
	} {
		if got := tt.line.String(); got != tt.want {
			t.Errorf("%s: %+v =\n %q, want\n %q", tt.name, tt.line, got, tt.want)
		}
	}
}

func TestCommandLineOfPC(t *testing.T) {
	got := split(CommandLine{Arch: "amd64"}.String())
	for _, want := range []string{"irqpoll", "nokaslr", "acpi_no_memhotplug", "nr_cpus=1"} {
		if !slices.Contains(got, want) {
			t.Errorf("amd64 command line %q lacks %s", got, want)
		}
	}
}

// FuzzCommandLine checks what must hold for any running command line: nothing
// of it swallows our options, and making the line from itself changes nothing.
func FuzzCommandLine(f *testing.F) {
	for _, s := range []string{"", "a b", `a="b c`, `"`, `"" "`, "-- x", "ro\tquiet\nnr_cpus=2", `x" nr_cpus=3 "y`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, running string) {
		once := CommandLine{Running: running}.String()
		params := split(once)
		for _, o := range Added("") {
			if !slices.Contains(params, o.Text) {
				t.Errorf("command line %q made from %q lacks %s", once, running, o.Text)
			}
		}
		if twice := (CommandLine{Running: once}).String(); twice != once {
			t.Errorf("command line made from %q = %q, want it unchanged", once, twice)
		}
	})
}
