// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package raw

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/target/direct"
)

// device is what the format is written to. Tests have one that remembers every
// write.
type device interface {
	// ReadAt reads from the disk itself, where other machines' writes are seen.
	// The buffer comes from direct.Buffer, and what is read is aligned to 4 KiB.
	io.ReaderAt
	// WriteAt writes a header, from a buffer of the same kind.
	io.WriterAt
	// data returns access to the contents of one file, for one goroutine.
	data() readWriterAt
	// Sync flushes all that was written to the disk.
	Sync() error
	io.Closer
	size() (int64, error)
	String() string
}

type readWriterAt interface {
	io.ReaderAt
	io.WriterAt
}

// disk is a block device, or a file that stands for one.
type disk struct {
	file   *os.File
	direct *os.File // with O_DIRECT; nil where that does not exist
}

// openDisk opens a device. It fails while something else on this machine uses
// it, such as a mounted file system.
func openDisk(path string) (*disk, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_EXCL, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%s is in use: is it, or a partition on it, mounted? %w", path, err)
	}
	if err != nil {
		return nil, err
	}
	d := &disk{file: f}
	if f, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT, 0); err == nil {
		d.direct = f
	}
	return d, nil
}

func (d *disk) size() (int64, error) { return d.file.Seek(0, io.SeekEnd) }
func (d *disk) String() string       { return d.file.Name() }

// ReadAt implements device.
func (d *disk) ReadAt(p []byte, off int64) (int, error) {
	if d.direct != nil {
		if n, err := d.direct.ReadAt(p, off); !errors.Is(err, unix.EINVAL) {
			return n, err
		}
	}
	unix.Fadvise(int(d.file.Fd()), off, int64(len(p)), unix.FADV_DONTNEED)
	return d.file.ReadAt(p, off)
}

// WriteAt implements device.
func (d *disk) WriteAt(p []byte, off int64) (int, error) {
	w := direct.Writer{File: d.file, Direct: d.direct}
	return w.WriteAt(p, off)
}

func (d *disk) data() readWriterAt {
	return struct {
		io.ReaderAt
		io.WriterAt
	}{d.file, &direct.Writer{File: d.file, Direct: d.direct}}
}

// Sync implements device.
func (d *disk) Sync() error { return unix.Fdatasync(int(d.file.Fd())) }

// Close implements device.
func (d *disk) Close() error {
	err := d.file.Close()
	if d.direct != nil {
		err = errors.Join(err, d.direct.Close())
	}
	return err
}

// volume is a device with what its superblock says.
type volume struct {
	device
	superblock
	buf []byte // for one header
}

func newVolume(d device, sb superblock) *volume {
	return &volume{d, sb, direct.Buffer(headerSize)}
}

// readSuperblock reads both superblocks and requires that those that can be read
// are the same.
func readSuperblock(d device) (superblock, error) {
	size, err := d.size()
	if err != nil {
		return superblock{}, err
	}
	var unreadable error
	var found *superblock
	var first []byte
	for i := range int64(2) {
		block := direct.Buffer(superblockSize)
		if _, err := d.ReadAt(block, i*superblockSize); err != nil {
			unreadable = errors.Join(unreadable, err)
			continue
		}
		sb, err := decodeSuperblock(block, size)
		if err != nil {
			return superblock{}, fmt.Errorf("%v: %w", d, err)
		}
		if found != nil && !bytes.Equal(first, block) {
			return superblock{}, fmt.Errorf("%v: %w", d, ErrNotFormatted)
		}
		found, first = &sb, block
	}
	if found == nil {
		return superblock{}, fmt.Errorf("%v: %w", d, unreadable)
	}
	return *found, nil
}

// readHeader returns the header of a slot that counts. One that cannot be read
// may have been the newer one, but there is no knowing.
func (v *volume) readHeader(slot int) (*header, error) {
	var newest *header
	var problems error
	for seq := range uint64(2) {
		if _, err := v.ReadAt(v.buf, v.headerAt(slot, seq)); err != nil {
			problems = errors.Join(problems, err)
			continue
		}
		h, err := v.decodeHeader(v.buf, slot)
		if err != nil {
			problems = errors.Join(problems, err)
			continue
		}
		if newest == nil || h.seq > newest.seq {
			newest = h
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("%v, slot %d: %w", v.device, slot, problems)
	}
	return newest, nil
}

// writeHeader writes the next state of a slot over its older header. Until it
// returns nil, the header has the number it had: if it is written once more, it
// goes to the same place, as the other may be the only valid one.
func (v *volume) writeHeader(h *header) error {
	next := *h
	next.seq++
	next.encode(v.buf, v.id)
	_, err := v.WriteAt(v.buf, v.headerAt(h.slot, next.seq))
	if err == nil {
		err = v.Sync()
	}
	if err != nil {
		return fmt.Errorf("writing the header of slot %d of %v: %w", h.slot, v.device, err)
	}
	h.seq = next.seq
	return nil
}
