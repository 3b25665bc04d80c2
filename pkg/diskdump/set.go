// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/ukdump/ukdump/pkg/mem"
)

// Set is the parts of a split dump, which together are one. It implements
// vmcore.Source. The pages of parts that it does not have are excluded.
type Set struct {
	any   *Dump // a part, for what they all have in common
	parts []*Dump
}

// Join makes a set of parts of one split dump, in any order. It owns them from
// then on.
func Join(parts []*Dump) (*Set, error) {
	if len(parts) == 0 {
		return nil, errors.New("no parts of a split dump")
	}
	s := &Set{any: parts[0], parts: slices.Clone(parts)}
	slices.SortFunc(s.parts, func(a, b *Dump) int {
		return cmp.Or(cmp.Compare(a.meta.Part.Start, b.meta.Part.Start), cmp.Compare(a.meta.Part.End, b.meta.Part.End))
	})
	for i, d := range s.parts {
		if !d.meta.Split {
			return nil, fmt.Errorf("%w: not a part of a split dump", ErrFormat)
		}
		if !d.sibling(s.any) {
			return nil, fmt.Errorf("%w: parts of different dumps", ErrFormat)
		}
		if i > 0 && d.meta.Part.Start < s.parts[i-1].meta.Part.End {
			return nil, fmt.Errorf("%w: two parts of the split dump have page frame %#x", ErrFormat, uint64(d.meta.Part.Start))
		}
	}
	return s, nil
}

// sibling reports whether two parts belong to one dump. The status may differ,
// as one part may be incomplete.
func (d *Dump) sibling(o *Dump) bool {
	a, b := d.main, o.main
	a.status, b.status = 0, 0
	return a == b && d.abi == o.abi && d.maxMapNr == o.maxMapNr && bytes.Equal(d.meta.Notes, o.meta.Notes)
}

// Parts returns the parts in the order of their page frames.
func (s *Set) Parts() []*Dump { return s.parts }

// Missing returns the page frames that no part of the set has.
func (s *Set) Missing() []mem.PFNRange {
	var missing []mem.PFNRange
	var end mem.PFN
	for _, d := range s.parts {
		if d.meta.Part.Start > end {
			missing = append(missing, mem.PFNRange{Start: end, End: d.meta.Part.Start})
		}
		end = d.meta.Part.End
	}
	if end < s.any.maxMapNr {
		missing = append(missing, mem.PFNRange{Start: end, End: s.any.maxMapNr})
	}
	return missing
}

// Meta returns what the parts say of the machine and themselves. It is
// incomplete if any part is.
func (s *Set) Meta() *Meta {
	m := s.any.meta
	m.Split, m.Part = false, mem.PFNRange{}
	for _, d := range s.parts {
		m.Status |= d.meta.Status
	}
	return &m
}

// Notes returns the contents of the core's PT_NOTE segment.
func (s *Set) Notes() []byte { return s.any.Notes() }

// Order returns the byte order of the crashed machine.
func (s *Set) Order() binary.ByteOrder { return s.any.Order() }

// Machine returns the crashed machine's architecture by its utsname name.
func (s *Set) Machine() string { return s.any.Machine() }

// PageSize returns the crashed machine's page size in bytes.
func (s *Set) PageSize() uint64 { return s.any.PageSize() }

// End returns the address behind the last page frame of the bitmaps.
func (s *Set) End() mem.PhysAddr { return s.any.End() }

// FillRAM implements vmcore.Source.
func (s *Set) FillRAM(set *mem.Bitmap, shift uint) { s.any.FillRAM(set, shift) }

// FillPresent implements vmcore.Source.
func (s *Set) FillPresent(set *mem.Bitmap, shift uint) {
	for _, d := range s.parts {
		d.FillPresent(set, shift)
	}
}

// ReadPhys implements mem.PhysReader.
func (s *Set) ReadPhys(p []byte, addr mem.PhysAddr) error {
	for len(p) > 0 {
		n := min(uint64(len(p)), s.PageSize()-uint64(addr)%s.PageSize())
		if err := s.parts[s.find(addr)].ReadPhys(p[:n], addr); err != nil {
			return err
		}
		p, addr = p[n:], addr+mem.PhysAddr(n)
	}
	return nil
}

// find returns the number of the part that addr lies in, or of one that says
// why there is none.
func (s *Set) find(addr mem.PhysAddr) int {
	pfn := addr.PFN(s.any.meta.Shift())
	i := sort.Search(len(s.parts), func(i int) bool { return s.parts[i].meta.Part.End > pfn })
	return min(i, len(s.parts)-1)
}

// NewView implements vmcore.Source.
func (s *Set) NewView() mem.View { return &setView{s: s} }

// setView is a window onto the part that was looked at last.
type setView struct {
	s    *Set
	part int
	view mem.View // onto part; nil if there is none yet
}

// Slice implements mem.View.
func (v *setView) Slice(addr mem.PhysAddr, n int) ([]byte, error) {
	if part := v.s.find(addr); v.view == nil || part != v.part {
		v.part, v.view = part, v.s.parts[part].NewView()
	}
	return v.view.Slice(addr, n)
}

// Close implements mem.View.
func (v *setView) Close() error { return nil }

// Close closes all parts.
func (s *Set) Close() error {
	var errs []error
	for _, d := range s.parts {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}
