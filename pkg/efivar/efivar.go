// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package efivar keeps a few kilobytes in the variables of EFI firmware, which
// survive a reboot on machines where nothing else can be written. It sees the
// variables of one vendor GUID, ours, through the kernel's efivarfs
// (Documentation/filesystems/efivarfs.rst).
//
// That memory is small, wears out, and there were machines that did not start any
// more once it was full. So nothing is written unless the kernel tells how much is
// free (since Linux 6.5), and never more than a part of that.
package efivar

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// GUID is the vendor of our variables.
	GUID = "a993b8de-c504-49a7-aa87-b388104a4b0e"
	// MaxData bounds one variable, in bytes: what every firmware takes
	// (EFIVARS_DATA_SIZE_MAX in drivers/firmware/efi/efi-pstore.c).
	MaxData = 1024
	// MaxTotal bounds all of our variables, in bytes.
	MaxTotal = 64 << 10
	// MaxVariables is how many of our variables are looked at.
	MaxVariables = 256
	// leastFree is how much must be free if anything is to be written, in bytes.
	leastFree = 16 << 10
	// overhead is counted for each variable besides its name and data: the header
	// that firmware stores, with room to spare.
	overhead = 80
	// attributes of ours: they are kept without power, and can be used while an
	// operating system runs (UEFI specification, 8.2 GetVariable).
	attributes     = 1<<0 | 1<<1 | 1<<2
	attributesSize = 4
)

// ErrNoRoom is wrapped by errors of Write that are about the size of the memory.
var ErrNoRoom = errors.New("too little room in the EFI variables")

// Vars are our variables.
type Vars struct {
	dir string // where efivarfs is mounted
}

// Open returns the variables in the efivarfs that is mounted at dir. It is an
// error that wraps errors.ErrUnsupported if none is.
func Open(dir string) (*Vars, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if int64(st.Type) != unix.EFIVARFS_MAGIC {
		return nil, fmt.Errorf("%s: no efivarfs: %w", dir, errors.ErrUnsupported)
	}
	return &Vars{dir}, nil
}

// Names returns the names of our variables, MaxVariables at the most.
func (v *Vars) Names() ([]string, error) {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ours := strings.CutSuffix(e.Name(), "-"+GUID); ours && len(names) < MaxVariables {
			names = append(names, name)
		}
	}
	return names, nil
}

// Read returns the value of a variable; nothing if there is none of that name.
func (v *Vars) Read(name string) ([]byte, error) {
	f, err := os.Open(v.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// The kernel has the attributes in front of the value.
	b := make([]byte, attributesSize+MaxData+1)
	n, err := f.Read(b)
	switch {
	case err != nil:
		return nil, fmt.Errorf("EFI variable %s: %w", name, err)
	case n < attributesSize:
		return nil, fmt.Errorf("EFI variable %s: %d bytes", name, n)
	case n == len(b):
		return nil, fmt.Errorf("EFI variable %s: over %d bytes", name, MaxData)
	}
	return b[attributesSize:n], nil
}

// Write sets a variable. It survives a reboot when Write returns nil.
func (v *Vars) Write(name string, value []byte) error {
	if len(value) == 0 || len(value) > MaxData {
		return fmt.Errorf("EFI variable %s: %d bytes, it can have 1 to %d", name, len(value), MaxData)
	}
	if room, err := v.Room(); err != nil {
		return err
	} else if need := int64(len(name)*2 + len(value) + overhead); need > room {
		return fmt.Errorf("EFI variable %s: %w: %d bytes left of what may be used", name, ErrNoRoom, room)
	}
	if err := v.release(name); err != nil {
		return err
	}
	f, err := os.OpenFile(v.path(name), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	// The kernel takes a value in a single write.
	data := append(binary.LittleEndian.AppendUint32(nil, attributes), value...)
	_, err = f.Write(data)
	err = errors.Join(err, f.Close())
	if err != nil {
		_ = v.Remove(name) // which is empty now
	}
	if errors.Is(err, unix.ENOSPC) {
		err = fmt.Errorf("%w: %w", ErrNoRoom, err)
	}
	return err
}

// Remove removes a variable; one that is not there is no error.
func (v *Vars) Remove(name string) error {
	if err := v.release(name); err != nil {
		return err
	}
	if err := os.Remove(v.path(name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// release lets a variable be changed: efivarfs makes files of names that it does
// not know immutable, as there is firmware that does not start without some
// variable.
func (v *Vars) release(name string) error {
	f, err := os.Open(v.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// FS_IMMUTABLE_FL, the only flag that efivarfs has, is taken away.
	err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
	if err != nil {
		return fmt.Errorf("EFI variable %s: making it changeable: %w", name, err)
	}
	return nil
}

// Room returns how many bytes may still be written, names and overhead among
// them: half of what is free, and no more than MaxTotal with what is there.
func (v *Vars) Room() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(v.dir, &st); err != nil {
		return 0, fmt.Errorf("%s: %w", v.dir, err)
	}
	// Kernels that ask the firmware give the exact number of bytes.
	if st.Bsize != 1 || st.Blocks == 0 {
		return 0, fmt.Errorf("%w: the kernel does not tell how much there is", ErrNoRoom)
	}
	used, err := v.used()
	if err != nil {
		return 0, err
	}
	return room(int64(st.Bavail), used), nil
}

// room returns how much may be written where so much is free, and we use so much.
func room(free, used int64) int64 {
	if free < leastFree {
		return 0
	}
	// Half of what was free before we came.
	return max(0, min((free+used)/2, MaxTotal)-used)
}

// used returns the size of our variables.
func (v *Vars) used() (int64, error) {
	names, err := v.Names()
	used := int64(0)
	for _, name := range names {
		if info, err := os.Stat(v.path(name)); err == nil {
			used += int64(len(name)*2) + info.Size() + overhead
		}
	}
	return used, err
}

func (v *Vars) path(name string) string { return filepath.Join(v.dir, name+"-"+GUID) }
