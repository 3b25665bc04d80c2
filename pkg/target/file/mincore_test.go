// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package file

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// mincore sets pages[i] to 1 if page i of the mapping is in memory; see
// mincore(2).
func mincore(mapping, pages []byte) error {
	_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(unsafe.SliceData(mapping))),
		uintptr(len(mapping)), uintptr(unsafe.Pointer(unsafe.SliceData(pages))))
	if errno != 0 {
		return errno
	}
	return nil
}
