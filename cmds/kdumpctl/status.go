// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image"
	"github.com/ukdump/ukdump/pkg/kexec"
	"github.com/ukdump/ukdump/pkg/netconf"
)

const statusHelp = `usage: kdumpctl status [--initrd FILE] [--json]

Says how much memory is reserved, whether a capture kernel is armed, and what
the image would do: where a dump would go and what would be in it. It says so
if this machine has another network by now than the image was built for.

  --initrd FILE  the image to look at (/var/lib/ukdump/initrd-RELEASE.img for
                 the running kernel)
  --json         print it for machines; sizes are in bytes

The kernel does not tell which image it has loaded: what is said about the image
is true if it was loaded after it was built.

Exit status: 0 a capture kernel is armed; 3 none is; 1 it cannot be said.
`

// status is what the status command says.
type status struct {
	Reserved uint64       `json:"reserved"`
	Ranges   []string     `json:"ranges,omitempty"` // as /proc/iomem writes them
	Armed    bool         `json:"armed"`
	Image    *imageStatus `json:"image,omitempty"`
	// ImageError says why there is no Image.
	ImageError string `json:"image_error,omitempty"`
}

// imageStatus is what the status command says about the image.
type imageStatus struct {
	Path          string         `json:"path"`
	Release       string         `json:"kernel_release,omitempty"` // none if it has no modules
	Compression   string         `json:"compression"`
	Packed        int64          `json:"packed"`
	Unpacked      int64          `json:"unpacked"`
	Targets       []targetStatus `json:"targets"`
	Collector     string         `json:"core_collector"`
	FinalAction   string         `json:"final_action"`
	FailureAction string         `json:"failure_action"`
	// NetworkChange says what has changed since the image was built for this machine.
	NetworkChange string `json:"network_change,omitempty"`
}

// targetStatus is a target that the image has.
type targetStatus struct {
	Kind      string `json:"kind"`
	Address   string `json:"address"`
	Directory string `json:"directory"`
}

func runStatus(args []string, stdout, _ io.Writer) error {
	var initrd string
	var asJSON bool
	flags := flag.NewFlagSet("status", flag.ContinueOnError)
	flags.StringVar(&initrd, "initrd", "", "")
	flags.BoolVar(&asJSON, "json", false, "")
	if err := parse(flags, args); err != nil {
		return err
	}
	st, err := readStatus(initrd)
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(stdout)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(st)
	} else {
		st.print(stdout)
	}
	if err == nil && !st.Armed {
		err = errNotArmed
	}
	return err
}

func readStatus(initrd string) (*status, error) {
	kernel, err := kexec.ReadStatus()
	if err != nil {
		return nil, err
	}
	st := &status{Reserved: kernel.Reserved, Armed: kernel.Armed}
	for _, r := range kernel.Ranges {
		st.Ranges = append(st.Ranges, fmt.Sprintf("%#x-%#x", uint64(r.Start), uint64(r.End)-1))
	}
	if initrd == "" {
		release, err := runningRelease()
		if err != nil {
			return nil, err
		}
		initrd = defaultImage(release)
	}
	st.Image, err = readImageStatus(initrd)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st.ImageError = initrd + " does not exist; kdumpctl build makes it"
	case err != nil:
		st.ImageError = err.Error()
	}
	return st, nil
}

func readImageStatus(path string) (*imageStatus, error) {
	img, err := image.ReadFile(path)
	if err != nil {
		return nil, err
	}
	cfg, err := config.Parse(path+":"+config.Path, string(img.Config), checks())
	if err != nil {
		return nil, err
	}
	st := &imageStatus{
		Path: path, Release: img.Release, Compression: string(img.Compression), Packed: img.Packed, Unpacked: img.Unpacked,
		Collector:   strings.Join(cfg.CoreCollector, " "),
		FinalAction: string(cfg.FinalAction), FailureAction: string(cfg.FailureAction),
	}
	if plan := img.File(netconf.Path); plan != nil {
		st.NetworkChange = networkChange(cfg, plan)
	}
	for _, t := range cfg.Targets {
		st.Targets = append(st.Targets, targetStatus{t.Kind, t.Address, t.Dir})
	}
	return st, nil
}

func (st *status) print(w io.Writer) {
	switch {
	case st.Reserved == 0:
		fmt.Fprintln(w, "reserved   nothing: add crashkernel=192M to the kernel command line and reboot")
	case st.Ranges == nil:
		fmt.Fprintf(w, "reserved   %s\n", mib(int64(st.Reserved)))
	default:
		fmt.Fprintf(w, "reserved   %s at %s\n", mib(int64(st.Reserved)), strings.Join(st.Ranges, ", "))
	}
	if st.Armed {
		fmt.Fprintln(w, "armed      yes")
	} else {
		fmt.Fprintln(w, "armed      no: a panic saves nothing")
	}
	img := st.Image
	if img == nil {
		fmt.Fprintf(w, "image      %s\n", st.ImageError)
		return
	}
	fmt.Fprintf(w, "image      %s, %s as %s, %s unpacked\n", img.Path, mib(img.Packed), img.Compression, mib(img.Unpacked))
	for i, t := range img.Targets {
		label := "target"
		if i > 0 {
			label = "or"
		}
		fmt.Fprintf(w, "%-10s %s %s, directory %s\n", label, t.Kind, t.Address, t.Directory)
	}
	if img.NetworkChange != "" {
		fmt.Fprintf(w, "network    not as the image has it, build and load it again: %s\n", img.NetworkChange)
	}
	fmt.Fprintf(w, "collector  %s\n", img.Collector)
	fmt.Fprintf(w, "then       %s; without a dump %s\n", img.FinalAction, img.FailureAction)
}
