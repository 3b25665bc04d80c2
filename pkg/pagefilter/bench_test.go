// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/pagefilter"
)

// busyMachine is a machine with 2 GiB in use. Its struct pages are all there and
// differ from section to section; the memory itself is 2 MiB over and over.
func busyMachine(vmemmap uint64) coretest.Kernel {
	const size, repeat = 2 << 30, 2 << 20
	k := coretest.Kernel{
		Era: coretest.Linux6_12(), Vmemmap: vmemmap,
		Absent: []mem.PhysRange{{Start: 128 << 20, End: 128<<20 + size}},
		Segments: func(segments []coretest.Segment) []coretest.Segment {
			segments = segments[:3] // without the absent memory
			for at := mem.PhysAddr(128 << 20); at < 128<<20+size; at += repeat {
				segments = append(segments, coretest.Segment{Phys: at, Offset: 8192, FileSize: repeat})
			}
			return segments
		},
	}
	// Of every 8 MiB: transparent huge pages, page cache, anonymous pages and
	// free blocks, each a quarter but for some slabs.
	for at := mem.PFN(128 << 8); at < (128<<20+size)>>12; at += 2048 {
		k.Blocks = append(k.Blocks,
			coretest.Block{PFN: at, Order: 9, Is: lru | anon | swapBacked},
			coretest.Block{PFN: at + 512, Is: lru | mapping, Times: 512},
			coretest.Block{PFN: at + 1024, Is: lru | anon | swapBacked, Times: 448},
			coretest.Block{PFN: at + 1472, Order: 3, Is: slab, Times: 8},
			coretest.Block{PFN: at + 1536, Order: 4, Is: buddy, Times: 32})
		k.Fields = append(k.Fields, coretest.Field{PFN: at, Name: coretest.PrivateField, Value: uint64(at)})
	}
	return k
}

func BenchmarkFilter(b *testing.B) {
	for _, vmemmap := range []uint64{4 << 10, 2 << 20} {
		core, space, pages := openCore(b, busyMachine(vmemmap).Write(b))
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("vmemmap %d KiB, threads %d", vmemmap>>10, threads), func(b *testing.B) {
				b.ReportAllocs()
				n := uint64(0)
				for b.Loop() {
					sel, err := pagefilter.Filter(context.Background(), core, space, pages,
						pagefilter.Options{Level: pagefilter.LevelMax, Threads: threads})
					if err != nil {
						b.Fatal(err)
					}
					n += sel.RAM.Count()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/page")
			})
		}
	}
}
