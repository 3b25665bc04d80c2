// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package btf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/ukdump/ukdump/pkg/mem"
)

// memory is BTF at an address, in pages of which the last is filled up.
type memory []byte

const start = mem.VirtAddr(0xffffffff82438070)

func (m memory) ReadVirt(p []byte, addr mem.VirtAddr) error {
	end := (start + mem.VirtAddr(len(m)) + 4095) &^ 4095
	if addr < start || addr > end || uint64(len(p)) > uint64(end-addr) {
		return fmt.Errorf("%v: %w", addr, mem.ErrNotMapped)
	}
	clear(p)
	if off := uint64(addr - start); off < uint64(len(m)) {
		copy(p, m[off:])
	}
	return nil
}

func open(b []byte, order binary.ByteOrder) (*Types, error) {
	return Open(memory(b), start, start+mem.VirtAddr(len(b)), order)
}

// sample is a kernel of a few types, among them each that the package reads.
func sample(t testing.TB, order binary.ByteOrder) []byte {
	t.Helper()
	u32 := &btf.Int{Name: "unsigned int", Size: 4}
	u64 := &btf.Int{Name: "unsigned long", Size: 8}
	list := &btf.Struct{Name: "list_head", Size: 16}
	list.Members = []btf.Member{
		{Name: "next", Type: &btf.Pointer{Target: list}},
		{Name: "prev", Type: &btf.Pointer{Target: list}, Offset: 64},
	}
	counter := &btf.Struct{Size: 4, Members: []btf.Member{{Name: "counter", Type: u32}}}
	atomic := &btf.Typedef{Name: "atomic_t", Type: counter}
	page := &btf.Struct{Name: "page", Size: 64, Members: []btf.Member{
		{Name: "flags", Type: u64},
		{Offset: 64, Type: &btf.Union{Size: 40, Members: []btf.Member{
			{Type: &btf.Struct{Size: 40, Members: []btf.Member{
				{Name: "lru", Type: list},
				{Type: &btf.Const{Type: &btf.Volatile{Type: &btf.Struct{Size: 8, Members: []btf.Member{
					{Name: "mapping", Type: &btf.Pointer{Target: &btf.Void{}}},
				}}}}, Offset: 128},
				{Name: "private", Type: u64, Offset: 256},
			}}},
			{Name: "compound_head", Type: u64},
		}}},
		{Name: "_mapcount", Type: atomic, Offset: 384},
		{Name: "small", Type: u32, Offset: 416, BitfieldSize: 3},
		{Name: "large", Type: u32, Offset: 419, BitfieldSize: 29},
		{Name: "last", Type: u64, Offset: 448},
	}}
	zone := &btf.Struct{Name: "zone", Size: 200, Members: []btf.Member{
		{Name: "free_area", Type: &btf.Array{Index: u32, Type: list, Nelems: 11}, Offset: 128},
	}}
	types := []btf.Type{
		page, zone, atomic,
		// A typedef that is called like a structure, and before it.
		&btf.Typedef{Name: "list_head", Type: u32},
		&btf.Enum{Name: "pageflags", Size: 4, Values: []btf.EnumValue{{Name: "PG_locked"}, {Name: "PG_slab", Value: 7}, {Name: "PG_max", Value: 1<<32 - 1}}},
		&btf.Enum{Name: "state", Size: 4, Signed: true, Values: []btf.EnumValue{{Name: "DEAD", Value: 1<<64 - 2}}},
		&btf.Enum{Name: "big", Size: 8, Values: []btf.EnumValue{{Name: "HUGE", Value: 1 << 40}, {Name: "MINUS", Value: 1<<64 - 3}}},
		&btf.Union{Name: "either", Size: 8, Members: []btf.Member{{Name: "a", Type: u64}, {Name: "b", Type: u32}}},
		&btf.Func{Name: "do_one", Type: &btf.FuncProto{Return: u32, Params: []btf.FuncParam{{Name: "page", Type: &btf.Pointer{Target: page}}}}},
		&btf.Var{Name: "runqueues", Type: zone},
		&btf.Fwd{Name: "opaque"},
		&btf.Float{Name: "double", Size: 8},
		&btf.Typedef{Name: "ptr_t", Type: &btf.Pointer{Target: page}},
	}
	// More types than lie between two places that the index remembers.
	for i := range 3 * stride {
		types = append(types, &btf.Struct{Name: fmt.Sprintf("filler%d", i), Size: uint32(i), Members: []btf.Member{{Name: "flags", Type: page, Offset: btf.Bits(8 * i)}}})
	}
	b, err := btf.NewBuilder(types, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, &btf.MarshalOptions{Order: order})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// question is one that Types answers with a number.
type question struct {
	what         string // Size, Offset, Length or EnumValue
	name, member string
}

func (q question) ask(t *Types) (int64, error) {
	var n uint64
	var err error
	switch q.what {
	case "Size":
		n, err = t.Size(q.name)
	case "Offset":
		n, err = t.Offset(q.name, q.member)
	case "Length":
		n, err = t.Length(q.name, q.member)
	case "EnumValue":
		return t.EnumValue(q.name, q.member)
	}
	return int64(n), err
}

var answers = []struct {
	question
	want int64
}{
	{question{"Size", "page", ""}, 64},
	{question{"Size", "list_head", ""}, 16}, // the structure, not the typedef
	{question{"Size", "atomic_t", ""}, 4},
	{question{"Size", "either", ""}, 8},
	{question{"Size", "pageflags", ""}, 4},
	{question{"Size", "big", ""}, 8},
	{question{"Size", "filler150", ""}, 150},
	{question{"Offset", "page", "flags"}, 0},
	{question{"Offset", "page", "lru"}, 8},
	{question{"Offset", "page", "mapping"}, 24},
	{question{"Offset", "page", "private"}, 40},
	{question{"Offset", "page", "compound_head"}, 8},
	{question{"Offset", "page", "_mapcount"}, 48},
	{question{"Offset", "page", "last"}, 56},
	{question{"Offset", "list_head", "prev"}, 8},
	{question{"Offset", "atomic_t", "counter"}, 0},
	{question{"Offset", "either", "b"}, 0},
	{question{"Offset", "filler191", "flags"}, 191},
	{question{"Length", "zone", "free_area"}, 11},
	{question{"EnumValue", "pageflags", "PG_locked"}, 0},
	{question{"EnumValue", "pageflags", "PG_slab"}, 7},
	{question{"EnumValue", "pageflags", "PG_max"}, 1<<32 - 1},
	{question{"EnumValue", "state", "DEAD"}, -2},
	{question{"EnumValue", "big", "HUGE"}, 1 << 40},
	{question{"EnumValue", "big", "MINUS"}, -3},
}

var unanswerable = []question{
	{"Size", "none", ""},
	{"Size", "", ""},
	{"Size", "flags", ""}, // a member
	{"Size", "opaque", ""},
	{"Size", "do_one", ""},
	{"Size", "ptr_t", ""},
	{"Size", strings.Repeat("x", 1<<20), ""},
	{"Offset", "page", "none"},
	{"Offset", "page", ""},
	{"Offset", "page", "next"}, // of the named member lru
	{"Offset", "page", "small"},
	{"Offset", "page", "large"},
	{"Offset", "pageflags", "PG_slab"},
	{"Length", "page", "flags"},
	{"EnumValue", "pageflags", "DEAD"},
	{"EnumValue", "page", "flags"},
}

func TestQueries(t *testing.T) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		t.Run(order.String(), func(t *testing.T) {
			types, err := open(sample(t, order), order)
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // asked again, they come from what was remembered
				for _, test := range answers {
					if got, err := test.ask(types); got != test.want || err != nil {
						t.Errorf("%v = %d, %v, want %d", test.question, got, err, test.want)
					}
				}
			}
			for _, q := range unanswerable {
				if got, err := q.ask(types); !errors.Is(err, ErrNotFound) {
					t.Errorf("%v = %d, %v, want %v", q, got, err, ErrNotFound)
				}
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	le := binary.LittleEndian
	good := sample(t, le)
	typeLen := le.Uint32(good[12:])
	for _, test := range []struct {
		name   string
		change func(b []byte) []byte
		want   string
	}{
		{"empty", func(b []byte) []byte { return nil }, "cannot lie between"},
		{"short", func(b []byte) []byte { return b[:20] }, "20 bytes"},
		{"magic", func(b []byte) []byte { b[0] = 0; return b }, "magic 0xeb00"},
		{"version", func(b []byte) []byte { b[2] = 2; return b }, "version 2"},
		{"short header", func(b []byte) []byte { b[4] = 8; return b }, "header of 8 bytes"},
		{"long header", func(b []byte) []byte { b[7] = 8; return b }, "header of 134217752 bytes"},
		{"long types", func(b []byte) []byte { b[15] = 0xff; return b }, "lie outside"},
		{"strings elsewhere", func(b []byte) []byte { b[19] = 0xff; return b }, "lie outside"},
		{"cut off", func(b []byte) []byte { return b[:len(b)-1] }, "lie outside"},
		{"types cut off", func(b []byte) []byte { le.PutUint32(b[12:], typeLen-4); return b }, "BTF type"},
		{"unknown kind", func(b []byte) []byte { b[headerSize+7] = 0x55; return b }, "BTF type 1: invalid BTF: unknown kind 85"},
		{"no kind", func(b []byte) []byte { b[headerSize+7] = 0; return b }, "unknown kind 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			types, err := open(test.change(slices.Clone(good)), le)
			if types != nil || !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: %v, want %v with %q", err, ErrInvalid, test.want)
			}
		})
	}
	if _, err := Open(memory(nil), start+1<<20, start+2<<20, le); !errors.Is(err, mem.ErrNotMapped) {
		t.Errorf("Open of unmapped memory: %v, want %v", err, mem.ErrNotMapped)
	}
	if _, err := open(good, binary.BigEndian); !errors.Is(err, ErrInvalid) {
		t.Errorf("Open in the wrong byte order: %v, want %v", err, ErrInvalid)
	}
}

// TestEndless has types that contain themselves, in ways that no compiler makes.
func TestEndless(t *testing.T) {
	le := binary.LittleEndian
	raw := func(types ...[]uint32) []byte {
		strs := []byte("\x00a\x00b\x00")
		var section []byte
		for _, words := range types {
			for _, w := range words {
				section = le.AppendUint32(section, w)
			}
		}
		b := []byte{0x9f, 0xeb, 1, 0, headerSize, 0, 0, 0}
		for _, w := range []int{0, len(section), len(section), len(strs)} {
			b = le.AppendUint32(b, uint32(w))
		}
		return append(append(b, section...), strs...)
	}
	const name = 1 // "a"
	structWith := func(members ...uint32) []uint32 {
		s := []uint32{name, uint32(kindStruct)<<24 | uint32(len(members)), 8}
		for _, id := range members {
			s = append(s, 0, id, 0)
		}
		return s
	}
	for _, test := range []struct {
		name string
		btf  []byte
	}{
		{"a typedef of itself", raw([]uint32{name, uint32(kindTypedef) << 24, 1})},
		{"a const of a volatile of it", raw([]uint32{name, uint32(kindTypedef) << 24, 2}, []uint32{0, uint32(kindConst) << 24, 3}, []uint32{0, uint32(kindVolatile) << 24, 2})},
		{"a structure in itself", raw(structWith(1))},
		{"a structure often in itself", raw(structWith(slices.Repeat([]uint32{1}, 1000)...))},
		{"a member of no type", raw(structWith(7))},
		{"a typedef of nothing", raw([]uint32{name, uint32(kindTypedef) << 24, 0})},
	} {
		t.Run(test.name, func(t *testing.T) {
			types, err := open(test.btf, le)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := types.Offset("a", "b"); !errors.Is(err, ErrInvalid) {
				t.Errorf("Offset = %v, want %v", err, ErrInvalid)
			}
		})
	}
}

// TestNewKind adds a type of a kind that the package does not know, with and
// without the layout section that says how long it is.
func TestNewKind(t *testing.T) {
	le := binary.LittleEndian
	old := sample(t, le)
	typeLen, strOff, strLen := le.Uint32(old[12:]), le.Uint32(old[16:]), le.Uint32(old[20:])
	types := slices.Clone(old[headerSize:][:typeLen])
	for _, w := range []uint32{
		0, 100<<24 | 2, 0, 1, 2, 3, 4, 5, // 12 bytes, 4, and 2 times 8
		0, uint32(kindInt) << 24, 4, 32, // and one more that is known
	} {
		types = le.AppendUint32(types, w)
	}
	strs := old[headerSize:][strOff:][:strLen]
	layout := make([]byte, 4*101)
	layout[400], layout[401] = 4, 8

	b := []byte{0x9f, 0xeb, 1, 0, headerSize + 8, 0, 0, 0}
	for _, w := range []int{0, len(types), len(types), len(strs), len(types) + len(strs), len(layout)} {
		b = le.AppendUint32(b, uint32(w))
	}
	b = append(append(append(b, types...), strs...), layout...)
	with, err := open(b, le)
	if err != nil {
		t.Fatal(err)
	}
	without, err := open(old, le)
	if err != nil {
		t.Fatal(err)
	}
	if with.count != without.count+2 {
		t.Errorf("%d types, want %d", with.count, without.count+2)
	}
	for _, test := range answers {
		if got, err := test.ask(with); got != test.want || err != nil {
			t.Errorf("%v = %d, %v, want %d", test.question, got, err, test.want)
		}
	}
	le.PutUint32(b[headerSize+4:], 4*100) // the layout ends before the new kind
	if _, err := open(b, le); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "unknown kind 100") {
		t.Errorf("Open: %v, want unknown kind 100", err)
	}
}

func FuzzOpen(f *testing.F) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		b := sample(f, order)
		f.Add(b, order == binary.LittleEndian, "page", "mapping")
		f.Add(b, order == binary.LittleEndian, "pageflags", "PG_slab")
		f.Add(b[:len(b)/2], order == binary.LittleEndian, "zone", "free_area")
	}
	f.Fuzz(func(t *testing.T, b []byte, little bool, name, member string) {
		var order binary.ByteOrder = binary.BigEndian
		if little {
			order = binary.LittleEndian
		}
		types, err := open(b, order)
		if (err == nil) != (types != nil) {
			t.Fatalf("Open = %v, %v", types, err)
		}
		if err != nil {
			return
		}
		for _, what := range []string{"Size", "Offset", "Length", "EnumValue"} {
			question{what, name, member}.ask(types)
		}
	})
}
