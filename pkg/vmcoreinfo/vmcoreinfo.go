// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package vmcoreinfo reads the text that a Linux kernel leaves about itself in
// the VMCOREINFO ELF note of its core: release, page size, symbol addresses,
// structure sizes and offsets, constants. It is the first source of every
// layout that the packages above need.
//
// The format is "KEY=VALUE" lines (kernel/vmcore_info.c, kernel/crash_core.c
// before 6.9; Documentation/admin-guide/kdump/vmcoreinfo.rst lists the keys).
// Symbol addresses are written in hexadecimal and are run-time addresses, with
// the KASLR offset in them; every other number is decimal.
package vmcoreinfo
