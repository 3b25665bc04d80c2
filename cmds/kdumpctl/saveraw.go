// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kdumpctl

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/blockdev"
	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/target/file"
	"github.com/ukdump/ukdump/pkg/target/raw"
)

const formatRawHelp = `usage: kdumpctl format-raw [--slots N] [--force] DEVICE

Prepares a partition or a disk to take dumps without a file system, and prints
the line for /etc/kdump.conf that makes it a target. What is on the device is
lost; a dump may be as large as the device, divided by the slots.

  --slots N  how many machines share the device: each gets an Nth of it (1)
  --force    do so although there is something on the device

A device that is in use, such as by a mounted file system, is refused in any
case. After a crash, kdumpctl save-raw copies the dump from the device.
`

func runFormatRaw(args []string, stdout, _ io.Writer) error {
	flags := flag.NewFlagSet("format-raw", flag.ContinueOnError)
	slots := flags.Int("slots", 1, "")
	force := flags.Bool("force", false, "")
	device, err := parseDevice(flags, args)
	if err != nil {
		return err
	}
	if device == "" {
		return errors.New("which device? (kdumpctl format-raw -h)")
	}
	uuid, err := raw.Format(device, *slots, *force)
	if errors.Is(err, raw.ErrNotEmpty) {
		return fmt.Errorf("%w%s; --force overwrites it", err, contents(device))
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "raw UUID=%s\n", uuid)
	return nil
}

// contents says what file system is on a device, if that is known.
func contents(device string) string {
	f, err := os.Open(device)
	if err != nil {
		return ""
	}
	defer f.Close()
	found, err := blockdev.Probe(f)
	switch {
	case err != nil:
		return ""
	case found.Type == "raw":
		return ": dumps, see kdumpctl save-raw --list"
	}
	return ": " + found.Type
}

const saveRawHelp = `usage: kdumpctl save-raw [--dir DIR] [--all] [DEVICE]
       kdumpctl save-raw --list [DEVICE]

Copies the dumps of this machine from a device that has them without a file
system into a directory, and frees the device for the next ones. To be run when
a machine has booted; without a dump it does nothing.

  DEVICE     a device that kdumpctl format-raw has prepared, by its path or as
             UUID=…; without it, those that are targets in /etc/kdump.conf
  --dir DIR  where to; the default is path in /etc/kdump.conf, or /var/crash
  --all      the dumps of all machines that share the device
  --list     only list what is on the device

A dump that was not finished, or of which the checksum is wrong, gets a name that
ends in "-incomplete". Nothing is freed before its copy is on the disk. Where a
dump cannot be copied, for lack of space or because the device cannot be read, it
stays where it is.

Exit status: 0 done; 1 something was not copied, or not as it was written.
`

// rawSource is a device to copy dumps from.
type rawSource struct{ device, dir string }

func runSaveRaw(args []string, stdout, _ io.Writer) error {
	flags := flag.NewFlagSet("save-raw", flag.ContinueOnError)
	dir := flags.String("dir", "", "")
	all := flags.Bool("all", false, "")
	list := flags.Bool("list", false, "")
	device, err := parseDevice(flags, args)
	if err != nil {
		return err
	}
	cfg, err := readConfig(config.Path, checks())
	if device != "" && errors.Is(err, fs.ErrNotExist) {
		cfg, err = config.Default(), nil
	}
	if err != nil {
		return err
	}
	nameMachine(cfg)
	for _, s := range rawSources(cfg, device, *dir) {
		if *list {
			err = errors.Join(err, listRaw(s, stdout))
		} else {
			err = errors.Join(err, saveRaw(s, cfg.Machine, *all, stdout))
		}
	}
	return err
}

// parseDevice reads options and the name of a device, which may be missing.
func parseDevice(flags *flag.FlagSet, args []string) (string, error) {
	flags.SetOutput(io.Discard) // the error says it all, in one line
	if err := flags.Parse(args); err != nil {
		return "", err
	}
	if flags.NArg() > 1 {
		return "", fmt.Errorf("unexpected argument %q", flags.Arg(1))
	}
	return flags.Arg(0), nil
}

// rawSources returns where to copy dumps from and to. What is not given is as
// configured.
func rawSources(cfg *config.Config, device, dir string) []rawSource {
	to := func(configured string) string {
		if dir != "" {
			return dir
		}
		return configured
	}
	if device != "" {
		return []rawSource{{device, to(cfg.Common.Dir)}}
	}
	var sources []rawSource
	for _, t := range cfg.Targets {
		if t.Kind == "raw" {
			sources = append(sources, rawSource{t.Address, to(t.Dir)})
		}
	}
	return sources
}

// openRaw opens a device by its path or UUID.
func openRaw(spec string) (*raw.Device, error) {
	if strings.HasPrefix(spec, "UUID=") {
		ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
		defer cancel()
		found, err := blockdev.Find(ctx, "/sys", "/dev", spec, nil)
		if err != nil {
			return nil, err
		}
		spec = found.Path
	}
	return raw.OpenDevice(spec)
}

// listRaw prints what is on a device.
func listRaw(s rawSource, stdout io.Writer) error {
	d, err := openRaw(s.device)
	if err != nil {
		return err
	}
	defer d.Close()
	slots, err := d.Slots()
	for _, slot := range slots {
		fmt.Fprintf(stdout, "slot %d: %s, %s", slot.Index, slot.State, mib(slot.Size))
		if slot.State != "free" {
			fmt.Fprintf(stdout, ", of %s, written %s", slot.Owner, slot.Written.Format(time.RFC3339))
		}
		fmt.Fprintln(stdout)
		for _, f := range slot.Files {
			fmt.Fprintf(stdout, "  %s, %s%s\n", f.Name, mib(f.Size), map[bool]string{false: ", incomplete"}[f.Complete])
		}
	}
	return err
}

// saveRaw copies the dumps of this machine, or of all, from a device.
func saveRaw(s rawSource, machine string, all bool, stdout io.Writer) error {
	d, err := openRaw(s.device)
	if err != nil {
		return err
	}
	defer d.Close()
	slots, err := d.Slots()
	for _, slot := range slots {
		// Of a machine that shares its device with nobody, the name does not matter:
		// it may have changed.
		mine := slot.Owner == machine || len(slots) == 1
		switch {
		case slot.State == "free" || !mine && !all:
			continue
		case !mine && slot.State == "busy" && time.Now().Before(slot.Lease):
			fmt.Fprintf(stdout, "slot %d: %s may be writing to it until %s\n", slot.Index, slot.Owner, slot.Lease.Format(time.RFC3339))
			continue
		}
		copied, damage := saveSlot(d, slot, s.dir, stdout)
		if copied {
			damage = errors.Join(damage, d.Free(slot))
		}
		err = errors.Join(err, damage)
	}
	return err
}

// saveSlot copies what is in a slot, and reports whether all that can be had of it
// is safe.
func saveSlot(d *raw.Device, slot raw.Slot, to string, stdout io.Writer) (copied bool, err error) {
	to, err = filepath.Abs(to)
	if err != nil {
		return false, err
	}
	parent, err := file.MakeParents("/", to)
	if err != nil {
		return false, err
	}
	defer parent.Close()
	copied = true
	dumps := dumpsIn(slot)
	for _, name := range slices.Sorted(maps.Keys(dumps)) {
		ok, problem := saveDump(d, slot, parent, name, dumps[name], stdout)
		copied = copied && ok
		err = errors.Join(err, problem)
	}
	return copied, err
}

// dumpsIn returns the files in a slot by the names of their directories.
func dumpsIn(slot raw.Slot) map[string][]raw.Entry {
	dirs := map[string][]raw.Entry{}
	for _, f := range slot.Files {
		dir, _, _ := strings.Cut(f.Name, "/")
		dirs[dir] = append(dirs[dir], f)
	}
	return dirs
}

// saveDump copies one dump. Unless all that can be had of it is safe, it leaves
// nothing behind: the next attempt begins anew.
func saveDump(d *raw.Device, slot raw.Slot, parent *file.Dir, name string, files []raw.Entry, stdout io.Writer) (copied bool, err error) {
	dir, err := parent.Make(name)
	if err != nil {
		return false, err
	}
	defer dir.Close()
	for _, f := range files {
		problem := saveFile(d, slot, dir, f)
		err = errors.Join(err, problem)
		if problem != nil && !errors.Is(problem, raw.ErrChecksum) {
			return false, errors.Join(err, os.RemoveAll(dir.String()))
		}
	}
	fmt.Fprintf(stdout, "copied to %v\n", dir)
	return true, err
}

// saveFile copies a file. If its checksum is wrong, the copy is incomplete, and
// that is an error; one that was incomplete before is not.
func saveFile(d *raw.Device, slot raw.Slot, dir *file.Dir, f raw.Entry) error {
	_, name, _ := strings.Cut(f.Name, "/")
	to, err := dir.Create(context.Background(), name, f.Size)
	if err != nil {
		return err
	}
	if err := d.Copy(to, slot, f); err != nil {
		return errors.Join(err, to.Abort())
	}
	if !f.Complete {
		return to.Abort()
	}
	return to.Commit()
}
