// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package elfcore_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/elfcore"
)

func TestNotes(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := slices.Concat(
			coretest.Note(order, "CORE", 1, []byte("registers of CPU 0")),
			coretest.Note(order, "CORE", 1, []byte("registers of CPU 1")),
			coretest.Note(order, "CORE", 3, []byte("not registers")),
			coretest.Note(order, "LINUX", 1, []byte("not the kernel's")),
			coretest.Note(order, "VMCOREINFO", 0, []byte("OSRELEASE=6.1\n")),
		)
		if got, want := elfcore.CountCPUs(b, order), 2; got != want {
			t.Errorf("%v: CountCPUs() = %d, want %d", order, got, want)
		}
		info, ok := elfcore.FindVMCoreInfo(b, order)
		if !ok || string(info.Desc) != "OSRELEASE=6.1\n" {
			t.Errorf("%v: FindVMCoreInfo() = %q, %v", order, info.Desc, ok)
		}
		if got := b[info.DescOffset:][:len(info.Desc)]; !bytes.Equal(got, info.Desc) {
			t.Errorf("%v: DescOffset points to %q, want %q", order, got, info.Desc)
		}
	}
}

// TestReplaceVMCoreInfo makes notes with another VMCOREINFO, whatever there was.
func TestReplaceVMCoreInfo(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		cpu := coretest.Note(order, "CORE", 1, []byte("registers of CPU 0!"))
		odd := coretest.Note(order, "ODD", 7, nil)
		old := coretest.Note(order, "VMCOREINFO", 0, []byte("old"))
		want := slices.Concat(cpu, odd, coretest.Note(order, "VMCOREINFO", 0, []byte("A=B\n\n")))
		for name, b := range map[string][]byte{
			"none": slices.Concat(cpu, odd), "first": slices.Concat(old, cpu, odd), "last": slices.Concat(cpu, odd, old),
			"twice": slices.Concat(old, cpu, old, odd), "padding": slices.Concat(cpu, odd, old, make([]byte, 64)),
			"damaged": slices.Concat(cpu, odd, old[:13]),
		} {
			if got := elfcore.ReplaceVMCoreInfo(b, order, []byte("A=B\n\n")); !bytes.Equal(got, want) {
				t.Errorf("%v, %s: ReplaceVMCoreInfo() = %q, want %q", order, name, got, want)
			}
		}
	}
}

func TestBadNotes(t *testing.T) {
	le := binary.LittleEndian
	good := coretest.Note(le, "CORE", 1, []byte("registers"))
	header := func(name, desc uint32) []byte {
		return le.AppendUint32(le.AppendUint32(le.AppendUint32(nil, name), desc), 1)
	}
	for _, test := range []struct {
		name string
		b    []byte
		want int // notes in front of the damage
		bad  bool
	}{
		{"nothing", nil, 0, false},
		{"one", good, 1, false},
		{"padding behind", slices.Concat(good, make([]byte, 100)), 1, false},
		{"last description not padded", good[:len(good)-3], 1, false},
		{"cut off in a header", slices.Concat(good, good[:11]), 1, true},
		{"cut off in a name", slices.Concat(good, good[:14]), 1, true},
		{"cut off in a description", slices.Concat(good, good[:24]), 1, true},
		{"endless name", slices.Concat(good, header(1<<32-1, 8)), 1, true},
		{"endless description", slices.Concat(good, header(4, 1<<32-1), make([]byte, 8)), 1, true},
		{"both endless", header(1<<32-1, 1<<32-1), 0, true},
	} {
		notes, err := elfcore.ParseNotes(test.b, le)
		if len(notes) != test.want || (err != nil) != test.bad || err != nil && !errors.Is(err, elfcore.ErrFormat) {
			t.Errorf("%s: ParseNotes() = %d notes, %v, want %d, error %v", test.name, len(notes), err, test.want, test.bad)
		}
	}
}
