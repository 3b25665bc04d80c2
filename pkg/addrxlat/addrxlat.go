// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package addrxlat translates the crashed kernel's virtual addresses into
// physical ones, by walking its page tables as they lie in the core. There is
// one file per architecture. The name is libkdumpfile's.
package addrxlat

import (
	"errors"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// Space is the crashed kernel's virtual address space. It may be used from
// several goroutines at once.
type Space struct{}

// New finds the kernel's page tables with what VMCOREINFO says of them. It
// fails if core has no VMCOREINFO, if the architecture is not supported, or if
// the tables cannot be those of this kernel.
func New(core *vmcore.Core) (*Space, error) { return nil, errors.New("not written yet") }

// ReadVirt implements mem.VirtReader.
func (s *Space) ReadVirt(p []byte, addr mem.VirtAddr) error { return mem.ErrNotMapped }
