// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build !image

package raw

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/ukdump/ukdump/pkg/target/direct"
)

// ErrNotEmpty says that a device to be formatted has something on it.
var ErrNotEmpty = errors.New("the device is not empty")

// Format makes a device of ours of the block device at path, for that many
// machines. Unless force is set, its first and last MiB must be zeros, which is
// where file systems, partition tables, volume managers, and dumps that nobody
// has copied show; the error wraps ErrNotEmpty otherwise. It fails if the device
// is in use.
//
// It returns the UUID by which the device can be found.
func Format(path string, slots int, force bool) (uuid string, err error) {
	d, err := openDisk(path)
	if err != nil {
		return "", err
	}
	if err := errors.Join(format(d, slots, force), d.Close()); err != nil {
		return "", err
	}
	return readUUID(path)
}

func readUUID(path string) (string, error) {
	d, err := OpenDevice(path)
	if err != nil {
		return "", err
	}
	id := d.vol.id
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]), d.Close()
}

func format(d device, slots int, force bool) error {
	size, err := d.size()
	if err != nil {
		return err
	}
	if slots < 1 || slots > maxSlots {
		return fmt.Errorf("%d slots: there may be from 1 to %d", slots, maxSlots)
	}
	sb := superblock{slots: slots, slotSize: (size - firstSlot) / int64(slots) / chunkSize * chunkSize}
	if sb.slotSize < minSlotSize {
		return fmt.Errorf("%v has %d MiB, %d slots need %d at least", d, size>>20, slots, (int64(slots)*minSlotSize+firstSlot)>>20)
	}
	if _, err := rand.Read(sb.id[:]); err != nil {
		return err
	}
	ends := []int64{0, (size - firstSlot) &^ (direct.Alignment - 1)}
	for _, off := range ends {
		if err := checkEmpty(d, off); err != nil && !force {
			return err
		}
	}
	// What has told others what is on the device must not do so any longer.
	for _, off := range ends {
		if _, err := d.WriteAt(direct.Buffer(firstSlot), off); err != nil {
			return err
		}
	}
	v := newVolume(d, sb)
	for slot := range slots {
		h := header{slot: slot, written: time.Now()}
		if err := errors.Join(v.writeHeader(&h), v.writeHeader(&h)); err != nil {
			return err
		}
	}
	block := direct.Buffer(superblockSize)
	sb.encode(block)
	for i := range int64(2) {
		if _, err := d.WriteAt(block, i*superblockSize); err != nil {
			return err
		}
	}
	return d.Sync()
}

// checkEmpty requires zeros in a MiB of the device.
func checkEmpty(d device, off int64) error {
	buf := direct.Buffer(firstSlot)
	if _, err := d.ReadAt(buf, off); err != nil {
		return err
	}
	for i, b := range buf {
		if b != 0 {
			return fmt.Errorf("%v: %w: it has data at %d", d, ErrNotEmpty, off+int64(i))
		}
	}
	return nil
}
