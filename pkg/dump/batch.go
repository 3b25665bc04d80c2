// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/mem"
)

// batchBytes is how much memory a batch covers. It is enough to make handing a
// batch over cost nothing beside compressing it.
const batchBytes = 256 << 10

// batch is a number of pages on their way from the core to the file.
type batch struct {
	runs  []mem.PFNRange // the pages, in ascending order
	pages []page         // what became of them, in the same order
	data  []byte         // what is to be stored of them, one page after the other
	err   error
	done  chan struct{} // receives a value when the batch has been worked on
}

// page is what became of one page.
type page struct {
	kind  kind
	codec compress.Codec // of a stored page
	size  uint32         // of a stored page's data, in bytes
}

type kind uint8

const (
	lost   kind = iota // it could not be read
	stored             // its data is in the batch
	zero               // a page of zeros, not stored
	same               // it has the contents of the page before it, which is stored
)

func newBatch(pageSize int) *batch {
	n := batchPages(pageSize)
	return &batch{
		runs:  make([]mem.PFNRange, 0, n),
		pages: make([]page, 0, n),
		data:  make([]byte, 0, n*pageSize+compress.Bound(pageSize)),
		done:  make(chan struct{}, 1),
	}
}

func batchPages(pageSize int) int { return max(1, batchBytes/pageSize) }
