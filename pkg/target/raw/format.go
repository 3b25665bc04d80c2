// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package raw is the target that keeps dumps on a partition or a whole disk
// without a file system: there is none whose driver could be what crashed, none
// to be damaged, and nothing to mount.
//
// # Format
//
// Numbers are little endian, texts are filled up with zero bytes. Offsets and
// sizes are in bytes.
//
//	0          superblock
//	4 KiB      superblock, the same
//	1 MiB      slot 0
//	1 MiB + n × slot size  slot n
//
// Kdumpctl format-raw writes the superblocks, once. Both must be valid and the
// same, or one unreadable: nothing is ever written to a device on which somebody
// has put something else since, be it only a label.
//
// A slot belongs to one machine at a time, its owner, until its dumps have been
// copied from it. It is
//
//	0          header, written when its sequence number is even
//	32 KiB     header, written when that is odd
//	1 MiB      chunks of 1 MiB each
//
// A header is a list of files and of the extents, runs of chunks, in which they
// lie: those of a file in its order. The valid header with the higher sequence
// number counts. A new state goes over the older header, after all that it
// speaks of has been flushed to the disk, and is flushed itself. So whenever the
// machine stops, the old state or the new one is found. A file becomes complete
// by such a write, and has a checksum then.
//
// # Several machines on one disk
//
// A machine takes its own slot, else a free one, else one whose owner has left
// nothing complete in it and not written for an hour. It writes a header with a
// random number, waits a few seconds, and looks whether that is still there;
// later, before it writes a header, it looks again. That is safe as long as no
// machine's write is under way for longer than the wait, and as the clocks are
// less than an hour apart. A device with one slot is taken to be one machine's
// own: there is no wait.
package raw

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Sizes and places on the device, in bytes.
const (
	chunkSize      = 1 << 20
	firstSlot      = 1 << 20
	superblockSize = 4096
	headerSize     = 16 << 10
	headerStride   = 32 << 10
	minSlotSize    = 4 << 20
)

// Bounds of what there is.
const (
	maxSlots   = 1024
	maxFiles   = 32
	maxExtents = 896
	maxNote    = 1024
)

const (
	superblockMagic = "UKDUMPRW"
	headerMagic     = "UKDUMPSL"
	version         = 1
)

// ErrNotFormatted says that a device is not one of ours.
var ErrNotFormatted = errors.New("not a dump device (kdumpctl format-raw makes one)")

// superblock describes the device.
type superblock struct {
	id       [16]byte // random; also the UUID that finds the device
	slots    int
	slotSize int64 // with its headers
}

// diskSuperblock is a superblock on the device.
type diskSuperblock struct {
	Magic    [8]byte
	Sum      [sha256.Size]byte // of the 4 KiB, this being zero
	Version  uint32
	Slots    uint32
	ID       [16]byte
	SlotSize uint64
}

// sumAt is where the checksum lies, in superblocks and headers.
const sumAt = 8

// seal puts the checksum into a block.
func seal(block []byte) {
	sum := sha256.Sum256(block)
	copy(block[sumAt:], sum[:])
}

// sealed reports whether a block has the magic number and its checksum.
func sealed(block []byte, magic string) bool {
	if !bytes.HasPrefix(block, []byte(magic)) {
		return false
	}
	var zero [sha256.Size]byte
	h := sha256.New()
	h.Write(block[:sumAt])
	h.Write(zero[:])
	h.Write(block[sumAt+sha256.Size:])
	return bytes.Equal(h.Sum(nil), block[sumAt:sumAt+sha256.Size])
}

func (s superblock) encode(block []byte) {
	clear(block)
	d := diskSuperblock{Magic: [8]byte([]byte(superblockMagic)), Version: version,
		Slots: uint32(s.slots), ID: s.id, SlotSize: uint64(s.slotSize)}
	binary.Encode(block, binary.LittleEndian, &d) // fails only where it does not fit
	seal(block)
}

// decodeSuperblock reads a superblock of a device of that size.
func decodeSuperblock(block []byte, size int64) (superblock, error) {
	if !sealed(block, superblockMagic) {
		return superblock{}, ErrNotFormatted
	}
	var d diskSuperblock
	if _, err := binary.Decode(block, binary.LittleEndian, &d); err != nil {
		return superblock{}, err
	}
	s := superblock{id: d.ID, slots: int(d.Slots), slotSize: int64(d.SlotSize)}
	switch {
	case d.Version != version:
		return s, fmt.Errorf("format version %d, this program knows %d", d.Version, version)
	case s.slots < 1 || s.slots > maxSlots || s.slotSize < minSlotSize || s.slotSize%chunkSize != 0 ||
		s.slotSize > (size-firstSlot)/int64(s.slots):
		return s, fmt.Errorf("%d slots of %d bytes do not fit into %d bytes", s.slots, s.slotSize, size)
	}
	return s, nil
}

// slotAt returns where a slot lies.
func (s superblock) slotAt(slot int) int64 { return firstSlot + int64(slot)*s.slotSize }

// headerAt returns where the header of that sequence number lies.
func (s superblock) headerAt(slot int, seq uint64) int64 {
	return s.slotAt(slot) + int64(seq%2)*headerStride
}

// chunkAt returns where a chunk of a slot lies.
func (s superblock) chunkAt(slot int, chunk uint32) int64 {
	return s.slotAt(slot) + (1+int64(chunk))*chunkSize
}

// chunks returns how many chunks each slot has.
func (s superblock) chunks() uint32 { return uint32(min(s.slotSize/chunkSize-1, 1<<32-1)) }

// state is the state of a slot.
type state uint32

const (
	free   state = iota // nothing is in it; the owner is the last one
	busy                // a run is writing to it, or was cut short
	closed              // a run has ended
)

func (s state) String() string {
	switch s {
	case free:
		return "free"
	case busy:
		return "busy"
	case closed:
		return "closed"
	}
	return "?"
}

// header is the state of a slot.
type header struct {
	slot     int
	seq      uint64
	state    state
	nonce    [16]byte  // random, of the run that owns the slot
	owner    string    // the machine
	written  time.Time // when; whole seconds
	lease    time.Time // until when a busy slot is taken to be in use
	noteName string
	note     []byte
	files    [maxFiles]entry // unused ones have no name
	extents  []extent
}

// entry is a file in a slot.
type entry struct {
	name     string // DIRECTORY/FILE
	size     int64
	complete bool
	sum      uint32 // CRC-32C (Castagnoli) of the contents, if complete
}

// extent is a run of chunks.
type extent struct {
	file         int // in header.files
	start, count uint32
}

func (e extent) end() uint32 { return e.start + e.count }

// diskHeader is a header on the device.
type diskHeader struct {
	Magic          [8]byte
	Sum            [sha256.Size]byte // of the 16 KiB, this being zero
	Device         [16]byte          // the superblock's ID
	Slot           uint32
	State          uint32
	Seq            uint64
	Nonce          [16]byte
	Owner          [64]byte
	Written, Lease int64 // in seconds since 1970
	NoteName       [32]byte
	NoteSize       uint32
	Extents        uint32 // how many are used
	Note           [maxNote]byte
	Files          [maxFiles]diskEntry
	ExtentTable    [maxExtents]diskExtent
}

type diskEntry struct {
	Name     [120]byte
	Size     uint64
	Sum      uint32
	Complete uint32 // 0 or 1
}

type diskExtent struct{ File, Start, Count uint32 }

func (h *header) encode(block []byte, device [16]byte) {
	clear(block)
	d := diskHeader{Magic: [8]byte([]byte(headerMagic)), Device: device, Slot: uint32(h.slot), State: uint32(h.state),
		Seq: h.seq, Nonce: h.nonce, Written: h.written.Unix(), Lease: h.lease.Unix(),
		NoteSize: uint32(len(h.note)), Extents: uint32(len(h.extents))}
	copy(d.Owner[:], h.owner)
	copy(d.NoteName[:], h.noteName)
	copy(d.Note[:], h.note)
	for i, f := range h.files {
		d.Files[i] = diskEntry{Size: uint64(f.size), Sum: f.sum}
		copy(d.Files[i].Name[:], f.name)
		if f.complete {
			d.Files[i].Complete = 1
		}
	}
	for i, e := range h.extents {
		d.ExtentTable[i] = diskExtent{uint32(e.file), e.start, e.count}
	}
	binary.Encode(block, binary.LittleEndian, &d) // fails only where it does not fit
	seal(block)
}

// errDamaged says that a header is not valid.
var errDamaged = errors.New("damaged header")

// decodeHeader reads the header of a slot. All of what it returns is within
// bounds; names are fit for files.
func (s superblock) decodeHeader(block []byte, slot int) (*header, error) {
	if !sealed(block, headerMagic) {
		return nil, errDamaged
	}
	var d diskHeader
	if _, err := binary.Decode(block, binary.LittleEndian, &d); err != nil {
		return nil, err
	}
	if d.Device != s.id || d.Slot != uint32(slot) || d.State > uint32(closed) || d.NoteSize > maxNote || d.Extents > maxExtents {
		return nil, errDamaged
	}
	h := &header{slot: slot, seq: d.Seq, state: state(d.State), nonce: d.Nonce, owner: text(d.Owner[:]),
		written: time.Unix(d.Written, 0).UTC(), lease: time.Unix(d.Lease, 0).UTC(),
		noteName: text(d.NoteName[:]), note: bytes.Clone(d.Note[:d.NoteSize])}
	for i, f := range d.Files {
		h.files[i] = entry{name: text(f.Name[:]), size: int64(f.Size), complete: f.Complete == 1, sum: f.Sum}
	}
	for _, e := range d.ExtentTable[:d.Extents] {
		h.extents = append(h.extents, extent{int(e.File), e.Start, e.Count})
	}
	if err := h.check(s.chunks()); err != nil {
		return nil, err
	}
	return h, nil
}

// text returns the text before the first zero byte; nothing if it is none that
// can be printed.
func text(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	s := string(b)
	if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return s
}

// check checks that what a header says can be.
func (h *header) check(chunks uint32) error {
	var room [maxFiles]int64
	for _, e := range h.extents {
		if e.file < 0 || e.file >= maxFiles || e.count == 0 || e.start >= chunks || e.count > chunks-e.start {
			return fmt.Errorf("%w: extent %+v", errDamaged, e)
		}
		room[e.file] += int64(e.count) * chunkSize
	}
	sorted := slices.SortedFunc(slices.Values(h.extents), func(a, b extent) int { return cmp.Compare(a.start, b.start) })
	for i := 1; i < len(sorted); i++ {
		if sorted[i].start < sorted[i-1].end() {
			return fmt.Errorf("%w: extents %+v and %+v overlap", errDamaged, sorted[i-1], sorted[i])
		}
	}
	names := map[string]bool{}
	for i, f := range h.files {
		switch {
		case f.name == "" && (f.size != 0 || room[i] != 0):
			return fmt.Errorf("%w: file %d has no name", errDamaged, i)
		case f.name != "" && (checkPath(f.name) != nil || names[f.name]):
			return fmt.Errorf("%w: name %q", errDamaged, f.name)
		case f.size < 0 || f.size > room[i]:
			return fmt.Errorf("%w: %s has %d bytes in %d", errDamaged, f.name, f.size, room[i])
		}
		names[f.name] = true
	}
	return nil
}

// checkPath checks the name of a file: two parts that can be names of files
// anywhere.
func checkPath(path string) error {
	dir, name, _ := strings.Cut(path, "/")
	for _, part := range []string{dir, name} {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\x00") {
			return fmt.Errorf("%.60q cannot be the name of a file", path)
		}
	}
	if max := len(diskEntry{}.Name); len(path) > max || text([]byte(path)) != path {
		return fmt.Errorf("%.60q: names on a dump device are %d printable bytes at the most", path, max)
	}
	return nil
}
