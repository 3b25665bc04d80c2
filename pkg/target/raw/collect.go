// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package raw

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/ukdump/ukdump/pkg/target/direct"
)

// ErrChecksum says that a file is not what was written.
var ErrChecksum = errors.New("checksum mismatch")

// Device is a device whose dumps are read, by the host.
type Device struct{ vol *volume }

// Slot is a slot of a device and what is in it.
type Slot struct {
	Index   int
	Owner   string    // the machine that uses it, or was the last to do so
	State   string    // "free", "busy" or "closed"
	Written time.Time // the last time that its header was
	Lease   time.Time // until when a busy slot is taken to be in use
	Size    int64     // how much it can hold, in bytes
	Files   []Entry
	h       *header
}

// Entry is a file in a slot.
type Entry struct {
	Name     string // DIRECTORY/FILE, both of which can be names anywhere
	Size     int64  // in bytes
	Complete bool
	index    int
}

// OpenDevice opens a device of ours.
func OpenDevice(path string) (*Device, error) {
	d, err := openDisk(path)
	if err != nil {
		return nil, err
	}
	sb, err := readSuperblock(d)
	if err != nil {
		d.Close()
		return nil, err
	}
	return &Device{newVolume(d, sb)}, nil
}

// Close closes the device.
func (d *Device) Close() error { return d.vol.Close() }

// Slots returns the slots. Those whose headers cannot be read are left out, and
// the error is about them.
func (d *Device) Slots() ([]Slot, error) {
	var slots []Slot
	var problems error
	for i := range d.vol.slots {
		h, err := d.vol.readHeader(i)
		if err != nil {
			problems = errors.Join(problems, err)
			continue
		}
		s := Slot{Index: i, Owner: h.owner, State: h.state.String(), Written: h.written, Lease: h.lease,
			Size: int64(d.vol.chunks()) * chunkSize, h: h}
		for index, f := range h.files {
			if f.name != "" {
				s.Files = append(s.Files, Entry{f.name, f.size, f.complete, index})
			}
		}
		slots = append(slots, s)
	}
	return slots, problems
}

// Copy writes the contents of a file to w. If a complete one is not what was
// written, the error wraps ErrChecksum, and w has got all of it.
func (d *Device) Copy(w io.Writer, s Slot, f Entry) error {
	sum := crc32.New(castagnoli())
	buf := direct.Buffer(chunkSize)
	for off := int64(0); off < f.Size; off += chunkSize {
		chunk, _ := s.h.locate(f.index, uint32(off/chunkSize))
		n := min(chunkSize, f.Size-off)
		whole := (n + direct.Alignment - 1) &^ (direct.Alignment - 1)
		if _, err := d.vol.ReadAt(buf[:whole], d.vol.chunkAt(s.Index, chunk)); err != nil {
			return fmt.Errorf("reading %s from slot %d of %v: %w", f.Name, s.Index, d.vol.device, err)
		}
		sum.Write(buf[:n])
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
	}
	if want := s.h.files[f.index].sum; f.Complete && sum.Sum32() != want {
		return fmt.Errorf("%s in slot %d of %v: %w: %08x, want %08x", f.Name, s.Index, d.vol.device, ErrChecksum, sum.Sum32(), want)
	}
	return nil
}

// ErrChanged says that a slot has been written to since it was read.
var ErrChanged = errors.New("the slot has changed")

// Free empties a slot. The owner's note stays, until another machine takes the
// slot.
func (d *Device) Free(s Slot) error {
	now, err := d.vol.readHeader(s.Index)
	if err != nil {
		return err
	}
	if now.nonce != s.h.nonce || now.seq != s.h.seq {
		return fmt.Errorf("slot %d of %v: %w", s.Index, d.vol.device, ErrChanged)
	}
	return d.vol.writeHeader(&header{slot: now.slot, seq: now.seq, state: free, owner: now.owner,
		written: time.Now(), noteName: now.noteName, note: now.note})
}
