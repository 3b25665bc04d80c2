// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package dump

import (
	"bytes"
	"fmt"
	"math/bits"

	"github.com/ukdump/ukdump/pkg/compress"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcore"
)

// worker reads and compresses batches, one at a time.
type worker struct {
	job   *Job
	shift uint
	view  mem.View
	enc   compress.Encoder
	page  []byte // for pages that do not come in one piece
	zero  []byte // a page of zeros, or nil if such pages are nothing special
	same  bool   // whether to look for copies of the page before
}

func newWorker(job *Job, same bool) (*worker, error) {
	size := job.Pages.PageSize
	enc, err := compress.NewEncoder(job.Codec, size)
	if err != nil {
		return nil, err
	}
	w := &worker{
		job: job, enc: enc, same: same,
		shift: uint(bits.TrailingZeros(uint(size))),
		view:  job.Source.NewView(),
		page:  make([]byte, size),
	}
	if job.Pages.Level&1 != 0 {
		w.zero = make([]byte, size)
	}
	return w, nil
}

// do fills b.pages and b.data. A panic becomes the batch's error.
func (w *worker) do(b *batch) {
	defer func() {
		if r := recover(); r != nil {
			b.err = fmt.Errorf("panic while compressing pages %d to %d: %v",
				b.runs[0].Start, b.runs[len(b.runs)-1].End, r)
		}
	}()
	b.err = vmcore.CatchFault(func() error {
		b.reset()
		for _, r := range b.runs {
			w.addRun(b, r)
		}
		return nil
	})
	if b.err != nil {
		b.err = w.redo(b)
	}
}

func (b *batch) reset() {
	b.pages, b.data, b.err = b.pages[:0], b.data[:0], nil
}

// redo works on b again after a memory fault in a mapped window, which may
// have struck anywhere: page by page and through reads, that return errors, and
// with an encoder that was not interrupted.
func (w *worker) redo(b *batch) (err error) {
	w.enc, err = compress.NewEncoder(w.job.Codec, w.job.Pages.PageSize)
	if err != nil {
		return err
	}
	b.reset()
	for _, r := range b.runs {
		for pfn := r.Start; pfn < r.End; pfn++ {
			w.addByRead(b, pfn)
		}
	}
	return nil
}

// addRun adds the pages of r to b. Most come in large slices.
func (w *worker) addRun(b *batch, r mem.PFNRange) {
	size := len(w.page)
	for r.Start < r.End {
		s, err := w.view.Slice(r.Start.Phys(w.shift), int(r.Len())*size)
		if err != nil || len(s) < size {
			w.addByRead(b, r.Start)
			r.Start++
			continue
		}
		var before []byte
		for ; len(s) >= size; s = s[size:] {
			w.add(b, s[:size], before)
			before = s[:size]
			r.Start++
		}
	}
}

// addByRead adds a page that a view does not give whole.
func (w *worker) addByRead(b *batch, pfn mem.PFN) {
	if err := w.job.Source.ReadPhys(w.page, pfn.Phys(w.shift)); err != nil {
		b.pages = append(b.pages, page{kind: lost})
		return
	}
	w.add(b, w.page, nil)
}

// add adds a page with contents p to b. before is the contents of the page
// before it, if at hand: that is where most copies of a page are.
func (w *worker) add(b *batch, p, before []byte) {
	if w.zero != nil && bytes.Equal(p, w.zero) {
		b.pages = append(b.pages, page{kind: zero})
		return
	}
	if w.same && bytes.Equal(p, before) {
		b.pages = append(b.pages, page{kind: same})
		return
	}
	start := len(b.data)
	codec, smaller := w.job.Codec, false
	if b.data, smaller = w.enc.Append(b.data, p); !smaller {
		b.data, codec = append(b.data, p...), compress.None
	}
	b.pages = append(b.pages, page{kind: stored, codec: codec, size: uint32(len(b.data) - start)})
}

func (w *worker) close() { w.view.Close() }
