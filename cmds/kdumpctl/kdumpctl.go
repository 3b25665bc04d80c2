// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package kdumpctl is the applet that administers crash dumps on the host: it
// builds the capture image, arms and disarms it, and says what is armed.
package kdumpctl

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

const help = `usage: kdumpctl COMMAND [OPTION...]

  build    make the capture image for a kernel
  load     arm it: from now on a panic saves a dump
  unload   disarm it
  status   say what is reserved and armed, and where a dump would go
  propagate
           have the servers of ssh targets take this machine's dumps
  save-raw, format-raw
           copy dumps from a device without a file system; prepare one
  collect  take the kernel log of a crash out of the machine's firmware
  sample   print a commented /etc/kdump.conf to start from
  import   make a kdump.conf of the configuration of another kdump

kdumpctl COMMAND -h explains a command. To set up a machine:

  1. Boot it with crashkernel=192M on its kernel command line, so that memory
     is set aside for the capture kernel.
  2. kdumpctl sample > /etc/kdump.conf, and edit that; or kdumpctl import.
  3. kdumpctl build && kdumpctl load, and load again after every boot
     (ukdump.service does).
  4. To see it work: echo c > /proc/sysrq-trigger. This crashes the machine.

Exit status: 0 done; 1 failed, with one line about it on standard error;
3 from status: no capture kernel is armed.
`

// Exit statuses.
const (
	exitOK       = 0
	exitFailed   = 1
	exitNotArmed = 3 // as LSB has it for the status of a service that does not run
)

// errNotArmed makes status exit with exitNotArmed, without a message.
var errNotArmed = errors.New("not armed")

// command is what the commands have in common.
type command struct {
	help string
	run  func(args []string, stdout, stderr io.Writer) error
}

// Run runs the applet and returns its exit status, see help.
func Run(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		io.WriteString(stderr, help)
		return exitFailed
	}
	name := args[0]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		io.WriteString(stdout, help)
		return exitOK
	}
	cmd, ok := find(name)
	if !ok {
		fmt.Fprintf(stderr, "kdumpctl: unknown command %q (kdumpctl -h lists them)\n", name)
		return exitFailed
	}
	switch err := cmd.run(args[1:], stdout, stderr); {
	case err == nil:
		return exitOK
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(stdout, cmd.help)
		return exitOK
	case errors.Is(err, errNotArmed):
		return exitNotArmed
	default:
		fmt.Fprintf(stderr, "kdumpctl %s: %v\n", name, err)
		return exitFailed
	}
}

func find(name string) (command, bool) {
	switch name {
	case "build":
		return command{buildHelp, runBuild}, true
	case "load":
		return command{loadHelp(), runLoad}, true
	case "unload":
		return command{unloadHelp, runUnload}, true
	case "status":
		return command{statusHelp, runStatus}, true
	case "collect":
		return command{collectHelp, runCollect}, true
	case "propagate":
		return command{propagateHelp, runPropagate}, true
	case "sample":
		return command{sampleHelp, runSample}, true
	case "import":
		return command{importHelp, runImport}, true
	case "save-raw":
		return command{saveRawHelp, runSaveRaw}, true
	case "format-raw":
		return command{formatRawHelp, runFormatRaw}, true
	}
	return command{}, false
}

// parse reads the options of a command, none of which takes arguments.
func parse(flags *flag.FlagSet, args []string) error {
	flags.SetOutput(io.Discard) // the error says it all, in one line
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return nil
}

// listFlag is an option that takes a list with commas, and may be repeated.
type listFlag []string

func (l *listFlag) String() string { return strings.Join(*l, ",") }

func (l *listFlag) Set(s string) error {
	for item := range strings.SplitSeq(s, ",") {
		if item = strings.TrimSpace(item); item != "" {
			*l = append(*l, item)
		}
	}
	return nil
}

// runningRelease returns the release of the running kernel.
func runningRelease() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// defaultImage returns where the image for a kernel release lies by default.
func defaultImage(release string) string { return "/var/lib/ukdump/initrd-" + release + ".img" }

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
