// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Extract starts a machine that mounts the disk image, and copies the files in
// its file system to the directory to. A machine, because any kernel that can
// write a file system can read it, and the host's need not.
func Extract(k Kernel, root, disk, fsType, to string) error {
	archive := filepath.Join(to, "archive.tar")
	if err := MakeDisk(archive, "", "2G"); err != nil {
		return err
	}
	defer os.Remove(archive)
	m := Machine{Kernel: k, Root: root, Raw: archive, Virtio: []string{disk}, MemoryMiB: 512, Steps: append(
		AttachVirtio(fsType), "mount "+fsType+" /dev/vda /mnt", "tar /mnt")}
	console, err := m.Run()
	if err != nil {
		return err
	}
	if _, found := console.Find("guest: archive of /mnt written"); !found {
		return errors.New("the machine ended without having written the archive")
	}
	return untar(archive, to)
}

// AttachVirtio returns the steps that make virtio disks appear, and the file
// system known. The kernel does the latter by itself only where modprobe is.
func AttachVirtio(fsType string) []string {
	modules := "virtio_pci virtio_blk " + fsType
	if fsType == "vfat" {
		modules += " nls_cp437 nls_iso8859-1 nls_ascii nls_utf8"
	}
	return []string{"modprobe " + modules}
}

func untar(archive, to string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	for r := tar.NewReader(file); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", archive, err)
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("%s: %q in it", archive, header.Name)
		}
		path := filepath.Join(to, header.Name)
		if strings.HasSuffix(header.Name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = writeFrom(path, r)
		}
		if err != nil {
			return err
		}
	}
}

func writeFrom(path string, r io.Reader) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := io.Copy(file, r); err != nil {
		return err
	}
	return file.Close()
}
