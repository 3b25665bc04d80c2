// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// TypePRStatus is the type of a "CORE" note with the registers of one CPU.
const TypePRStatus = 1

// infoName is the name of the VMCOREINFO note.
const infoName = "VMCOREINFO"

// Note is one entry of a PT_NOTE segment.
type Note struct {
	Name string
	Type uint32
	Desc []byte
	// DescOffset is where Desc begins in the segment, in bytes.
	DescOffset int
}

// ParseNotes splits the contents of a PT_NOTE segment. Names and descriptions
// are padded to 4 bytes (Linux does so for both word sizes). Notes in front of
// a damaged one are returned together with the error.
func ParseNotes(b []byte, order binary.ByteOrder) ([]Note, error) {
	const headerSize = 12
	var notes []Note
	for at := 0; at < len(b); {
		if len(b)-at < headerSize {
			return notes, fmt.Errorf("%w: note at %d is cut off", ErrFormat, at)
		}
		nameSize := uint64(order.Uint32(b[at:]))
		descSize := uint64(order.Uint32(b[at+4:]))
		kind := order.Uint32(b[at+8:])
		if nameSize == 0 && descSize == 0 {
			return notes, nil // the rest is padding
		}
		nameAt := uint64(at + headerSize)
		descAt := nameAt + (nameSize+3)&^3
		if descAt > uint64(len(b)) || descSize > uint64(len(b))-descAt {
			return notes, fmt.Errorf("%w: note at %d reaches outside its segment", ErrFormat, at)
		}
		name := b[nameAt : nameAt+nameSize]
		for len(name) > 0 && name[len(name)-1] == 0 {
			name = name[:len(name)-1]
		}
		notes = append(notes, Note{
			Name: string(name), Type: kind,
			Desc: b[descAt : descAt+descSize], DescOffset: int(descAt),
		})
		at = int(min(descAt+(descSize+3)&^3, uint64(len(b))))
	}
	return notes, nil
}

// ReplaceVMCoreInfo returns the contents of a PT_NOTE segment with VMCOREINFO of
// the given contents at its end, instead of what there was.
func ReplaceVMCoreInfo(b []byte, order binary.ByteOrder, info []byte) []byte {
	notes, _ := ParseNotes(b, order)
	notes = slices.DeleteFunc(notes, func(n Note) bool { return n.Name == infoName })
	var out []byte
	for _, n := range append(notes, Note{Name: infoName, Desc: info}) {
		out = appendNote(out, order, n)
	}
	return out
}

// appendNote appends a note, as ParseNotes reads it.
func appendNote(b []byte, order binary.ByteOrder, n Note) []byte {
	var header [12]byte
	order.PutUint32(header[0:], uint32(len(n.Name)+1))
	order.PutUint32(header[4:], uint32(len(n.Desc)))
	order.PutUint32(header[8:], n.Type)
	b = append(append(b, header[:]...), n.Name...)
	b = append(b, make([]byte, 1+-(len(n.Name)+1)&3)...)
	b = append(b, n.Desc...)
	return append(b, make([]byte, -len(n.Desc)&3)...)
}

// FindVMCoreInfo returns the VMCOREINFO note of a PT_NOTE segment's contents.
func FindVMCoreInfo(b []byte, order binary.ByteOrder) (Note, bool) {
	notes, _ := ParseNotes(b, order)
	for _, n := range notes {
		if n.Name == infoName {
			return n, true
		}
	}
	return Note{}, false
}

// CountCPUs returns how many CPUs left their registers in the contents of a
// PT_NOTE segment.
func CountCPUs(b []byte, order binary.ByteOrder) int {
	notes, _ := ParseNotes(b, order)
	cpus := 0
	for _, n := range notes {
		if n.Name == "CORE" && n.Type == TypePRStatus {
			cpus++
		}
	}
	return cpus
}
