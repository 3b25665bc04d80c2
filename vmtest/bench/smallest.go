// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"sort"

	"github.com/ukdump/ukdump/vmtest"
)

// reservations are what is tried for the smallest that works, in MiB.
var reservations = []int{64, 68, 72, 76, 80, 84, 88, 92, 96, 104, 112, 120, 128, 144, 160}

// smallest finds out how little memory suffices for each rival. It crashes six
// machines for each: four to find the border, and two to see that it is there.
func (b *bench) smallest() ([]*table, error) {
	c, err := b.newContest()
	if err != nil {
		return nil, err
	}
	t := &table{Title: "The smallest crashkernel= with which the dump is saved", Columns: []string{"MiB"}}
	t.note("Tried by bisection: %d MiB; the smallest that works and the next smaller one twice", reservations)
	for _, r := range []vmtest.Rival{vmtest.Ukdump("zstd"), vmtest.Busybox("zstd", true), vmtest.KdumpTools()} {
		size, notes := border(reservations, func(size int) error {
			_, err := c.race(r.Name, r, fmt.Sprintf("%dM", size))
			return err
		})
		t.add(r.Name, []spread{spreadOf(float64(size))})
		for _, n := range notes {
			t.note("%s, %s", r.Name, n)
		}
	}
	return []*table{t}, nil
}

// border returns the smallest of the sizes, which ascend, that can be had, 0 if
// none can. It takes for granted that a size can be had if a smaller one can, but
// tries both sides of the border again. The notes are why the next smaller size
// cannot be had, and which side was different when tried again.
func border(sizes []int, try func(size int) error) (size int, notes []string) {
	failed := map[int]error{}
	at := sort.Search(len(sizes), func(i int) bool {
		failed[i] = try(sizes[i])
		return failed[i] == nil
	})
	if at < len(sizes) {
		size = sizes[at]
		if err := try(size); err != nil {
			notes = append(notes, fmt.Sprintf("%d MiB, works only sometimes: %v", size, err))
		}
	}
	if at > 0 {
		below := sizes[at-1]
		notes = append(notes, fmt.Sprintf("%d MiB: %v", below, failed[at-1]))
		if try(below) == nil {
			notes = append(notes, fmt.Sprintf("%d MiB, fails only sometimes", below))
		}
	}
	return size, notes
}
