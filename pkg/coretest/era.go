// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package coretest

import (
	"encoding/binary"
	"strconv"
	"strings"
)

// Era is a range of kernel releases that describe their struct pages alike.
type Era struct {
	Release string
	info    string // the lines of VMCOREINFO that no machine changes
	numbers map[string]int64
	// The order and the destructor of a compound page are at these offsets in
	// the second struct page; 0: the order is the low byte of flags.
	orderAt, dtorAt int
	hugeFlag        uint // bit in the second struct page's flags, if not 0
	sectionBits     bool // VMCOREINFO has SECTION_SIZE_BITS and MAX_PHYSMEM_BITS
	utsName         int  // OFFSET(uts_namespace.name)
}

// second writes what the second struct page of a compound page says.
func (e *Era) second(p []byte, order uint, huge bool) {
	if e.dtorAt != 0 {
		p[e.dtorAt] = 1 // COMPOUND_PAGE_DTOR
		if huge {
			p[e.dtorAt] = byte(e.numbers["HUGETLB_PAGE_DTOR"])
		}
	}
	if e.orderAt != 0 {
		p[e.orderAt] = byte(order)
		return
	}
	flags := uint64(order)
	if huge && e.hugeFlag != 0 {
		flags |= 1 << e.hugeFlag
	}
	binary.LittleEndian.PutUint64(p, flags)
}

// Has reports whether VMCOREINFO of the era has NUMBER(name).
func (e *Era) Has(name string) bool {
	_, ok := e.numbers[name]
	return ok
}

// newEra fills in what the era's VMCOREINFO says.
func newEra(e Era, lines ...string) *Era {
	e.info = commonInfo + strings.Join(lines, "")
	e.numbers = map[string]int64{}
	for line := range strings.Lines(e.info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if name, ok := strings.CutPrefix(key, "NUMBER("); ok {
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				panic(err)
			}
			e.numbers[strings.TrimSuffix(name, ")")] = n
		}
	}
	return &e
}

// commonInfo is what every kernel says.
const commonInfo = `SIZE(pglist_data)=174208
SIZE(zone)=1536
SIZE(free_area)=88
SIZE(list_head)=16
SIZE(nodemask_t)=128
OFFSET(page.flags)=0
OFFSET(page._refcount)=52
OFFSET(page.mapping)=24
OFFSET(page.lru)=8
OFFSET(page._mapcount)=48
OFFSET(page.private)=40
OFFSET(zone.free_area)=256
OFFSET(zone.vm_stat)=1344
OFFSET(zone.spanned_pages)=144
OFFSET(free_area.free_list)=0
OFFSET(list_head.next)=0
OFFSET(list_head.prev)=8
LENGTH(zone.free_area)=11
LENGTH(free_area.free_list)=5
NUMBER(NR_FREE_PAGES)=0
`

// flags4_16 are page flags and types from 4.16 to 6.5.
const flags4_16 = `NUMBER(PG_lru)=4
NUMBER(PG_private)=13
NUMBER(PG_swapcache)=10
NUMBER(PG_swapbacked)=19
NUMBER(PG_slab)=9
NUMBER(PG_head_mask)=65536
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129
NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257
NUMBER(HUGETLB_PAGE_DTOR)=2
`

const (
	poison22     = "NUMBER(PG_hwpoison)=22\n"
	compoundHead = "OFFSET(page.compound_head)=8\n"
	pageCompound = "OFFSET(page.compound_dtor)=16\nOFFSET(page.compound_order)=17\n"
	utsName      = "OFFSET(uts_namespace.name)=0\n"
)

// flags6_12 are those since 6.12: page types became a number in the top byte.
const flags6_12 = `NUMBER(PG_lru)=5
NUMBER(PG_private)=14
NUMBER(PG_swapcache)=10
NUMBER(PG_swapbacked)=17
NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-184549376
NUMBER(PG_hwpoison)=20
NUMBER(PG_head_mask)=64
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456
NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-201326592
NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-251658240
`

// Eras returns all of them, the oldest first.
func Eras() []*Era {
	return []*Era{Linux5_4(), Linux6_1(), Linux6_4(), Linux6_7(), Linux6_9(), Linux6_11(), Linux6_12(), Linux7_2()}
}

// Linux5_4 stands for kernels up to 5.13, which do not say how large sections are.
func Linux5_4() *Era {
	return newEra(Era{Release: "5.4.0", orderAt: 17, dtorAt: 16, utsName: 4},
		compoundHead, pageCompound, flags4_16)
}

// Linux6_1 stands for kernels from 5.14 to 6.2.
func Linux6_1() *Era {
	return newEra(Era{Release: "6.1.0", orderAt: 17, dtorAt: 16, sectionBits: true},
		utsName, compoundHead, pageCompound, flags4_16, poison22)
}

// Linux6_4 stands for kernels from 6.3 to 6.5: the order moved to struct folio.
func Linux6_4() *Era {
	return newEra(Era{Release: "6.4.0", orderAt: 17, dtorAt: 16, sectionBits: true},
		utsName, compoundHead, "OFFSET(folio._folio_dtor)=80\nOFFSET(folio._folio_order)=81\n", flags4_16, poison22)
}

// Linux6_7 stands for kernels from 6.6 to 6.8: the order is in the second page's
// flags, and so is hugetlbfs' mark.
func Linux6_7() *Era {
	return newEra(Era{Release: "6.7.0", hugeFlag: 8, sectionBits: true}, utsName, compoundHead,
		`NUMBER(PG_lru)=5
NUMBER(PG_private)=15
NUMBER(PG_swapcache)=12
NUMBER(PG_swapbacked)=19
NUMBER(PG_slab)=11
NUMBER(PG_hwpoison)=22
NUMBER(PG_head_mask)=64
NUMBER(PG_hugetlb)=8
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129
NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257
`)
}

// Linux6_9 is 6.9: hugetlbfs' mark became a page type, one of several bits that
// are clear.
func Linux6_9() *Era {
	return newEra(Era{Release: "6.9.0", sectionBits: true}, utsName, compoundHead,
		`NUMBER(PG_lru)=5
NUMBER(PG_private)=15
NUMBER(PG_swapcache)=12
NUMBER(PG_swapbacked)=19
NUMBER(PG_slab)=11
NUMBER(PG_hwpoison)=22
NUMBER(PG_head_mask)=64
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129
NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-257
NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-2049
`)
}

// Linux6_11 stands for 6.10 and 6.11: slab pages are a page type, too.
func Linux6_11() *Era {
	return newEra(Era{Release: "6.11.0", sectionBits: true}, utsName, compoundHead,
		`NUMBER(PG_lru)=5
NUMBER(PG_private)=14
NUMBER(PG_swapcache)=11
NUMBER(PG_swapbacked)=18
NUMBER(PG_hwpoison)=21
NUMBER(PG_head_mask)=64
NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-1073741825
NUMBER(PAGE_OFFLINE_MAPCOUNT_VALUE)=-536870913
NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE)=-67108865
NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)=-33554433
`)
}

// Linux6_12 stands for kernels from 6.12 to 7.0.
func Linux6_12() *Era {
	return newEra(Era{Release: "6.12.0", sectionBits: true}, utsName, compoundHead, flags6_12)
}

// Linux7_2 stands for kernels since 7.1, which renamed compound_head.
func Linux7_2() *Era {
	return newEra(Era{Release: "7.2.0", sectionBits: true}, utsName,
		"OFFSET(page.compound_info)=8\nNUMBER(PAGE_UNACCEPTED_MAPCOUNT_VALUE)=-150994944\n", flags6_12)
}
