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
	"time"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/efivar"
	"github.com/ukdump/ukdump/pkg/lastlog"
	"github.com/ukdump/ukdump/pkg/target/file"
)

const collectHelp = `usage: kdumpctl collect [--dir DIR]

Takes out of the machine what crashes have left in it, into directories like
those of dumps. To be run when a machine has booted, as ukdump.service does;
where nothing was left it does nothing.

  - If no target takes the kernel log, the capture run keeps the end of it in a
    few EFI variables, where the firmware and the kernel (6.5 or newer) allow it.
  - What the kernel that crashed has written to pstore (/sys/fs/pstore) itself.

  --dir DIR  where to; the default is path in /etc/kdump.conf, or /var/crash

What was copied is removed from the firmware, which has little room. A log that
lacks pieces gets a name that ends in "-incomplete".
`

// Where what was left is found, below /sys.
const (
	efivarsDir = "firmware/efi/efivars"
	pstoreDir  = "fs/pstore"
)

func runCollect(args []string, stdout, _ io.Writer) error {
	flags := flag.NewFlagSet("collect", flag.ContinueOnError)
	dir := flags.String("dir", "", "")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *dir == "" {
		cfg, err := readConfig(config.Path, checks())
		if errors.Is(err, fs.ErrNotExist) {
			cfg, err = config.Default(), nil
		}
		if err != nil {
			return err
		}
		*dir = cfg.Common.Dir
	}
	to, err := filepath.Abs(*dir)
	if err != nil {
		return err
	}
	c := collection{to: to, stdout: stdout}
	return errors.Join(c.firmware(filepath.Join("/sys", efivarsDir)), c.pstore(filepath.Join("/sys", pstoreDir)))
}

// collection is where things are collected.
type collection struct {
	to     string
	stdout io.Writer
}

// leftFile is a file to be collected.
type leftFile struct {
	name    string
	content []byte
	whole   bool
}

// save makes a directory with the files. After an error there is none.
func (c collection) save(name string, files []leftFile) error {
	parent, err := file.MakeParents("/", c.to)
	if err != nil {
		return err
	}
	defer parent.Close()
	dir, err := parent.Make(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, f := range files {
		if err := saveLeft(dir, f); err != nil {
			return errors.Join(err, os.RemoveAll(dir.String()))
		}
	}
	fmt.Fprintf(c.stdout, "collected to %v\n", dir)
	return nil
}

func saveLeft(dir *file.Dir, f leftFile) error {
	to, err := dir.Create(context.Background(), f.name, 0)
	if err != nil {
		return err
	}
	if _, err := to.Write(f.content); err != nil {
		return errors.Join(err, to.Abort())
	}
	if !f.whole {
		return to.Abort()
	}
	return to.Commit()
}

// leftLog is what is left of one crash in variables.
type leftLog struct {
	pieces    map[lastlog.File][]lastlog.Piece
	variables []string
}

// firmware collects what capture runs have left in EFI variables.
func (c collection) firmware(dir string) error {
	vars, err := efivar.Open(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := vars.Names()
	if err != nil {
		return err
	}
	logs := map[time.Time]leftLog{}
	for _, name := range names {
		value, err := vars.Read(name)
		if err != nil {
			fmt.Fprintf(c.stdout, "%v\n", err)
			continue
		}
		addPiece(logs, name, value)
	}
	var errs []error
	for _, crashed := range slices.SortedFunc(maps.Keys(logs), time.Time.Compare) {
		err := c.save("127.0.0.1-"+crashed.Format("2006-01-02-15:04:05"), logs[crashed].files())
		if err == nil {
			for _, name := range logs[crashed].variables {
				err = errors.Join(err, vars.Remove(name))
			}
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// addPiece adds the value of a variable, if it is a piece of a log.
func addPiece(logs map[time.Time]leftLog, variable string, value []byte) {
	piece, err := lastlog.Parse(value)
	if err != nil {
		return // the marks of runs, for example
	}
	l, ok := logs[piece.Crashed]
	if !ok {
		l.pieces = map[lastlog.File][]lastlog.Piece{}
	}
	l.pieces[piece.File] = append(l.pieces[piece.File], piece)
	l.variables = append(l.variables, variable)
	logs[piece.Crashed] = l
}

// files returns the files of a crash.
func (l leftLog) files() []leftFile {
	var files []leftFile
	for _, f := range []struct {
		file lastlog.File
		name string
	}{{lastlog.Dmesg, "vmcore-dmesg.txt"}, {lastlog.Report, "kdump.log"}} {
		if pieces := l.pieces[f.file]; len(pieces) > 0 {
			text, missing := lastlog.Join(pieces)
			files = append(files, leftFile{f.name, text, missing == 0})
		}
	}
	return files
}

// What is read of pstore at the most.
const (
	maxRecords    = 1000
	maxRecordSize = 1 << 20 // bytes
)

// pstore collects what the crashed kernel has left.
func (c collection) pstore(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var files []leftFile
	var newest time.Time
	for _, e := range entries[:min(len(entries), maxRecords)] {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		content, err := readStart(filepath.Join(dir, e.Name()), maxRecordSize)
		if err != nil {
			return err
		}
		files = append(files, leftFile{e.Name(), content, len(content) < maxRecordSize})
		if info.ModTime().After(newest) {
			newest = info.ModTime()
		}
	}
	if len(files) == 0 {
		return nil
	}
	if err := c.save("pstore-"+newest.UTC().Format("2006-01-02-15:04:05"), files); err != nil {
		return err
	}
	for _, f := range files {
		err = errors.Join(err, os.Remove(filepath.Join(dir, f.name)))
	}
	return err
}

// readStart reads a file, at most n bytes of it.
func readStart(name string, n int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, n))
}
