// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"os"

	"github.com/ukdump/ukdump/pkg/vmcore"
)

// scaling measures made-up cores of machines from 64 GiB to 4 TiB: filtered in
// this process, and dumped to where nothing is kept. Both should take a time that
// grows with the machine; memory, but for the two bitmaps, should not grow.
func (b *bench) scaling() ([]*table, error) {
	t := &table{
		Title:   "Level-31 LZO dumps of made-up cores, 1 thread, output thrown away",
		Columns: []string{"filter CPU s", "filter CPU s a TiB", "CPU s", "CPU s a TiB", "RSS MiB", "bitmaps MiB"},
	}
	for size := uint64(64 << 30); size <= 4<<40; size *= 4 {
		row, err := b.scale(size)
		if err != nil {
			return nil, fmt.Errorf("%d GiB: %w", size>>30, err)
		}
		t.add(fmt.Sprintf("%d GiB", size>>30), row)
	}
	return []*table{t}, nil
}

func (b *bench) scale(size uint64) ([]spread, error) {
	path, err := synthetic(size)
	if err != nil {
		return nil, err
	}
	if size != 1<<40 { // that one is measured more often than by this
		defer os.Remove(path)
	}
	runs := min(b.runs, 3)
	core, err := vmcore.Open(path)
	if err != nil {
		return nil, err
	}
	defer core.Close()
	filtered, _, err := filterRuns(core, 1, runs)
	if err != nil {
		return nil, err
	}
	var dumped []sample
	for range runs {
		command := append(ours().command, "-F", "-l", "-d", "31", "--num-threads", "1", "--message-level", "0", path)
		s, err := measure(command, "")
		if err != nil {
			return nil, err
		}
		dumped = append(dumped, s)
	}
	tib := float64(size) / (1 << 40)
	bitmaps := 2 * float64(size) / pageSize / 8 / (1 << 20)
	filter, dump := figures{cpu}.row(filtered)[0], figures{cpu, rss}.row(dumped)
	return []spread{filter, filter.by(tib), dump[0], dump[0].by(tib), dump[1], spreadOf(bitmaps)}, nil
}
