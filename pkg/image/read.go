// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package image

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"

	"github.com/ukdump/ukdump/pkg/config"
	"github.com/ukdump/ukdump/pkg/image/manifest"
	"github.com/ukdump/ukdump/pkg/kmod"
)

// Image is what is in an image.
type Image struct {
	Compression Compression
	Packed      int64 // size of the image in bytes
	Unpacked    int64 // size of the files in it, in bytes; memory that stays taken
	Parts       []Part
	Config      []byte // the text of kdump.conf
	// Modules are the modules that it loads, and Release the kernel release that
	// they belong to; "" if there are none.
	Modules []kmod.Entry
	Release string

	files []file
}

// File returns the contents of a file in the image, nil if there is none.
func (img *Image) File(path string) []byte { return find(img.files, path) }

// Part sums up the files of one kind.
type Part struct {
	Name  string // "init", "config", "modules", "rescue", "lists" or "programs"
	Files int
	Bytes int64
}

// maxUnpacked bounds how much ReadFile unpacks, in bytes. No machine reserves
// that much for its capture kernel.
const maxUnpacked = 256 << 20

// ReadFile reads the image in the file at name and checks it against its
// manifest.
func ReadFile(name string) (*Image, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	img.Packed = fi.Size()
	return img, nil
}

func read(r io.Reader) (*Image, error) {
	z, compression, err := newReader(r)
	if err != nil {
		return nil, err
	}
	archive, err := io.ReadAll(io.LimitReader(z, maxUnpacked+1))
	if err != nil {
		return nil, fmt.Errorf("damaged %s data: %w", compression, err)
	}
	if len(archive) > maxUnpacked {
		return nil, fmt.Errorf("larger than %d bytes when unpacked", maxUnpacked)
	}
	files, err := readArchive(archive)
	if err != nil {
		return nil, fmt.Errorf("damaged archive: %w", err)
	}
	if err := verify(files); err != nil {
		return nil, err
	}

	img := &Image{Compression: compression, Config: find(files, config.Path), files: files}
	for _, list := range []string{kmod.EarlyListPath, kmod.ListPath} {
		entries, err := kmod.ParseList(bytes.NewReader(find(files, list)))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		img.Modules = append(img.Modules, entries...)
	}
	if len(img.Modules) > 0 {
		img.Release = path.Base(path.Dir(img.Modules[0].Path))
	}
	img.sum(files)
	return img, nil
}

// readArchive returns the regular files of an archive.
func readArchive(archive []byte) ([]file, error) {
	var files []file
	err := cpio.ForEachRecord(cpio.Newc.Reader(bytes.NewReader(archive)), func(r cpio.Record) error {
		if r.Mode&cpio.S_IFMT != cpio.S_IFREG {
			return nil
		}
		data, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		files = append(files, file{"/" + r.Name, r.Mode &^ cpio.S_IFMT, data})
		return err
	})
	return files, err
}

// verify checks that the files are those of their manifest.
func verify(files []file) error {
	text := find(files, manifest.Path)
	if text == nil {
		return errors.New("not a capture image: no " + manifest.Path)
	}
	entries, err := manifest.Parse(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("%s: %w", manifest.Path, err)
	}
	for _, e := range entries {
		if err := e.Check(find(files, e.Path)); err != nil {
			return err
		}
	}
	if len(entries) != len(files)-1 {
		return fmt.Errorf("%s lists %d of %d files", manifest.Path, len(entries), len(files)-1)
	}
	return nil
}

// find returns the contents of a file, nil if there is none.
func find(files []file, path string) []byte {
	for _, f := range files {
		if f.path == path {
			return f.data
		}
	}
	return nil
}

// partOf returns the kind of a file.
func partOf(file string) string {
	switch below := func(dir string) bool { return strings.HasPrefix(file, dir+"/") }; {
	case file == InitPath:
		return "init"
	case file == config.Path || below(ConfigDir):
		return "config"
	case below(moduleDir):
		return "modules"
	case below(RescueDir):
		return "rescue"
	case file == manifest.Path || file == kmod.ListPath || file == kmod.EarlyListPath:
		return "lists"
	}
	return "programs"
}

// sum fills in the sizes.
func (img *Image) sum(files []file) {
	for _, name := range []string{"init", "config", "modules", "rescue", "lists", "programs"} {
		p := Part{Name: name}
		for _, f := range files {
			if partOf(f.path) == name {
				p.Files++
				p.Bytes += int64(len(f.data))
			}
		}
		img.Parts = append(img.Parts, p)
		img.Unpacked += p.Bytes
	}
}
