// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package image builds the initramfs that the capture kernel boots, and reads
// one back. An image is a compressed cpio archive of
//
//	init            the busybox built with the tag "image"; the kernel starts it
//	etc/kdump.conf  the configuration, checked when the image was built
//	etc/ukdump/…    keys and certificates that the configuration refers to
//	etc/manifest    the SHA-256 of every other file, see package manifest
//	etc/modules     which modules to load, in the format of package kmod
//	etc/modules-early         those to load before: the drivers of watchdogs
//	lib/modules/RELEASE/*.ko  these modules, decompressed, side by side
//	dev/…           the few nodes that exist before devtmpfs is mounted
//	bbin/…          the rescue busybox and its links, if there is to be one
//	…               programs that the configuration names, where they are on the host
//
// The memory that the unpacked files take is lost to the capture, so nothing
// else is in it. The same inputs give the same bytes: no time, owner or order
// of the host goes in.
package image

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image/manifest"
	"github.com/ukdump/ukdump/pkg/kmod"
	"github.com/ukdump/ukdump/pkg/kmod/unpack"
)

// Spec is what goes into an image.
type Spec struct {
	Init    []byte // the executable to be PID 1
	Config  []byte // the text of kdump.conf
	Release string // the kernel release that Modules belong to
	Modules []kmod.Module
	// Files are what the configuration refers to: keys, certificates.
	Files []File
	// Rescue is the rescue busybox, nil for none, and RescueCommands the names
	// that it is to be called by.
	Rescue         []byte
	RescueCommands []string
	// Programs are what the configuration has run, with all that it needs.
	Programs []File
}

// File is a file for the image, or a symbolic link.
type File struct {
	Path string // absolute
	Data []byte
	Link string // what it is a link to; "" for a file
}

// Paths in the image.
const (
	// ConfigDir has the files that the configuration refers to.
	ConfigDir = "/etc/ukdump"
	InitPath  = "/init"
	// RescueDir has the rescue busybox, called bb, and a link for each command.
	RescueDir = "/bbin"
	moduleDir = "/lib/modules"
)

// Build writes the image to w.
func Build(w io.Writer, spec Spec, c Compression) error {
	records, err := spec.records()
	if err != nil {
		return err
	}
	z, err := c.writer(w)
	if err != nil {
		return err
	}
	if err := writeArchive(z, records); err != nil {
		return err
	}
	return z.Close()
}

// WriteFile builds the image in the file at name, which only its owner may
// read. The file is there as a whole or, after an error, as it was before.
func WriteFile(name string, spec Spec, c Compression) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := Build(f, spec, c); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// file is a regular file of the image.
type file struct {
	path string // absolute
	perm uint64
	data []byte
}

// records returns the contents of the archive in their order. A directory
// precedes what is in it, as the kernel drops files whose directory is missing.
// What matters most comes first: if memory does not suffice, the kernel boots
// with what it could unpack, and the manifest tells PID 1 what is missing.
func (s Spec) records() ([]cpio.Record, error) {
	files, err := s.files()
	if err != nil {
		return nil, err
	}
	records := base()
	seen := map[string]bool{"/": true, "/etc": true}
	for _, f := range files {
		records = append(records, newDirectories(path.Dir(f.path), seen)...)
		records = append(records, cpio.StaticFile(f.path, string(f.data), f.perm))
	}
	records = append(records, s.rescueLinks()...)
	for _, f := range s.Programs {
		if f.Link != "" {
			records = append(records, newDirectories(path.Dir(f.Path), seen)...)
			records = append(records, cpio.Symlink(f.Path, f.Link))
		}
	}
	return records, nil
}

// base returns what the kernel and PID 1 expect to find: mount points, and the
// nodes that they use before there is a devtmpfs. The numbers are those of
// Documentation/admin-guide/devices.txt in Linux.
func base() []cpio.Record {
	var records []cpio.Record
	for _, dir := range []string{"dev", "etc", "mnt", "proc", "run", "sys", "tmp"} {
		records = append(records, cpio.Directory(dir, 0o755))
	}
	return append(records,
		cpio.CharDev("dev/console", 0o600, 5, 1),
		cpio.CharDev("dev/null", 0o666, 1, 3),
		cpio.CharDev("dev/kmsg", 0o600, 1, 11))
}

// newDirectories returns dir and those above it that were not seen yet, the
// topmost first.
func newDirectories(dir string, seen map[string]bool) []cpio.Record {
	if seen[dir] {
		return nil
	}
	seen[dir] = true
	return append(newDirectories(path.Dir(dir), seen), cpio.Directory(dir, 0o755))
}

// files returns the files in their order, led by their manifest.
func (s Spec) files() ([]file, error) {
	files := []file{{config.Path, 0o600, s.Config}, {InitPath, 0o755, s.Init}}
	for _, f := range s.Files {
		files = append(files, file{f.Path, 0o600, f.Data})
	}
	first, rest := early(s.Modules)
	if len(first) > 0 {
		withList, err := s.moduleFiles(kmod.EarlyListPath, first)
		if err != nil {
			return nil, err
		}
		files = append(files, withList...)
	}
	withList, err := s.moduleFiles(kmod.ListPath, rest)
	if err != nil {
		return nil, err
	}
	files = append(files, withList...)
	if s.Rescue != nil {
		files = append(files, file{RescueDir + "/bb", 0o755, s.Rescue})
	}
	for _, f := range s.Programs {
		if f.Link == "" {
			files = append(files, file{f.Path, 0o755, f.Data})
		}
	}

	var entries []manifest.Entry
	for _, f := range files {
		entries = append(entries, manifest.Entry{Path: f.path, Sum: manifest.Sum(f.data)})
	}
	var b bytes.Buffer
	if err := manifest.Write(&b, entries); err != nil {
		return nil, err
	}
	return append([]file{{manifest.Path, 0o644, b.Bytes()}}, files...), nil
}

// moduleFiles returns the files of the modules, led by the list of them that is
// to be at listPath.
func (s Spec) moduleFiles(listPath string, modules []kmod.Module) ([]file, error) {
	var entries []kmod.Entry
	files := make([]file, 1)
	for _, m := range modules {
		contents, err := unpack.ReadModule(m.File)
		if err != nil {
			return nil, err
		}
		name := path.Join(moduleDir, s.Release, m.Name+".ko")
		files = append(files, file{name, 0o644, contents})
		entries = append(entries, kmod.Entry{Path: name, Needs: m.Needs})
	}
	var list bytes.Buffer
	err := kmod.WriteList(&list, entries)
	files[0] = file{listPath, 0o644, list.Bytes()}
	return files, err
}

// rescueLinks returns the names by which commands can be called in the rescue
// shell: those of the rescue busybox and, beside them, applets of ours.
func (s Spec) rescueLinks() []cpio.Record {
	if s.Rescue == nil {
		return nil
	}
	var links []cpio.Record
	for _, name := range s.RescueCommands {
		links = append(links, cpio.Symlink(path.Join(RescueDir, name), "bb"))
	}
	for _, name := range []string{"makedumpfile", "vmcore-dmesg"} {
		links = append(links, cpio.Symlink(path.Join(RescueDir, name), InitPath))
	}
	return links
}

func writeArchive(w io.Writer, records []cpio.Record) error {
	cpio.MakeAllReproducible(records)
	archive := cpio.Newc.Writer(w)
	if err := cpio.WriteRecords(archive, records); err != nil {
		return err
	}
	return cpio.WriteTrailer(archive)
}
