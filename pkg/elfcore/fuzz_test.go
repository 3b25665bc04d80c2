// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/mem"
)

// FuzzNew opens damaged cores and reads at the edges of everything that they
// claim to have. Two ways to read the same memory must agree.
func FuzzNew(f *testing.F) {
	good := goodCore()
	f.Add(good.Bytes())
	good.Extended = true
	f.Add(good.Bytes())
	good.Class, good.Machine = elf.ELFCLASS32, elf.EM_386
	f.Add(good.Bytes())
	good.Class, good.Machine, good.Order = elf.ELFCLASS64, elf.EM_S390, binary.BigEndian
	f.Add(good.Bytes())
	overlap := goodCore()
	overlap.Segments = append(overlap.Segments, coretest.Segment{Phys: 0x1800, Data: make([]byte, 0x1000)})
	f.Add(overlap.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := newCore(b)
		if err != nil {
			return
		}
		view := c.NewView()
		defer view.Close()
		for _, s := range c.Segments() {
			for _, at := range []mem.PhysAddr{
				s.Phys - 1, s.Phys, s.Phys + mem.PhysAddr(s.FileSize) - 1, s.Phys + mem.PhysAddr(s.FileSize),
				s.Phys + mem.PhysAddr(s.MemSize) - 1, s.Phys + mem.PhysAddr(s.MemSize),
			} {
				compareReads(t, c, view, at)
			}
		}
		if c.End() <= 1<<40 {
			ram, present := mem.NewBitmap(c.End().PFN(12)), mem.NewBitmap(c.End().PFN(12))
			c.FillRAM(ram, 12)
			c.FillPresent(present, 12)
			if last := c.End().PFN(12) - 1; !ram.Test(last) {
				t.Errorf("page frame %#x in front of End() is no memory", last)
			}
			if ram.Count() < present.Count() {
				t.Errorf("%d pages are memory, %d are present", ram.Count(), present.Count())
			}
		}
	})
}

func compareReads(t *testing.T, c *elfcore.Core, view mem.View, at mem.PhysAddr) {
	t.Helper()
	slice, err := view.Slice(at, 100)
	if err != nil {
		if c.ReadPhys(make([]byte, 1), at) == nil {
			t.Errorf("%v can be read, but Slice says %v", at, err)
		}
		return
	}
	buf := make([]byte, len(slice))
	if err := c.ReadPhys(buf, at); err != nil || !bytes.Equal(buf, slice) {
		t.Errorf("%v: Slice gives %x, ReadPhys %x, %v", at, slice, buf, err)
	}
}

func FuzzParseNotes(f *testing.F) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := coretest.Note(order, "CORE", 1, make([]byte, 20))
		f.Add(append(b, coretest.Note(order, "VMCOREINFO", 0, []byte("PAGESIZE=4096\n"))...), order == binary.BigEndian)
	}
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		notes, _ := elfcore.ParseNotes(b, order)
		for _, n := range notes {
			if !bytes.Equal(n.Desc, b[n.DescOffset:][:len(n.Desc)]) {
				t.Errorf("DescOffset of %q does not point to its description", n.Name)
			}
		}
	})
}
