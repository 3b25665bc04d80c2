// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/ukdump/ukdump/pkg/addrxlat"
	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/memmap"
	"github.com/ukdump/ukdump/pkg/pagefilter"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// The synthetic core is that of a machine with a terabyte or more. On the disk
// it takes less than a gigabyte: the struct pages of 8 GiB of memory are there,
// and those of all the rest are mapped to the same ones, which is more than fits
// into any cache. The memory itself is one range of the file, seen at every
// multiple of dataSize, with holes where no page is kept.
const (
	sectionSize   = uint64(coretest.SectionPages) << pageShift
	templates     = 64 // sections whose struct pages are there
	templatesSize = templates * sectionSize
	firstSection  = 4 << 30 / sectionSize // behind the kernel's own memory
	dataSize      = 128 << 30
	dataOffset    = 1 << 30 // in the file
	pageShift     = 12
	pageSize      = 1 << pageShift
	hugePages     = 512
	chunksAtATime = int(coretest.SectionPages / hugePages)
	uniqueOffset  = 2048 // in a page of data: a number that no other page has
)

// makeSynthetic makes the core of a machine with size bytes of memory, a power of
// two from templatesSize on, unless it is there. The contents of what is kept
// are taken from a real core.
func makeSynthetic(path string, size uint64, real string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	fmt.Fprintf(os.Stderr, "making %s\n", path)
	kernel := coretest.Kernel{
		Era: coretest.Linux6_1(), Vmemmap: 2 << 20,
		Repeat: coretest.Repeat{First: firstSection, Count: templates, Times: size / templatesSize},
		Segments: func(segments []coretest.Segment) []coretest.Segment {
			for at := uint64(0); at < size; at += dataSize {
				segments = append(segments, coretest.Segment{
					Phys: mem.PhysAddr(firstSection*sectionSize + at), Offset: dataOffset, FileSize: min(dataSize, size),
				})
			}
			return segments
		},
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range uint64(templates) {
		addSection(&kernel, mem.PFN(firstSection+i)*coretest.SectionPages, rnd)
	}
	core := kernel.Build()
	if len(core.File) > dataOffset {
		return fmt.Errorf("%d bytes of tables and struct pages, want at most %d", len(core.File), dataOffset)
	}
	part := path + ".part"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(part, core.File, 0o644); err != nil {
		return err
	}
	if err := os.Truncate(part, dataOffset+dataSize); err != nil {
		return err
	}
	if err := fillKept(part, real); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// addSection says what the pages of a section are: on a machine in use, little
// else than user memory, page cache and free pages.
func addSection(k *coretest.Kernel, first mem.PFN, rnd *rand.Rand) {
	const user = coretest.LRU | coretest.Anon | coretest.SwapBacked
	const cache = coretest.LRU | coretest.Mapping
	slabs := rnd.IntN(chunksAtATime)
	for chunk := range chunksAtATime {
		pfn := first + mem.PFN(chunk*hugePages)
		add := func(order uint, is coretest.Is, pages int) {
			k.Blocks = append(k.Blocks, coretest.Block{PFN: pfn, Order: order, Is: is, Times: pages >> order})
			pfn += mem.PFN(pages)
		}
		switch n := rnd.IntN(100); {
		case chunk == slabs: // 128 pages, which is 0.4 % of the section
			add(3, coretest.Slab, 96)
			add(0, coretest.Slab, 32)
			add(0, cache, hugePages-128)
		case n < 25:
			add(9, user, hugePages)
		case n < 29:
			add(9, user|coretest.HugeTLB, hugePages)
		case n < 45:
			for range 16 {
				shared := k.Fields
				for i := range mem.PFN(4) { // several processes have these
					shared = append(shared, coretest.Field{PFN: pfn + i*7, Name: coretest.MapCount, Value: uint64(1 + i)})
				}
				k.Fields = shared
				add(0, user, hugePages/16)
			}
		case n < 65:
			add(0, cache, hugePages)
		case n < 68:
			add(0, cache|coretest.Private, hugePages)
		case n < 71:
			add(4, cache, hugePages)
		case n < 85:
			add(9, coretest.Buddy, hugePages)
		default: // fragments
			for range 8 {
				add(4, coretest.Buddy, 16)
				add(3, coretest.Buddy, 8)
				add(2, coretest.Buddy, 4)
				add(0, user, 4)
				add(0, cache, 16)
				add(1, coretest.Buddy, 2)
				add(0, coretest.Buddy, 2)
				add(0, cache, 12)
			}
		}
	}
}

// fillKept writes pages of the real core to where the synthetic one at path has
// pages that are kept, each with a number of its own.
func fillKept(path, real string) error {
	samples, err := samplePages(real)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	core, pages, err := choosePages(path, 1)
	if err != nil {
		return err
	}
	defer core.Close()
	const first = mem.PFN(firstSection) * coretest.SectionPages
	n := uint64(0)
	end := min(first+dataSize>>pageShift, pages.Kept.Len())
	for pfn := pages.Kept.NextSet(first); pfn < end; pfn = pages.Kept.NextSet(pfn + 1) {
		p := samples[n%uint64(len(samples))]
		n++
		binary.LittleEndian.PutUint64(p[uniqueOffset:], n*0x9e3779b97f4a7c15)
		if _, err := file.WriteAt(p, int64(dataOffset+(pfn-first)<<pageShift)); err != nil {
			return err
		}
	}
	return file.Close()
}

// samplePages returns pages with data among those of the core that are kept.
func samplePages(path string) ([][]byte, error) {
	core, pages, err := choosePages(path, 1)
	if err != nil {
		return nil, err
	}
	defer core.Close()
	var samples [][]byte
	zero := make([]byte, pageSize)
	for pfn := pages.Kept.NextSet(0); pfn < pages.Kept.Len(); pfn = pages.Kept.NextSet(pfn + 1) {
		p := make([]byte, pageSize)
		if err := core.ReadPhys(p, pfn.Phys(pageShift)); err != nil {
			return nil, err
		}
		if string(p) != string(zero) {
			samples = append(samples, p)
		}
	}
	return samples, nil
}

// choosePages opens a core and filters it at the highest level.
func choosePages(path string, threads int) (*vmcore.Core, *pagefilter.Selection, error) {
	core, err := vmcore.Open(path)
	if err != nil {
		return nil, nil, err
	}
	pages, err := filter(core, threads)
	if err != nil {
		core.Close()
		return nil, nil, err
	}
	return core, pages, nil
}

// filter does what the core collector does before it writes.
func filter(core *vmcore.Core, threads int) (*pagefilter.Selection, error) {
	space, err := addrxlat.New(core)
	if err != nil {
		return nil, err
	}
	sections, err := memmap.Find(core, space)
	if err != nil {
		return nil, err
	}
	if size := core.Info.PageSize(); bits.TrailingZeros64(size) != pageShift {
		return nil, fmt.Errorf("%s has pages of %d bytes", core.Path, size)
	}
	return pagefilter.Filter(context.Background(), core, space, sections,
		pagefilter.Options{Level: pagefilter.LevelMax, Threads: threads})
}
