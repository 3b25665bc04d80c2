// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package elfcore reads and writes ELF cores of a whole machine: /proc/vmcore
// as the Linux capture kernel builds it (fs/proc/vmcore.c), copies of it, and
// what makedumpfile -E writes. Program headers of type PT_LOAD say which
// physical memory lies where in the file; one PT_NOTE holds the registers of
// every CPU and VMCOREINFO.
package elfcore
