// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kexec

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/sys/unix"

	"github.com/ukdump/ukdump/pkg/mem"
)

// iomem is what a machine with crashkernel=192M,high shows to root, shortened.
const iomem = `00000000-00000fff : Reserved
00001000-0009fbff : System RAM
00100000-bffdffff : System RAM
  a7000000-b6ffffff : Crash kernel
  b7000000-b7e01eb7 : Kernel code
100000000-23fffffff : System RAM
  233000000-23effffff : Crash kernel
`

// machine is a file system with what the kernel says there.
func machine(size, loaded, iomem string) fs.FS {
	return fstest.MapFS{
		"sys/kernel/kexec_crash_size":   {Data: []byte(size)},
		"sys/kernel/kexec_crash_loaded": {Data: []byte(loaded)},
		"proc/iomem":                    {Data: []byte(iomem)},
	}
}

func TestReadStatus(t *testing.T) {
	high := []mem.PhysRange{{Start: 0xa7000000, End: 0xb7000000}, {Start: 0x233000000, End: 0x23f000000}}
	for _, tt := range []struct {
		name string
		root fs.FS
		want Status
	}{
		{"nothing reserved", machine("0\n", "0\n", "00001000-0009fbff : System RAM\n"), Status{}},
		{"low and high", machine("201326592\n", "1\n", iomem), Status{Reserved: 0x10000000 + 0xc000000, Ranges: high, Armed: true}},
		{"not root", machine("201326592\n", "0\n", "  00000000-00000000 : Crash kernel\n"), Status{Reserved: 192 << 20}},
		{"odd iomem", machine("4096\n", "0\n", "Crash kernel\n : Crash kernel\n9-1 : Crash kernel\nx-y : Crash kernel\n0-ffffffffffffffff : Crash kernel\n"), Status{Reserved: 4096}},
	} {
		got, err := readStatus(tt.root)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: readStatus = %+v, %v, want %+v", tt.name, got, err, tt.want)
		}
	}
}

func TestReadStatusErrors(t *testing.T) {
	if _, err := readStatus(fstest.MapFS{}); !errors.Is(err, ErrNotSupported) {
		t.Errorf("readStatus without the files = %v, want ErrNotSupported", err)
	}
	for _, root := range []fs.FS{machine("many", "0", ""), machine("0", "", ""), machine("-1", "0", "")} {
		if st, err := readStatus(root); err == nil {
			t.Errorf("readStatus of %v = %+v, want an error", root, st)
		}
	}
}

func TestExplain(t *testing.T) {
	load := loadCall{"/boot/vmlinuz", 8 << 20, "/tmp/image", 3 << 20, 300, Status{Reserved: 16 << 20}}
	long := load
	long.cmdlineLen = 2040
	armed := load
	armed.status.Armed = true
	for _, tt := range []struct {
		errno unix.Errno
		call  loadCall
		want  string
	}{
		{unix.ENOSYS, load, "CONFIG_KEXEC_FILE"},
		{unix.EPERM, load, "run as root"},
		{unix.EPERM, load, "locked down"},
		{unix.EKEYREJECTED, load, "signed"},
		{unix.ENODATA, load, "/boot/vmlinuz has no signature"},
		{unix.EBUSY, load, "try again"},
		{unix.EADDRNOTAVAIL, load, "/boot/vmlinuz (8.0 MiB), with room to unpack itself, and /tmp/image (3.0 MiB) do not fit in the 16.0 MiB"},
		{unix.ENOMEM, load, "reserve more"},
		{unix.ENOEXEC, load, "--kernel-image"},
		{unix.EINVAL, load, "dmesg"},
		{unix.EINVAL, long, "2040 bytes"},
		{unix.EIO, load, "dmesg"},
		{unix.EIO, armed, "the image that was armed before is gone"},
		{unix.EPERM, loadCall{}, "run as root"},
	} {
		err := explain(tt.errno, tt.call)
		if !errors.Is(err, tt.errno) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("explain(%v) = %q, want it to wrap the errno and to say %q", tt.errno, err, tt.want)
		}
	}
}

// TestLoadUnreserved runs Load and Unload for real where they can do no harm:
// on a machine without memory for a capture kernel.
func TestLoadUnreserved(t *testing.T) {
	st, err := ReadStatus()
	if err == nil && (st.Reserved > 0 || st.Armed) {
		t.Skip("this machine has memory reserved for a capture kernel: a test must not disarm it")
	}
	want := ErrNoReservation
	if err != nil {
		want = err
	}
	missing := filepath.Join(t.TempDir(), "missing")
	if err := Load(missing, missing, ""); err == nil || err.Error() != want.Error() {
		t.Errorf("Load = %v, want %v", err, want)
	}
}
