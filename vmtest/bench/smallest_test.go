// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"errors"
	"strings"
	"testing"
)

// TestBorder looks for every border there can be, with at most six attempts.
func TestBorder(t *testing.T) {
	for _, least := range append([]int{0, 1000}, reservations...) {
		tries := 0
		size, notes := border(reservations, func(size int) error {
			tries++
			if size < least {
				return errors.New("too little")
			}
			return nil
		})
		want, wantNotes := least, 1
		switch least {
		case 0, reservations[0]:
			want, wantNotes = reservations[0], 0
		case 1000:
			want = 0
		}
		if size != want || len(notes) != wantNotes {
			t.Errorf("border at %d = %d, %q, want %d and %d notes", least, size, notes, want, wantNotes)
		}
		if tries > 6 {
			t.Errorf("border at %d took %d attempts, want at most 6", least, tries)
		}
	}
}

// TestBorderUnclear has a side of the border change when it is tried again.
func TestBorderUnclear(t *testing.T) {
	for _, test := range []struct {
		flaky int
		want  string
	}{
		{80, "80 MiB, works only sometimes: too little"},
		{76, "76 MiB, fails only sometimes"},
	} {
		tried := map[int]int{}
		size, notes := border(reservations, func(size int) error {
			tried[size]++
			if works := size >= 80; works == (size != test.flaky || tried[size] == 1) {
				return nil
			}
			return errors.New("too little")
		})
		if size != 80 || !strings.Contains(strings.Join(notes, "\n"), test.want) {
			t.Errorf("border with %d MiB flaky = %d, %q, want 80 and %q", test.flaky, size, notes, test.want)
		}
	}
}
