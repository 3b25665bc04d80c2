// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"testing"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/vmcore"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// FuzzFilter overwrites words of a core: each 12 bytes of damage are an offset
// in the file and what to put there. Whatever the headers, VMCOREINFO, page
// tables, sections and struct pages say then, the filter ends.
func FuzzFilter(f *testing.F) {
	le := binary.LittleEndian
	var cores []*coretest.Core
	for _, model := range []coretest.Model{coretest.Extreme, coretest.Static, coretest.Flat} {
		for _, era := range []*coretest.Era{coretest.Linux6_1(), coretest.Linux7_2()} {
			cores = append(cores, coretest.Kernel{
				Era: era, Model: model, RAM: []mem.PhysRange{{Start: 1 << 20, End: 1<<20 + 64<<12}},
				Blocks: []coretest.Block{
					{PFN: 0x100, Order: 3, Is: buddy}, {PFN: 0x108, Order: 3, Is: lru}, {PFN: 0x110, Is: lru | anon, Times: 8},
					{PFN: 0x120, Order: 4, Is: huge},
				},
			}.Build())
		}
	}
	// The seeds change words in every part that has a meaning.
	for i, c := range cores {
		change := func(where []byte, v uint64) {
			at := len(c.File) - cap(where)
			f.Add(uint8(i), le.AppendUint64(le.AppendUint32(nil, uint32(at)), v))
		}
		change(c.File[64+56+24:], 1<<51)          // a segment's physical address
		change(c.File[64+56+40:], 1<<51)          // its size in memory
		change(c.Phys(c.Root)[8*0x1d4:], 1<<51|3) // page tables
		change(c.Virt(c.PageAddr(0x100))[coretest.PrivateField:], 1<<63)
		change(c.Virt(c.PageAddr(0x108))[coretest.Flags:], 1<<63-1)
		change(c.Virt(c.PageAddr(0x121))[coretest.Flags:], 1<<63-1)
		at := bytes.Index(c.File, []byte("SIZE(page)"))
		f.Add(uint8(i), append(le.AppendUint32(nil, uint32(at+8)), "=1\n SIZE"...))
	}
	f.Fuzz(func(t *testing.T, which uint8, damage []byte) {
		b := bytes.Clone(cores[int(which)%len(cores)].File)
		for ; len(damage) >= 12; damage = damage[12:] {
			at := int(le.Uint32(damage)) % (len(b) - 8)
			copy(b[at:], damage[4:12])
		}
		sel := filterBytes(t, b)
		if sel == nil {
			return
		}
		for p := sel.Kept.NextSet(0); p < sel.Kept.Len(); {
			run := sel.Kept.NextRun(p)
			if n := sel.RAM.CountRange(run); n != run.Len() {
				t.Fatalf("of the kept pages %#x only %d are memory", run, n)
			}
			p = sel.Kept.NextSet(run.End)
		}
	})
}

// filterBytes does everything that can be done with the core in b; nil if it
// cannot be filtered.
func filterBytes(t *testing.T, b []byte) *pagefilter.Selection {
	source, err := elfcore.New(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil
	}
	core := &vmcore.Core{Source: source, Path: "vmcore", InfoErr: vmcore.ErrNoInfo}
	if note, ok := elfcore.FindVMCoreInfo(source.Notes(), source.Order()); ok {
		core.Info, core.InfoErr = vmcoreinfo.Parse(note.Desc)
	}
	space, err := addrxlat.New(core)
	if err != nil {
		return nil
	}
	pages, err := memmap.Find(core, space)
	if err != nil {
		return nil
	}
	sel, err := pagefilter.Filter(context.Background(), core, space, pages,
		pagefilter.Options{Level: pagefilter.LevelMax, Threads: 2, StructPages: true})
	if err != nil {
		t.Fatal(err)
	}
	return sel
}
