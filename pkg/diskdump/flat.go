// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package diskdump

import (
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
)

// The flattened format (makedumpfile -F; struct makedumpfile_header and
// makedumpfile_data_header in its makedumpfile.h) is a file taken apart into
// records that each say where their data goes, so that a file which is written
// at many places can go through a pipe. A header of 4096 bytes is followed by
// the records: offset and size, 8 bytes each, then the data. A record with
// offset and size -1 ends it. All numbers are big-endian on every machine.
const (
	FlatSignature  = "makedumpfile"
	flatHeaderSize = 4096
	flatRecordSize = 16 // of the header of a record
	flatTypeAt     = 16
	flatType       = 1 // the only one
	flatVersionAt  = 24
	flatVersion    = 1
	flatEnd        = -1
)

// maxRecords bounds the records of a flattened file, which are kept in memory.
// makedumpfile puts 64 KiB into each, which makes this 1 TiB.
const maxRecords = 1 << 24

// record is data in a flattened file.
type record struct {
	off, size int64 // in the file that it is a part of
	at        int64 // where the data begins in the flattened file
}

func (r record) end() int64 { return r.off + r.size }

// readRecordHeader reads 16 bytes in front of the data of a record; ok is false
// for the end mark.
func readRecordHeader(b []byte) (r record, ok bool, err error) {
	r.off = int64(binary.BigEndian.Uint64(b))
	r.size = int64(binary.BigEndian.Uint64(b[8:]))
	if r.off == flatEnd {
		return r, false, nil
	}
	if r.off < 0 || r.size < 0 || r.off > math.MaxInt64-r.size {
		return r, false, fmt.Errorf("%w: flattened record of %d bytes for offset %d", ErrFormat, r.size, r.off)
	}
	return r, true, nil
}

func checkFlatHeader(b []byte) error {
	if string(b[:len(FlatSignature)]) != FlatSignature ||
		binary.BigEndian.Uint64(b[flatTypeAt:]) != flatType || binary.BigEndian.Uint64(b[flatVersionAt:]) != flatVersion {
		return fmt.Errorf("%w: no flattened file of a known version", ErrFormat)
	}
	return nil
}

// Flat is a flattened file open for reading. It is an io.ReaderAt over the file
// that was flattened and may be used by several goroutines.
type Flat struct {
	r      io.ReaderAt
	pieces []record // sorted, disjoint
	size   int64
	whole  bool
}

// OpenFlat opens the flattened file at path.
func OpenFlat(path string) (*Flat, error) {
	r, size, err := openFile(path)
	if err != nil {
		return nil, err
	}
	f, err := NewFlat(r, size)
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// Close closes what the flattened file is read from, if it can be closed.
func (f *Flat) Close() error {
	if c, ok := f.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// NewFlat finds the records in the first size bytes of r, which may come in any
// order; where they overlap the last one counts. A flattened file that is cut
// off is read as far as it goes: see Whole.
func NewFlat(r io.ReaderAt, size int64) (*Flat, error) {
	header := make([]byte, flatTypeAt+16)
	if _, err := r.ReadAt(header, 0); err != nil {
		return nil, fmt.Errorf("%w: flattened header: %w", ErrFormat, err)
	}
	if err := checkFlatHeader(header); err != nil {
		return nil, err
	}
	f := &Flat{r: r}
	if err := f.readRecords(size); err != nil {
		return nil, err
	}
	f.pieces = disjoint(f.pieces)
	if n := len(f.pieces); n > 0 {
		f.size = f.pieces[n-1].end()
	}
	return f, nil
}

func (f *Flat) readRecords(size int64) error {
	var b [16]byte
	for at := int64(flatHeaderSize); size-at >= int64(len(b)); {
		if _, err := f.r.ReadAt(b[:], at); err != nil {
			return fmt.Errorf("flattened record at %d: %w", at, err)
		}
		rec, ok, err := readRecordHeader(b[:])
		if err != nil {
			return err
		}
		if !ok {
			f.whole = true
			return nil
		}
		if len(f.pieces) == maxRecords {
			return fmt.Errorf("%w: more than %d flattened records", ErrFormat, maxRecords)
		}
		rec.at = at + int64(len(b))
		left := size - rec.at
		cut := rec.size > left
		rec.size = min(rec.size, left)
		if rec.size > 0 {
			f.pieces = append(f.pieces, rec)
		}
		if cut {
			return nil
		}
		at = rec.at + rec.size
	}
	return nil
}

// disjoint sorts the records, which come in the order of the file, and cuts
// away from each what a later one has as well.
func disjoint(recs []record) []record {
	if isDisjoint(recs) {
		return recs
	}
	order := make([]int, len(recs))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(recs[a].off, recs[b].off) })

	out := make([]record, 0, len(recs))
	var active latest // records that begin at or before off
	for off := int64(0); len(order) > 0 || len(active) > 0; {
		if len(active) == 0 {
			off = max(off, recs[order[0]].off)
		}
		for len(order) > 0 && recs[order[0]].off <= off {
			heap.Push(&active, order[0])
			order = order[1:]
		}
		rec := recs[active[0]]
		if rec.end() <= off {
			heap.Pop(&active)
			continue
		}
		end := rec.end()
		if len(order) > 0 {
			end = min(end, recs[order[0]].off)
		}
		out = append(out, record{off: off, size: end - off, at: rec.at + off - rec.off})
		off = end
	}
	return out
}

// isDisjoint reports whether the records are as disjoint makes them. Most files
// are written from front to back.
func isDisjoint(recs []record) bool {
	for i := 1; i < len(recs); i++ {
		if recs[i].off < recs[i-1].end() {
			return false
		}
	}
	return true
}

// latest is a heap of record numbers with the highest on top.
type latest []int

func (l latest) Len() int           { return len(l) }
func (l latest) Less(i, j int) bool { return l[i] > l[j] }
func (l latest) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *latest) Push(x any)        { *l = append(*l, x.(int)) }
func (l *latest) Pop() any {
	last := (*l)[len(*l)-1]
	*l = (*l)[:len(*l)-1]
	return last
}

// Size returns the size of the file that was flattened, in bytes.
func (f *Flat) Size() int64 { return f.size }

// Whole reports whether the flattened file has its end mark. Without it, some
// of the file is missing and reads as zeros, or lies beyond Size.
func (f *Flat) Whole() bool { return f.whole }

// ReadAt implements io.ReaderAt. What no record covers is zeros.
func (f *Flat) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("read at a negative offset")
	}
	done := 0
	i := sort.Search(len(f.pieces), func(i int) bool { return f.pieces[i].end() > off })
	for ; done < len(p) && i < len(f.pieces); i++ {
		rec := f.pieces[i]
		if hole := rec.off - off; hole > 0 {
			n := int(min(hole, int64(len(p)-done)))
			clear(p[done : done+n])
			done, off = done+n, off+int64(n)
		}
		n := int(min(rec.end()-off, int64(len(p)-done)))
		if n <= 0 {
			break
		}
		if got, err := f.r.ReadAt(p[done:done+n], rec.at+off-rec.off); got < n {
			return done + got, err
		}
		done, off = done+n, off+int64(n)
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}
