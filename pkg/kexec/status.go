// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kexec

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/ukdump/ukdump/pkg/mem"
)

// Status is what the running kernel says about its capture kernel.
type Status struct {
	// Reserved is how many bytes crashkernel= set aside, low memory for
	// crashkernel=…,high included; 0 if none.
	Reserved uint64
	// Ranges is where they lie. The kernel shows that to root only: nil for
	// everyone else.
	Ranges []mem.PhysRange
	// Armed says that a capture kernel is loaded: a panic boots it.
	Armed bool
}

// ReadStatus asks the running kernel. It needs no privilege. The error is
// ErrNotSupported on a kernel without crash kexec.
func ReadStatus() (Status, error) { return readStatus(os.DirFS("/")) }

// readStatus reads the status of the machine whose file system root is.
func readStatus(root fs.FS) (Status, error) {
	size, err := readNumber(root, "sys/kernel/kexec_crash_size")
	if errors.Is(err, fs.ErrNotExist) {
		return Status{}, ErrNotSupported
	}
	if err != nil {
		return Status{}, err
	}
	armed, err := readNumber(root, "sys/kernel/kexec_crash_loaded")
	if err != nil {
		return Status{}, err
	}
	st := Status{Reserved: size, Armed: armed != 0}
	iomem, err := fs.ReadFile(root, "proc/iomem")
	if err != nil {
		return st, nil // only the addresses are lost
	}
	st.Ranges = crashRanges(iomem)
	total := uint64(0)
	for _, r := range st.Ranges {
		total += r.Len()
	}
	// kexec_crash_size leaves out the low memory of crashkernel=…,high.
	st.Reserved = max(st.Reserved, total)
	return st, nil
}

func readNumber(root fs.FS, name string) (uint64, error) {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("/%s: not a number: %q", name, b)
	}
	return n, nil
}

// crashRanges picks the "Crash kernel" lines out of /proc/iomem, for example
//
//	2b000000-3affffff : Crash kernel
//
// whose second address is the last byte of the range. Without privilege every
// address there is 0; such lines are left out.
func crashRanges(iomem []byte) []mem.PhysRange {
	var ranges []mem.PhysRange
	lines := bufio.NewScanner(bytes.NewReader(iomem))
	for lines.Scan() {
		addrs, name, ok := strings.Cut(strings.TrimSpace(lines.Text()), " : ")
		if !ok || name != "Crash kernel" {
			continue
		}
		first, last, _ := strings.Cut(addrs, "-")
		start, err1 := strconv.ParseUint(first, 16, 64)
		end, err2 := strconv.ParseUint(last, 16, 64)
		if err1 != nil || err2 != nil || end <= start || end+1 == 0 {
			continue
		}
		ranges = append(ranges, mem.PhysRange{Start: mem.PhysAddr(start), End: mem.PhysAddr(end + 1)})
	}
	return ranges
}
