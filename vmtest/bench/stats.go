// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"math"
	"slices"
)

// spread is the median of several figures, with the least and the greatest.
type spread struct{ Median, Min, Max float64 }

// spreadOf returns the spread of the figures that are known: what could not be
// measured is not a number, nor what is divided by it or by zero.
func spreadOf(figures ...float64) spread {
	s := slices.DeleteFunc(slices.Sorted(slices.Values(figures)), func(f float64) bool { return math.IsNaN(f) || math.IsInf(f, 0) })
	if len(s) == 0 {
		return spread{}
	}
	return spread{(s[(len(s)-1)/2] + s[len(s)/2]) / 2, s[0], s[len(s)-1]}
}

// by returns the spread of the figures divided by n.
func (s spread) by(n float64) spread { return spread{s.Median / n, s.Min / n, s.Max / n} }

// String shows three significant digits, and the spread where it shows in them;
// a dash if there is no figure.
func (s spread) String() string {
	if s == (spread{}) {
		return "–"
	}
	text := digits(s.Median)
	if low, high := digits(s.Min), digits(s.Max); low != text || high != text {
		text += " (" + low + "–" + high + ")"
	}
	return text
}

// digits formats a figure with three significant digits.
func digits(f float64) string {
	switch {
	case f == 0:
		return "0"
	case f < 1:
		return fmt.Sprintf("%.3f", f)
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	}
	return fmt.Sprintf("%.0f", f)
}

// figure is one of the figures of a sample.
type figure struct {
	name string
	of   func(sample) float64
}

var (
	wall   = figure{"wall s", func(s sample) float64 { return s.Wall }}
	cpu    = figure{"CPU s", func(s sample) float64 { return s.CPU }}
	rss    = figure{"RSS MiB", func(s sample) float64 { return s.RSS }}
	output = figure{"output MB", func(s sample) float64 { return s.Size }}
	rate   = figure{"MB/s", func(s sample) float64 { return s.Size / s.Wall }}
)

// figures are the columns of a table.
type figures []figure

// names returns what is above them.
func (fs figures) names() (names []string) {
	for _, f := range fs {
		names = append(names, f.name)
	}
	return names
}

// row returns the spread of each of the figures.
func (fs figures) row(samples []sample) (row []spread) {
	for _, f := range fs {
		var all []float64
		for _, s := range samples {
			all = append(all, f.of(s))
		}
		row = append(row, spreadOf(all...))
	}
	return row
}

// ratios returns the samples of a by those of b that were taken right after or
// before them.
func (fs figures) ratios(a, b []sample) (row []spread) {
	for _, f := range fs {
		var all []float64
		for i := range min(len(a), len(b)) {
			all = append(all, f.of(a[i])/f.of(b[i]))
		}
		row = append(row, spreadOf(all...))
	}
	return row
}
