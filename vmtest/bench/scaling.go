// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"os"
	"time"
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
	var filter, dump, rss []float64
	for round := range min(b.runs, 3) + 1 {
		f, err := b.filterOnce(path, 1)
		if err != nil {
			return nil, err
		}
		command := append(ours().command, "-F", "-l", "-d", "31", "--num-threads", "1", "--message-level", "0", path)
		d, err := measure(command, "")
		if err != nil {
			return nil, err
		}
		if round == 0 {
			continue // it reads the disk
		}
		filter, dump, rss = append(filter, f.CPU), append(dump, d.CPU), append(rss, d.RSS)
	}
	tib := float64(size) / (1 << 40)
	bitmaps := 2 * tib * (1 << 40) / pageSize / 8 / (1 << 20)
	return []spread{
		spreadOf(filter), spreadOf(filter).by(tib), spreadOf(dump), spreadOf(dump).by(tib), spreadOf(rss), spreadOf([]float64{bitmaps}),
	}, nil
}

// filterOnce filters the core at path in this process.
func (b *bench) filterOnce(path string, threads int) (sample, error) {
	start, before := time.Now(), cpuTime()
	core, _, err := choosePages(path, threads)
	if err != nil {
		return sample{}, err
	}
	s := sample{Wall: time.Since(start).Seconds(), CPU: (cpuTime() - before).Seconds()}
	return s, core.Close()
}
