// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore

import (
	"cmp"
	"slices"
	"sort"

	"github.com/ukdump/ukdump/pkg/mem"
)

// kind says where the bytes of a piece are.
type kind uint8

const (
	inFile  kind = iota
	leftOut      // memory whose contents were not written: p_filesz < p_memsz
	padding      // the part of a page frame around memory that does not fill it; reads as zeros
)

// piece is a range of physical memory whose bytes lie in one place. A core's
// pieces are sorted and disjoint, unlike its segments: the kernel image's
// segment, for one, overlaps that of the memory it lies in.
type piece struct {
	start, end mem.PhysAddr
	kind       kind
	off        uint64 // of start in the file, if inFile
}

// makePieces cuts segments into pieces. Page frames of granule bytes that
// memory covers only in part are filled up with padding: makedumpfile dumps
// them, with zeros in the holes.
func makePieces(segments []Segment, granule uint64) []piece {
	var data, rest, pad []piece
	for _, s := range segments {
		dataEnd, end := s.Phys+mem.PhysAddr(s.FileSize), s.Phys+mem.PhysAddr(s.MemSize)
		data = append(data, piece{s.Phys, dataEnd, inFile, s.Offset})
		rest = append(rest, piece{dataEnd, end, leftOut, 0})
		down := s.Phys &^ mem.PhysAddr(granule-1)
		up := (end + mem.PhysAddr(granule-1)) &^ mem.PhysAddr(granule-1)
		pad = append(pad, piece{down, s.Phys, padding, 0}, piece{end, up, padding, 0})
	}
	pieces := fillGaps(nil, data)
	pieces = fillGaps(pieces, rest)
	return fillGaps(pieces, pad)
}

// fillGaps returns base, which is sorted and disjoint, with those parts of the
// pieces of extra that base does not cover yet.
func fillGaps(base, extra []piece) []piece {
	slices.SortStableFunc(extra, func(a, b piece) int { return cmp.Compare(a.start, b.start) })
	out := make([]piece, 0, len(base)+len(extra))
	next := 0 // of base
	covered := mem.PhysAddr(0)
	for _, e := range extra {
		at := max(e.start, covered)
		for at < e.end {
			for next < len(base) && base[next].end <= at {
				out = append(out, base[next])
				next++
			}
			if next < len(base) && base[next].start <= at {
				at = base[next].end
				continue
			}
			end := e.end
			if next < len(base) {
				end = min(end, base[next].start)
			}
			out = append(out, piece{at, end, e.kind, e.off + uint64(at-e.start)})
			at = end
		}
		covered = max(covered, e.end)
	}
	return append(out, base[next:]...)
}

// find returns the index of the piece that holds addr, or -1.
func find(pieces []piece, addr mem.PhysAddr) int {
	i := sort.Search(len(pieces), func(i int) bool { return pieces[i].end > addr })
	if i == len(pieces) || pieces[i].start > addr {
		return -1
	}
	return i
}
