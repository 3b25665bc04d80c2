// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package pagefilter

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/kstruct"
)

// rules decides from a struct page what a page is for. It is made once, so that
// the scan only compares masks and numbers. They are as a little-endian machine
// finds them in the core, whose own byte order thus does not matter. A mask of
// 0 is a flag that is not known: it never matches.
type rules struct {
	page kstruct.Page
	swap bool // the core's byte order is not little-endian

	lru, private, swapCache, swapBacked, slab, head, hwPoison uint64

	allFlags uint64 // the flags above
	tail     uint64 // of CompoundHead: the page is a tail page
	anon     uint64 // of Mapping: the page is anonymous
	typed    uint32 // of MapCount: it may be a pageType

	slabType, buddyType, offlineType, unacceptedType, hugetlbType pageType

	orders   uint // free blocks have orders below this
	maxOrder uint // compound pages have orders up to this
	order    orderSource
	hugetlb  hugetlbSource

	excludeCache, excludeCachePrivate, excludeUser, excludeFree bool
}

// pageType is a value of _mapcount (page_type) that says what a page is.
type pageType struct{ mask, value uint32 }

func (t pageType) is(mapCount uint32) bool { return mapCount&t.mask == t.value && t.mask != 0 }

// orderSource says where the second struct page of a compound page has its order.
type orderSource struct {
	known  bool
	offset int // of a byte in the second struct page
}

// hugetlbSource says where a compound page shows that it belongs to hugetlbfs.
type hugetlbSource struct {
	flag   uint64 // in the second struct page's flags; 0 if not so
	offset int    // of a byte in the second struct page that equals dtor
	dtor   byte   // 0 if not so: the number of a destructor is never 0 here
}

// maxCompoundBytes bounds a compound page: the largest hugetlb page of any
// architecture is 16 GiB (arm64 and powerpc).
const maxCompoundBytes = 16 << 30

// maxOrderSeen is what classify returns at most for an order, however absurd.
const maxOrderSeen = 255

// newRules prepares the rules for a dump level. It warns of every rule that
// cannot be applied because nothing tells what it needs: pages are kept then.
func newRules(k *kstruct.Kernel, page kstruct.Page, pageShift uint, bigEndian bool, level int, warn func(string)) *rules {
	k.Need("NUMBER(PG_lru)", "NUMBER(PG_private)", "NUMBER(PG_swapcache)", "NUMBER(PG_swapbacked)",
		"NUMBER(PG_head_mask)", "NUMBER(PG_slab) NUMBER(PAGE_SLAB_MAPCOUNT_VALUE)",
		"NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)", "LENGTH(zone.free_area)",
		"NUMBER(PAGE_HUGETLB_MAPCOUNT_VALUE) NUMBER(PG_hugetlb) OFFSET(folio._folio_order) OFFSET(page.compound_order)")
	if line := k.Warning(); line != "" {
		warn(line)
	}
	r := &rules{
		page: page, swap: bigEndian,
		maxOrder:            uint(bits.Len64(maxCompoundBytes>>pageShift) - 1),
		excludeCache:        level&(LevelCache|LevelCachePrivate) != 0,
		excludeCachePrivate: level&LevelCachePrivate != 0,
		excludeUser:         level&LevelUser != 0,
		excludeFree:         level&LevelFree != 0,
	}
	r.setFlags(k)
	r.setTypes(k)
	if level <= LevelZero && r.hwPoison == 0 {
		// makedumpfile has no reason to look at struct pages then.
		r.offlineType = pageType{}
	}
	r.setCompound(k)
	r.setOrders(k)
	r.disableUnknown(warn)
	return r
}

// setFlags finds out the bits of the fields that are words.
func (r *rules) setFlags(k *kstruct.Kernel) {
	for _, f := range []struct {
		mask *uint64
		name string
	}{
		{&r.lru, "PG_lru"}, {&r.private, "PG_private"}, {&r.swapCache, "PG_swapcache"},
		{&r.swapBacked, "PG_swapbacked"}, {&r.slab, "PG_slab"}, {&r.hwPoison, "PG_hwpoison"},
	} {
		*f.mask = r.flag(k, f.name)
		r.allFlags |= *f.mask
	}
	if n, ok := k.Number("PG_head_mask"); ok {
		r.head = r.word(uint64(n))
		r.allFlags |= r.head
	}
	r.tail, r.anon = r.word(1), r.word(1)
}

// flag returns the mask of a page flag, given by its bit number.
func (r *rules) flag(k *kstruct.Kernel, name string) uint64 {
	n, ok := k.Number(name)
	if !ok || n < 0 || n > 63 {
		return 0
	}
	return r.word(1 << n)
}

// word turns a number into what a little-endian machine finds in the core where
// that number is, and back.
func (r *rules) word(n uint64) uint64 {
	if r.swap {
		return bits.ReverseBytes64(n)
	}
	return n
}

// setTypes finds out the page types.
func (r *rules) setTypes(k *kstruct.Kernel) {
	r.slabType = r.pageType(k, "PAGE_SLAB_MAPCOUNT_VALUE")
	r.buddyType = r.pageType(k, "PAGE_BUDDY_MAPCOUNT_VALUE")
	r.offlineType = r.pageType(k, "PAGE_OFFLINE_MAPCOUNT_VALUE")
	r.unacceptedType = r.pageType(k, "PAGE_UNACCEPTED_MAPCOUNT_VALUE")
	r.hugetlbType = r.pageType(k, "PAGE_HUGETLB_MAPCOUNT_VALUE")
	r.typed = r.half(1 << 31)
}

// pageType returns the page type of a PAGE_*_MAPCOUNT_VALUE. Since 6.12 the
// type is the top byte of the field and the kernel writes zeros below
// (4ffca5a96678); should it use those bits some day, they must not matter.
// Before, all bits of the field count.
func (r *rules) pageType(k *kstruct.Kernel, name string) pageType {
	n, ok := k.Number(name)
	if value := int32(n); !ok || value >= -1 {
		return pageType{} // a number of mappings, or -1: there are none
	}
	value, mask := uint32(n), ^uint32(0)
	if value&0xffffff == 0 {
		mask = 0xff000000
	}
	return pageType{r.half(mask), r.half(value)}
}

// half is word for half a word.
func (r *rules) half(n uint32) uint32 {
	if r.swap {
		return bits.ReverseBytes32(n)
	}
	return n
}

// setCompound finds out where this kernel keeps the order of a compound page
// and the mark of hugetlbfs. The newest way that VMCOREINFO shows is the right one:
// page type since 6.9 (d99e3140a4d3), a flag in the second page since 6.6,
// bytes of struct folio since 6.3, bytes of the second struct page before.
func (r *rules) setCompound(k *kstruct.Kernel) {
	r.hugetlb.flag = r.flag(k, "PG_hugetlb")
	if r.hugetlbType.mask != 0 || r.hugetlb.flag != 0 {
		// The order is the low byte of folio._flags_1.
		r.order = orderSource{true, r.page.Flags}
		if r.swap {
			r.order.offset += 7
		}
		if r.hugetlbType.mask != 0 {
			r.hugetlb.flag = 0
		}
		return
	}
	r.order = r.secondPageByte(k, "folio._folio_order", "page.compound_order")
	if dtor := r.secondPageByte(k, "folio._folio_dtor", "page.compound_dtor"); dtor.known {
		if n, ok := k.Number("HUGETLB_PAGE_DTOR"); ok && n > 0 && n < 256 {
			r.hugetlb.offset, r.hugetlb.dtor = dtor.offset, byte(n)
		}
	}
}

// secondPageByte finds a byte of the second struct page, by its place in
// struct folio or in struct page.
func (r *rules) secondPageByte(k *kstruct.Kernel, inFolio, inPage string) orderSource {
	size := uint64(r.page.Size)
	if n, ok := k.Offset(inFolio); ok && n >= size && n < 2*size {
		return orderSource{true, int(n - size)}
	}
	if n, ok := k.Offset(inPage); ok && n < size {
		return orderSource{true, int(n)}
	}
	return orderSource{}
}

// setOrders bounds the order of free blocks by the number of free lists.
func (r *rules) setOrders(k *kstruct.Kernel) {
	n, ok := k.Length("zone.free_area")
	if ok && n >= 1 && n <= uint64(r.maxOrder) {
		r.orders = uint(n)
	}
}

// disableUnknown switches off the rules that would guess, with a warning each.
func (r *rules) disableUnknown(warn func(string)) {
	slabKnown := r.slab != 0 || r.slabType.mask != 0
	check := func(on *bool, known bool, rule, missing string) {
		if *on && !known {
			*on = false
			warn(fmt.Sprintf("%s are kept: the kernel does not tell %s", rule, missing))
		}
	}
	check(&r.excludeCache, r.lru != 0, "page cache pages", "PG_lru")
	check(&r.excludeCachePrivate, r.lru != 0, "page cache pages with private data", "PG_lru")
	if !r.excludeCachePrivate {
		check(&r.excludeCache, r.private != 0, "page cache pages", "PG_private")
	}
	// A slab page has other things where the mapping is.
	check(&r.excludeUser, slabKnown, "pages of user processes", "PG_slab or PAGE_SLAB_MAPCOUNT_VALUE")
	check(&r.excludeCache, slabKnown, "page cache pages", "PG_slab or PAGE_SLAB_MAPCOUNT_VALUE")
	check(&r.excludeFree, r.buddyType.mask != 0, "free pages", "PAGE_BUDDY_MAPCOUNT_VALUE")
	check(&r.excludeFree, r.orders != 0, "free pages", "LENGTH(zone.free_area)")
}

// signs is what the struct page of a page that is no tail says of it, as far as
// that decides its class, but for compound pages.
type signs struct {
	flags    uint64 // those among allFlags
	anon     uint64 // not 0: the page is anonymous
	mapCount uint32 // a pageType perhaps, else 0
}

// signs returns the signs that the struct page at the beginning of p has.
func (r *rules) signs(p []byte) signs {
	n := binary.LittleEndian.Uint32(p[r.page.MapCount:])
	if n&r.typed == 0 {
		n = 0
	}
	return signs{word(p, r.page.Flags) & r.allFlags, word(p, r.page.Mapping) & r.anon, n}
}

// isTail reports whether the struct page at the beginning of p is a tail page's.
func (r *rules) isTail(p []byte) bool { return word(p, r.page.CompoundHead)&r.tail != 0 }

// word returns the 8 bytes at off. (Slices of known capacity make it three
// instructions.)
func word(b []byte, off int) uint64 { return binary.LittleEndian.Uint64(b[off : off+8 : off+8]) }

// classifyTail returns the class of the page whose struct page, p, is that of a
// tail page. It goes with its head, unless its memory failed; makedumpfile does
// not look and reads it.
func (r *rules) classifyTail(p []byte) Class {
	if word(p, r.page.Flags)&r.hwPoison != 0 {
		return HWPoison
	}
	return Kept
}

// classify returns the class of the page whose struct page is at the beginning
// of p and has the signs s, and the base-2 logarithm of how many pages share it.
// A compound page shows its order in the next struct page; where p ends before
// that, the page is taken for a single one. The order of the tests is
// makedumpfile's: the first match wins. What it returns is only as sensible as
// the struct pages: see worker.possible.
func (r *rules) classify(s signs, p []byte) (Class, uint) {
	flags, mapCount := s.flags, s.mapCount
	isSlab := flags&r.slab != 0 || r.slabType.is(mapCount)
	isAnon := s.anon != 0 && !isSlab

	if r.excludeFree && !isSlab && r.buddyType.is(mapCount) {
		return Free, uint(min(r.word(word(p, r.page.Private)), maxOrderSeen))
	}
	if r.excludeFree && r.unacceptedType.is(mapCount) {
		// Memory is accepted in blocks of the largest order (mm/page_alloc.c).
		return Free, r.orders - 1
	}
	order, isHugetlb := r.compound(flags, mapCount, p)
	if r.excludeCache && !isAnon && r.isCache(flags) {
		switch {
		case flags&r.private == 0:
			return Cache, order
		case r.excludeCachePrivate:
			return CachePrivate, order
		}
	}
	switch {
	case r.excludeUser && (isAnon || isHugetlb):
		return User, order
	case flags&r.hwPoison != 0:
		return HWPoison, order
	case !isSlab && r.offlineType.is(mapCount):
		return Offline, order
	}
	return Kept, order
}

// isCache reports whether the flags are those of a page that the page
// cache, or the swap cache, may own.
func (r *rules) isCache(flags uint64) bool {
	if flags&r.lru != 0 {
		return true
	}
	// PG_swapcache has another meaning on pages that are not swap-backed
	// (since 4.10, 6326fec1122c).
	return flags&r.swapCache != 0 && (r.swapBacked == 0 || flags&r.swapBacked != 0)
}

// compound returns the order of a compound page, by its first page's flags and
// _mapcount and its second struct page, which is behind the first in p, and
// whether hugetlbfs owns it.
func (r *rules) compound(flags uint64, mapCount uint32, p []byte) (order uint, isHugetlb bool) {
	if flags&r.head == 0 || len(p) < 2*r.page.Size {
		return 0, false
	}
	second := p[r.page.Size:]
	if r.order.known {
		order = uint(second[r.order.offset])
	}
	isHugetlb = r.hugetlbType.is(mapCount) ||
		r.hugetlb.flag != 0 && word(second, r.page.Flags)&r.hugetlb.flag != 0 ||
		r.hugetlb.dtor != 0 && second[r.hugetlb.offset] == r.hugetlb.dtor
	return order, isHugetlb
}
