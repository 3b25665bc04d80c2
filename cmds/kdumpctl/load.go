// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"github.com/ukdump/ukdump/pkg/image"
	"github.com/ukdump/ukdump/pkg/kexec"
)

const loadHelpHead = `usage: kdumpctl load [OPTION...]

Arms the capture image: loads it and a kernel into the memory that crashkernel=
reserved, where a panic finds them. Load again after a boot, after a build and
after a change of the configuration. Needs root.

  --kernel RELEASE    the capture kernel's release (the running kernel's)
  --kernel-image FILE the kernel itself (/boot/vmlinuz-RELEASE or where else
                      distributions keep it)
  --initrd FILE       the capture image (/var/lib/ukdump/initrd-RELEASE.img)
  --append OPTIONS    add to the capture kernel's command line, at its end; this
                      takes the place of an added option of the same name
  --remove NAME,...   leave options out of it
  --dry-run           print what would be loaded, and check it, but do not load

An image is checked before it is loaded: that it is whole, and that its modules
belong to the kernel.

The capture kernel's command line is the running kernel's, without what would
do harm there (crashkernel=, root=, huge pages, quiet and more), and with:

`

func loadHelp() string {
	var b strings.Builder
	b.WriteString(loadHelpHead)
	for _, o := range kexec.Added(runtime.GOARCH) {
		fmt.Fprintf(&b, "  %-27s%s\n", o.Text, o.Why)
	}
	b.WriteString("\nValues of kdump.conf can be overridden there, for example with\n--append \"kdump.path=/crash kdump.failure_action=halt\".\n")
	return b.String()
}

// loadOptions are the options of load.
type loadOptions struct {
	release, kernel, initrd string
	append                  string
	remove                  listFlag
	dryRun                  bool
}

func runLoad(args []string, stdout, _ io.Writer) error {
	var o loadOptions
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.StringVar(&o.release, "kernel", "", "")
	flags.StringVar(&o.kernel, "kernel-image", "", "")
	flags.StringVar(&o.initrd, "initrd", "", "")
	flags.StringVar(&o.append, "append", "", "")
	flags.Var(&o.remove, "remove", "")
	flags.BoolVar(&o.dryRun, "dry-run", false, "")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := o.complete(); err != nil {
		return err
	}
	if err := checkRelease(o.kernel, o.initrd); err != nil {
		return err
	}
	running, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return err
	}
	cmdline := kexec.CommandLine{Running: string(running), Remove: o.remove, Append: o.append, Arch: runtime.GOARCH}.String()
	if !o.dryRun {
		if err := kexec.Load(o.kernel, o.initrd, cmdline); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "armed")
	}
	fmt.Fprintf(stdout, "kernel        %s\nimage         %s\ncommand line  %s\n", o.kernel, o.initrd, cmdline)
	return nil
}

// complete fills in what was not asked for.
func (o *loadOptions) complete() (err error) {
	if o.release == "" {
		if o.release, err = runningRelease(); err != nil {
			return err
		}
	}
	if o.kernel == "" {
		if o.kernel, err = kernelImage(o.release); err != nil {
			return err
		}
	}
	if o.initrd == "" {
		o.initrd = defaultImage(o.release)
		if _, err := os.Stat(o.initrd); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w; kdumpctl build makes it", err)
		}
	}
	return nil
}

// kernelImage finds the file that the boot loader starts for a kernel release.
func kernelImage(release string) (string, error) {
	candidates := []string{
		"/boot/vmlinuz-" + release,
		"/lib/modules/" + release + "/vmlinuz", // Fedora and others that keep /boot for the boot loader
		"/boot/Image-" + release,               // arm64, uncompressed
		"/boot/vmlinux-" + release,             // ppc64le
		"/boot/image-" + release,               // s390x, SUSE
	}
	for _, c := range candidates {
		if _, err := os.Stat(c); err == nil {
			return c, nil
		}
	}
	return "", fmt.Errorf("no kernel image for %s (tried %s): name it with --kernel-image", release, strings.Join(candidates, ", "))
}

// checkRelease reads the image, which checks that it is whole, and makes sure
// that the kernel can load its modules.
func checkRelease(kernel, initrd string) error {
	img, err := image.ReadFile(initrd)
	if err != nil {
		return err
	}
	release, err := kexec.Release(kernel)
	if err != nil {
		return err
	}
	if img.Release != "" && release != "" && img.Release != release {
		return fmt.Errorf("%s has modules for %s, but %s is %s: build an image for that with kdumpctl build --kernel %s",
			initrd, img.Release, kernel, release, release)
	}
	return nil
}
