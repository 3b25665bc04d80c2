// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

//go:build image

package vmcore

// formats are the formats that Open knows. The capture kernel has only its own
// /proc/vmcore to read; the rest would be memory that the machine lacks.
var formats = []format{elf}
