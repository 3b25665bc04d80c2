// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package blockdev

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"strings"
)

// fatBoot is what a FAT boot sector says of the volume. The format is in
// Microsoft's "FAT: General Overview of On-Disk Format" (fatgen103) and
// include/uapi/linux/msdos_fs.h; little endian.
type fatBoot struct {
	uuid string
	// The root directory is either rootSize bytes at rootAt (FAT12, FAT16) or a
	// chain of clusters that starts with rootCluster (FAT32).
	rootAt, rootSize int64
	rootCluster      uint32
	clusterSize      int64
	fatAt, fatSize   int64 // the first allocation table, in bytes
	dataAt           int64 // where cluster 2 lies
}

// parseFATBoot reads the first sector of a volume. A partition table ends in the
// same two bytes, so that every field that a mount would check is checked.
func parseFATBoot(sector []byte) (fatBoot, bool) {
	le := binary.LittleEndian
	var (
		sectorBytes   = int64(le.Uint16(sector[11:]))
		clusterSecs   = int64(sector[13])
		reserved      = int64(le.Uint16(sector[14:]))
		fats          = int64(sector[16])
		rootEntries   = int64(le.Uint16(sector[17:]))
		media         = sector[21]
		fatSectors    = int64(le.Uint16(sector[22:]))
		isFAT32       = fatSectors == 0
		extended      = sector[36:] // where FAT12 and FAT16 have their last fields
		validSizes    = sectorBytes >= 512 && sectorBytes <= 4096 && powerOf2(sectorBytes) && powerOf2(clusterSecs)
		validGeometry = reserved > 0 && (fats == 1 || fats == 2) && (media == 0xf0 || media >= 0xf8)
	)
	if le.Uint16(sector[510:]) != 0xaa55 || !validSizes || !validGeometry {
		return fatBoot{}, false
	}
	if isFAT32 {
		fatSectors = int64(le.Uint32(sector[36:]))
		extended = sector[64:]
	}
	if fatSectors == 0 || isFAT32 != (rootEntries == 0) {
		return fatBoot{}, false
	}
	b := fatBoot{
		clusterSize: clusterSecs * sectorBytes,
		fatAt:       reserved * sectorBytes,
		fatSize:     fatSectors * sectorBytes,
		rootAt:      (reserved + fats*fatSectors) * sectorBytes,
		rootSize:    rootEntries * dirEntrySize,
	}
	b.dataAt = b.rootAt + b.rootSize
	if isFAT32 {
		b.rootCluster = le.Uint32(sector[44:])
	}
	if signature := extended[2]; signature == 0x28 || signature == 0x29 {
		b.uuid = fmt.Sprintf("%02X%02X-%02X%02X", extended[6], extended[5], extended[4], extended[3])
	}
	return b, true
}

func powerOf2(n int64) bool { return bits.OnesCount64(uint64(n)) == 1 }

const (
	dirEntrySize = 32
	// maxRootDir bounds how much of a root directory is searched for the label,
	// in bytes; labels are written first or nearly so.
	maxRootDir = 64 << 10
	// maxRootClusters bounds how many clusters of it are looked up.
	maxRootClusters = 64
)

// label returns the volume label, which is an entry of the root directory. The
// one in the boot sector does not count: blkid does not print it, and it is not
// changed when the volume is renamed. A directory that cannot be read has none.
func (b fatBoot) label(r io.ReaderAt) string {
	if b.rootCluster == 0 {
		label, _ := findFATLabel(r, b.rootAt, b.rootSize)
		return label
	}
	left := int64(maxRootDir)
	cluster := b.rootCluster
	for range maxRootClusters {
		if cluster < 2 || cluster >= 0x0ffffff8 || left <= 0 {
			break
		}
		label, last := findFATLabel(r, b.dataAt+int64(cluster-2)*b.clusterSize, min(b.clusterSize, left))
		if last {
			return label
		}
		left -= b.clusterSize
		cluster = b.next(r, cluster)
	}
	return ""
}

// next returns the cluster that follows in the chain; 0 if that is not known.
func (b fatBoot) next(r io.ReaderAt, cluster uint32) uint32 {
	at := int64(cluster) * 4
	if at+4 > b.fatSize {
		return 0
	}
	entry, err := readAt(r, b.fatAt+at, 4)
	if err != nil {
		return 0
	}
	return binary.LittleEndian.Uint32(entry) & 0x0fffffff
}

// findFATLabel searches size bytes of a directory for the volume label. The
// search is over if last: the label was found, or the directory ends here.
func findFATLabel(r io.ReaderAt, at, size int64) (label string, last bool) {
	const (
		attrAt       = 11
		attrVolumeID = 0x08
		attrMask     = 0x3f // of the defined bits; 0x0f is a part of a long name
		attrDir      = 0x10
		deleted      = 0xe5
	)
	dir, err := readAt(r, at, int(min(size, maxRootDir)))
	if err != nil {
		return "", true
	}
	for ; len(dir) >= dirEntrySize; dir = dir[dirEntrySize:] {
		attr := dir[attrAt] & attrMask
		switch {
		case dir[0] == 0:
			return "", true
		case dir[0] == deleted || attr&(attrVolumeID|attrDir) != attrVolumeID || attr == 0x0f:
			continue
		}
		name := string(dir[:11])
		if dir[0] == 0x05 { // stands for a first byte that would read as deleted
			name = "\xe5" + name[1:]
		}
		return strings.TrimRight(name, " "), true
	}
	return "", false
}
