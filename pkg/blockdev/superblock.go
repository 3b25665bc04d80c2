// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package blockdev

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Superblock is how a file system describes itself, in the spelling of
// blkid(8).
type Superblock struct {
	Type  string // "ext2", "ext3", "ext4", "xfs", "btrfs", "vfat", "minix"; "raw" for what has dumps without one
	UUID  string // 36 characters with hyphens; for vfat "ABCD-1234"; minix has none
	Label string // empty if it has none
}

// ErrUnknown says that there is no file system that Probe knows.
var ErrUnknown = errors.New("no file system of a known type")

// Probe reads the superblock of the file system in r, which is a device or an
// image. It returns ErrUnknown if there is none, or an error of reading. It
// reads no more than a few hundred KiB, wherever the contents point.
func Probe(r io.ReaderAt) (Superblock, error) {
	// The first 4 KiB have the superblocks of ext, xfs and vfat; short images
	// are filled up with zeros, which mean nothing.
	head, err := readAt(r, 0, 4096)
	if err != nil {
		return Superblock{}, err
	}
	for _, probe := range []func([]byte) (Superblock, bool){probeExt, probeXFS, probeRaw} {
		if sb, ok := probe(head); ok {
			return sb, nil
		}
	}
	if boot, ok := parseFATBoot(head); ok {
		return Superblock{Type: "vfat", UUID: boot.uuid, Label: boot.label(r)}, nil
	}
	sb, err := probeBtrfs(r)
	if errors.Is(err, ErrUnknown) && isMinix(head) {
		return Superblock{Type: "minix"}, nil
	}
	return sb, err
}

// readAt returns n bytes at off. Where r ends, zeros take their place.
func readAt(r io.ReaderAt, off int64, n int) ([]byte, error) {
	buf := make([]byte, n)
	if _, err := r.ReadAt(buf, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return buf, nil
}

// probeExt knows ext2, ext3 and ext4: struct ext4_super_block in fs/ext4/ext4.h,
// Documentation/filesystems/ext4/super.rst. Little endian, 1 KiB into the device.
func probeExt(head []byte) (Superblock, bool) {
	const (
		magic              = 0xef53
		hasJournal         = 0x0004                   // compatible
		journalDevice      = 0x0008                   // incompatible: no file system, but its journal
		knownToExt3        = 0x0002 | 0x0004 | 0x0010 // incompatible: filetype, recover, meta_bg
		knownToExt3ForRead = 0x0001 | 0x0002 | 0x0004 // read-only compatible: sparse_super, large_file, btree_dir
	)
	sb := head[1024:2048]
	le := binary.LittleEndian
	compat, incompat, readCompat := le.Uint32(sb[0x5c:]), le.Uint32(sb[0x60:]), le.Uint32(sb[0x64:])
	if le.Uint16(sb[0x38:]) != magic || incompat&journalDevice != 0 {
		return Superblock{}, false
	}
	kind := "ext2"
	switch {
	case incompat&^knownToExt3 != 0 || readCompat&^knownToExt3ForRead != 0:
		kind = "ext4"
	case compat&hasJournal != 0:
		kind = "ext3"
	}
	return Superblock{Type: kind, UUID: formatUUID(sb[0x68:0x78]), Label: cString(sb[0x78:0x88])}, true
}

// probeXFS knows xfs: struct xfs_dsb in fs/xfs/libxfs/xfs_format.h. Big endian,
// at the start of the device.
func probeXFS(head []byte) (Superblock, bool) {
	if !bytes.HasPrefix(head, []byte("XFSB")) {
		return Superblock{}, false
	}
	return Superblock{Type: "xfs", UUID: formatUUID(head[32:48]), Label: cString(head[108:120])}, true
}

// probeRaw knows devices of dumps: pkg/target/raw. Little endian, at the start of
// the device. That package looks more closely.
func probeRaw(head []byte) (Superblock, bool) {
	if !bytes.HasPrefix(head, []byte("UKDUMPRW")) {
		return Superblock{}, false
	}
	return Superblock{Type: "raw", UUID: formatUUID(head[48:64])}, true
}

// probeBtrfs knows btrfs: struct btrfs_super_block in
// include/uapi/linux/btrfs_tree.h. The first copy lies 64 KiB into the device.
func probeBtrfs(r io.ReaderAt) (Superblock, error) {
	const (
		offset    = 64 << 10
		magicAt   = 0x40
		labelAt   = 0x12b
		labelSize = 0x100
	)
	sb, err := readAt(r, offset, 4096)
	if err != nil {
		return Superblock{}, err
	}
	if string(sb[magicAt:magicAt+8]) != "_BHRfS_M" {
		return Superblock{}, ErrUnknown
	}
	label := cString(sb[labelAt : labelAt+labelSize])
	return Superblock{Type: "btrfs", UUID: formatUUID(sb[0x20:0x30]), Label: label}, nil
}

// isMinix knows the versions of minix, in the byte order of most machines: struct
// minix_super_block and minix3_super_block in include/uapi/linux/minix_fs.h, 1 KiB
// into the device. Its numbers are short, so that it is looked for last.
func isMinix(head []byte) bool {
	le := binary.LittleEndian
	switch le.Uint16(head[1024+16:]) {
	case 0x137f, 0x138f, 0x2468, 0x2478:
		return true
	}
	return le.Uint16(head[1024+24:]) == 0x4d5a
}

// formatUUID writes 16 bytes as 01234567-89ab-cdef-0123-456789abcdef; nothing
// if all are zero.
func formatUUID(b []byte) string {
	if len(bytes.Trim(b, "\x00")) == 0 {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// cString returns the text before the first zero byte, without spaces at its
// end; nothing if it is not text.
func cString(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	if !utf8.Valid(b) {
		return ""
	}
	return strings.TrimRight(string(b), " ")
}
