// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"fmt"
	"slices"
)

// spread is the median of several figures, with the least and the greatest.
type spread struct{ Median, Min, Max float64 }

func spreadOf(figures []float64) spread {
	if len(figures) == 0 {
		return spread{}
	}
	s := slices.Sorted(slices.Values(figures))
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

// measures are the figures of a sample.
var measures = []struct {
	name string
	of   func(sample) float64
}{
	{"wall s", func(s sample) float64 { return s.Wall }},
	{"CPU s", func(s sample) float64 { return s.CPU }},
	{"RSS MiB", func(s sample) float64 { return s.RSS }},
	{"output MB", func(s sample) float64 { return s.Size }},
}

// row is the spread of each of the measures.
type row []spread

func rowOf(samples []sample) row {
	var r row
	for _, m := range measures {
		var figures []float64
		for _, s := range samples {
			figures = append(figures, m.of(s))
		}
		r = append(r, spreadOf(figures))
	}
	return r
}

// ratios returns the samples of a by those of b that were taken right after or
// before them.
func ratios(a, b []sample) row {
	var r row
	for _, m := range measures {
		var figures []float64
		for i := range min(len(a), len(b)) {
			if m.of(b[i]) != 0 {
				figures = append(figures, m.of(a[i])/m.of(b[i]))
			}
		}
		r = append(r, spreadOf(figures))
	}
	return r
}
