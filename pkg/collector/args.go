// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package collector

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/pagefilter"
)

// Command is a makedumpfile command line.
type Command struct {
	Options
	// Files are the arguments that are not options.
	Files []string

	Help, Version bool
	CheckParams   bool // only see whether the command line is right
	DumpDmesg     bool // write the kernel log instead of a dump
	PartialDmesg  bool // of the log, what came after it was last cleared
	MemUsage      bool // print a table of what memory is used for
	Flatten       bool // write the flattened form to standard output
	Rearrange     bool // make a file of the flattened form on standard input
	Split         bool // write the dump in parts, one for each file
	Reassemble    bool // make one dump of the parts of a split one
	DryRun        bool // do everything but write
	Force         bool // overwrite an existing file
	ShowStats     bool // print a report of the pages
	JSON          bool // print the report for machines
	Debug         bool
	// MessageLevel is a sum of 1 progress, 2 common, 4 error, 8 debug and
	// 16 report messages.
	MessageLevel int
	// Limit bounds the size of each output file in bytes; 0 means not at all.
	Limit int64
	// Vmlinux is the kernel's ELF file and InfoFile a file with VMCOREINFO, for
	// cores that do not say what their kernel is like; "" if not given.
	Vmlinux, InfoFile string
	// WriteInfo is the file to write VMCOREINFO to that is made from Vmlinux,
	// instead of a dump; "" if not given.
	WriteInfo string
	// NoEffect names the options that were given and change nothing here.
	NoEffect []string
}

// option is an option of makedumpfile 1.7. Options that it has and we have
// not are here with the reason, so that they are refused by name.
type option struct {
	short   byte   // 0: none
	long    string // "": none
	arg     bool
	set     func(c *Command, value string) error
	refused string
}

const (
	xenReason  = "Xen dumps are not supported"
	eraseRules = "erasing data from a dump is not supported"
)

var options = [...]option{
	{short: 'c', set: codec(compress.Zlib)},
	{short: 'l', set: codec(compress.LZO)},
	{short: 'p', set: codec(compress.Snappy)},
	{short: 'z', set: codec(compress.Zstd)},
	{short: 'd', arg: true, set: (*Command).setLevels},
	{short: 'e', set: toggle(func(c *Command) *bool { return &c.StructPages })},
	{short: 'E', set: toggle(func(c *Command) *bool { return &c.ELF })},
	{short: 'F', set: toggle(func(c *Command) *bool { return &c.Flatten })},
	{short: 'R', set: toggle(func(c *Command) *bool { return &c.Rearrange })},
	{short: 'L', arg: true, set: (*Command).setLimit},
	{short: 'g', arg: true, set: name(func(c *Command) *string { return &c.WriteInfo })},
	{short: 'i', arg: true, set: name(func(c *Command) *string { return &c.InfoFile })},
	{short: 'x', arg: true, set: name(func(c *Command) *string { return &c.Vmlinux })},
	{short: 'f', set: toggle(func(c *Command) *bool { return &c.Force })},
	{short: 'h', long: "help", set: toggle(func(c *Command) *bool { return &c.Help })},
	{short: 'v', set: toggle(func(c *Command) *bool { return &c.Version })},
	{short: 'D', set: toggle(func(c *Command) *bool { return &c.Debug })},
	{long: "check-params", set: toggle(func(c *Command) *bool { return &c.CheckParams })},
	{long: "dump-dmesg", set: toggle(func(c *Command) *bool { return &c.DumpDmesg })},
	{long: "partial-dmesg", set: toggle(func(c *Command) *bool { return &c.PartialDmesg })},
	{long: "split", set: toggle(func(c *Command) *bool { return &c.Split })},
	{long: "reassemble", set: toggle(func(c *Command) *bool { return &c.Reassemble })},
	{long: "dry-run", set: toggle(func(c *Command) *bool { return &c.DryRun })},
	{long: "show-stats", set: toggle(func(c *Command) *bool { return &c.ShowStats })},
	{long: "json", set: toggle(func(c *Command) *bool { return &c.JSON })},
	{long: "message-level", arg: true, set: number(0, 31, func(c *Command, n int) { c.MessageLevel = n })},
	{long: "num-threads", arg: true, set: number(0, maxThreads, func(c *Command, n int) { c.Threads = n })},

	{short: 'b', arg: true, set: noEffect("-b")},
	{long: "cyclic-buffer", arg: true, set: noEffect("--cyclic-buffer")},
	{long: "splitblock-size", arg: true, set: noEffect("--splitblock-size")},
	{long: "work-dir", arg: true, set: noEffect("--work-dir")},
	{long: "non-mmap", set: toggle(func(c *Command) *bool { return &c.NoMmap })},

	{short: 'X', refused: xenReason},
	{long: "config", arg: true, refused: eraseRules},
	{long: "diskset", arg: true, refused: "sadump dumps are not supported"},
	{long: "eppic", arg: true, refused: eraseRules},
	{long: "extension", arg: true, refused: "extensions are foreign programs"},
	{long: "mem-usage", set: toggle(func(c *Command) *bool { return &c.MemUsage })},
	{long: "vtop", arg: true, refused: "crash and drgn translate addresses"},
	{long: "xen-syms", arg: true, refused: xenReason},
	{long: "xen-vmcoreinfo", arg: true, refused: xenReason},
	{long: "xen_phys_start", arg: true, refused: xenReason},
}

// maxThreads is a bound on --num-threads that catches mistakes.
const maxThreads = 1024

// ParseCommand reads a makedumpfile command line, without the program's name.
// As with makedumpfile, options may follow files, short options may be joined,
// and long ones cut short. An option that is not supported is an error that
// names it.
func ParseCommand(args []string) (*Command, error) {
	c := &Command{MessageLevel: 7}
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			c.Files = append(c.Files, args...)
			args = nil
		case strings.HasPrefix(arg, "--"):
			rest, err := c.long(arg[2:], args)
			if err != nil {
				return nil, err
			}
			args = rest
		case len(arg) > 1 && arg[0] == '-':
			rest, err := c.shorts(arg[1:], args)
			if err != nil {
				return nil, err
			}
			args = rest
		default:
			c.Files = append(c.Files, arg)
		}
	}
	return c, c.check()
}

// check refuses options that contradict each other.
func (c *Command) check() error {
	switch {
	case c.ELF && c.Codec != compress.None:
		return fmt.Errorf("option -E: an ELF core cannot be compressed with %v", c.Codec)
	case c.ELF && c.Split:
		return errors.New("option --split: an ELF core has no parts")
	case c.Flatten && c.Split:
		return errors.New("option -F: one stream cannot have the parts of --split")
	case c.InfoFile != "" && c.Vmlinux != "":
		return errors.New("option -i: -x says the same already")
	case c.WriteInfo != "" && c.Vmlinux == "":
		return errors.New("option -g: -x must name the kernel file to read")
	case c.WriteInfo != "" && (c.Codec != compress.None || c.ELF || c.Flatten || len(c.Levels) > 0 || c.DryRun):
		return errors.New("option -g: it writes no dump, but a file with VMCOREINFO")
	case (c.Rearrange || c.Reassemble) && (c.Vmlinux != "" || c.InfoFile != ""):
		return errors.New("options -x and -i: -R and --reassemble leave a dump as it is")
	}
	return nil
}

// shorts applies joined short options, for example the "zd31" of -zd31, and
// returns the arguments that are left.
func (c *Command) shorts(s string, args []string) ([]string, error) {
	for i := range len(s) {
		o := findShort(s[i])
		if o == nil {
			return nil, fmt.Errorf("unknown option -%c", s[i])
		}
		if !o.arg {
			if err := o.apply(c, ""); err != nil {
				return nil, err
			}
			continue
		}
		value := s[i+1:]
		if value == "" {
			if len(args) == 0 {
				return nil, fmt.Errorf("option -%c needs a value", s[i])
			}
			value, args = args[0], args[1:]
		}
		return args, o.apply(c, value)
	}
	return args, nil
}

func findShort(name byte) *option {
	for i := range options {
		if options[i].short == name {
			return &options[i]
		}
	}
	return nil
}

// long applies one long option, "name" or "name=value", and returns the
// arguments that are left.
func (c *Command) long(s string, args []string) ([]string, error) {
	name, value, joined := strings.Cut(s, "=")
	o, err := findLong(name)
	if err != nil {
		return nil, err
	}
	switch {
	case !o.arg && joined:
		return nil, fmt.Errorf("option --%s takes no value", o.long)
	case o.arg && !joined:
		if len(args) == 0 {
			return nil, fmt.Errorf("option --%s needs a value", o.long)
		}
		value, args = args[0], args[1:]
	}
	return args, o.apply(c, value)
}

// findLong finds an option by its name or the beginning of it, if only one
// begins so.
func findLong(name string) (*option, error) {
	var found *option
	for i := range options {
		o := &options[i]
		switch {
		case o.long == "" || name == "" || !strings.HasPrefix(o.long, name):
			continue
		case o.long == name:
			return o, nil
		case found != nil:
			return nil, fmt.Errorf("option --%s can be --%s or --%s", name, found.long, o.long)
		}
		found = o
	}
	if found == nil {
		return nil, fmt.Errorf("unknown option --%s", name)
	}
	return found, nil
}

func (o *option) String() string {
	if o.short != 0 {
		return "-" + string(rune(o.short))
	}
	return "--" + o.long
}

func (o *option) apply(c *Command, value string) error {
	if o.refused != "" {
		return fmt.Errorf("option %v: %s", o, o.refused)
	}
	if err := o.set(c, value); err != nil {
		return fmt.Errorf("option %v: %w", o, err)
	}
	return nil
}

func toggle(field func(*Command) *bool) func(*Command, string) error {
	return func(c *Command, _ string) error {
		*field(c) = true
		return nil
	}
}

func name(field func(*Command) *string) func(*Command, string) error {
	return func(c *Command, value string) error {
		if value == "" {
			return errors.New("it names no file")
		}
		*field(c) = value
		return nil
	}
}

func codec(codec compress.Codec) func(*Command, string) error {
	return func(c *Command, _ string) error {
		c.Codec = codec
		return nil
	}
}

func noEffect(name string) func(*Command, string) error {
	return func(c *Command, _ string) error {
		c.NoEffect = append(c.NoEffect, name)
		return nil
	}
}

func number(low, high int, set func(*Command, int)) func(*Command, string) error {
	return func(c *Command, value string) error {
		n, err := parseInt(value, low, high)
		if err == nil {
			set(c, n)
		}
		return err
	}
}

func parseInt(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%q is not a number from %d to %d", s, low, high)
	}
	return n, nil
}

// setLevels reads -d: a dump level, or several of which the next is taken when
// a dump does not fit.
func (c *Command) setLevels(value string) error {
	c.Levels = nil
	for part := range strings.SplitSeq(value, ",") {
		level, err := parseInt(part, 0, pagefilter.LevelMax)
		if err != nil {
			return err
		}
		c.Levels = append(c.Levels, level)
	}
	return nil
}

// setLimit reads -L: a number of bytes, in decimal, or hexadecimal after 0x.
func (c *Command) setLimit(value string) error {
	n, err := strconv.ParseInt(value, 0, 64)
	if err != nil || n <= 0 {
		return fmt.Errorf("%q is not a number of bytes", value)
	}
	c.Limit = n
	return nil
}

// ParseArgs reads a core_collector command line, for example
// ["makedumpfile", "-z", "-d", "31"]: the program's name and options that say
// what to write; files are not given, they are the capture run's. An option
// that is not supported or has no place there is an error that names it.
func ParseArgs(args []string) (Options, error) {
	if len(args) == 0 {
		return Options{}, errors.New("no core collector")
	}
	if args[0] != "makedumpfile" {
		return Options{}, fmt.Errorf("core collector %q is not known, makedumpfile is", args[0])
	}
	c, err := ParseCommand(args[1:])
	if err != nil {
		return Options{}, fmt.Errorf("makedumpfile: %w", err)
	}
	if len(c.Files) > 0 {
		return Options{}, fmt.Errorf("makedumpfile: %q: the capture run names the files", c.Files[0])
	}
	if c.Help || c.Version || c.CheckParams || c.DumpDmesg || c.DryRun || c.MemUsage || c.Rearrange || c.Reassemble {
		return Options{}, errors.New("makedumpfile: options that write no dump have no place in a core collector")
	}
	if c.Vmlinux != "" || c.InfoFile != "" {
		return Options{}, errors.New("makedumpfile: options -x and -i have no place in a core collector: /proc/vmcore has VMCOREINFO")
	}
	if c.Flatten || c.Split || c.Limit != 0 {
		return Options{}, errors.New("makedumpfile: options -F, --split and -L are the target's to decide, not the core collector's")
	}
	return c.Options, nil
}
