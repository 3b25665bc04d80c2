// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package pagefilter decides which pages of a core go into a dump. It goes
// through the crashed kernel's struct pages (memmap) and sorts each page into a
// class; the dump level says which classes are left out. The rules, and their
// order, are makedumpfile's, so that a dump level means here what people know.
package pagefilter

// Dump levels: what to leave out, as bits that add up.
const (
	LevelZero         = 1  // pages of zeros; their contents are shared, not left out
	LevelCache        = 2  // page cache without private data
	LevelCachePrivate = 4  // all page cache
	LevelUser         = 8  // memory of user processes: anonymous and hugetlbfs pages
	LevelFree         = 16 // free pages
	LevelMax          = 31
)

// Class is what a page was used for.
type Class uint8

// The classes. Poisoned pages are left out at every level, because reading them
// can stop the machine, and so are offline pages, but at levels 0 and 1 only where
// the kernel says how to tell a poisoned page.
const (
	Kept         Class = iota // none of the others
	Cache                     // page cache, without private data
	CachePrivate              // page cache with private data, for example buffer heads
	User                      // anonymous or hugetlbfs
	Free                      // in the page allocator, or not yet accepted from the hypervisor
	HWPoison                  // memory that failed
	Offline                   // taken out of use, for example by a balloon
	damaged                   // the struct page cannot be right; the page is kept
	numClasses
)

func (c Class) String() string {
	return [numClasses]string{"kept", "cache", "cache with private data", "user",
		"free", "poisoned", "offline", "damaged"}[c]
}
