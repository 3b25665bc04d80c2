// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package collector

import (
	"bytes"
	"strings"
	"time"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/diskdump"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// describer is a core with a header of its own: diskdump.Dump.
type describer interface{ Meta() *diskdump.Meta }

// meta returns what the dump's header says about the crashed machine. A dump
// that is filtered again keeps what it says.
func meta(core *vmcore.Core) diskdump.Meta {
	if d, ok := core.Source.(describer); ok {
		m := *d.Meta()
		m.Status, m.Split, m.Part = 0, false, mem.PFNRange{}
		m.Notes = notes(core)
		if m.Uts.Version == "" { // QEMU writes dumps and knows nothing of kernels
			m.Uts, m.PhysBase = utsname(core), physBase(core)
		}
		return m
	}
	m := diskdump.Meta{
		Order: core.Order(),
		Uts:   utsname(core),
		CPUs:  max(elfcore.CountCPUs(core.Notes(), core.Order()), 1),
		Notes: notes(core),
		Time:  time.Now().Unix(),

		PhysBase: physBase(core),
	}
	if core.Info != nil && core.Info.CrashTime() != 0 {
		m.Time = core.Info.CrashTime()
	}
	return m
}

// physBase returns phys_base, on architectures that have such a thing.
func physBase(core *vmcore.Core) uint64 {
	if core.Info == nil {
		return 0
	}
	n, _ := core.Info.Number("phys_base")
	return uint64(n)
}

// notes returns the core's notes, as they are but for VMCOREINFO that was come by
// otherwise, for a core that had none: who reads the dump needs it as well.
func notes(core *vmcore.Core) []byte {
	b := core.Notes()
	note, ok := elfcore.FindVMCoreInfo(b, core.Order())
	if core.Info == nil || ok && bytes.Equal(note.Desc, core.Info.Raw()) {
		return b
	}
	return elfcore.ReplaceVMCoreInfo(b, core.Order(), core.Info.Raw())
}

// utsname returns the crashed kernel's utsname, from its memory. What cannot be
// read is filled in from VMCOREINFO and the core's header. The version must not
// be empty: libkdumpfile does not believe such a header, and drgn then cannot
// open the dump.
func utsname(core *vmcore.Core) diskdump.Utsname {
	uts := diskdump.Utsname{Sysname: "Linux", Nodename: "(none)", Version: "(unknown)", Machine: core.Machine()}
	if core.Info == nil {
		return uts
	}
	uts.Release = core.Info.OSRelease()
	fields, ok := readUtsname(core)
	if !ok || fields[2] != uts.Release {
		return uts
	}
	return diskdump.Utsname{
		Sysname: fields[0], Nodename: fields[1], Release: fields[2],
		Version: fields[3], Machine: uts.Machine, Domainname: fields[5],
	}
}

// readUtsname reads init_uts_ns.name, a struct new_utsname: six strings in 65
// bytes each (include/uapi/linux/utsname.h).
func readUtsname(core *vmcore.Core) (fields [6]string, ok bool) {
	const fieldSize = 65
	symbol, haveSymbol := core.Info.Symbol("init_uts_ns")
	offset, haveOffset := core.Info.Offset("uts_namespace.name")
	if !haveOffset {
		// VMCOREINFO has it since 5.11 (commit ca4a9241cc5e); before, a kref of
		// four bytes was the only thing in front of the name.
		offset = 4
	}
	if !haveSymbol || offset > 4096 {
		return fields, false
	}
	space, err := addrxlat.New(core)
	if err != nil {
		return fields, false
	}
	var buf [len(fields) * fieldSize]byte
	if err := space.ReadVirt(buf[:], symbol+mem.VirtAddr(offset)); err != nil {
		return fields, false
	}
	for i := range fields {
		text, _, _ := bytes.Cut(buf[i*fieldSize:(i+1)*fieldSize], []byte{0})
		fields[i] = strings.ToValidUTF8(string(text), "?")
	}
	return fields, true
}
