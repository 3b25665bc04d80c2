// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package kallsyms

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// Where the builder puts the tables: as on x86_64, or in 32 bits.
const (
	image64 = 0xffffffff9ae00000
	image32 = 0xc1000000
)

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// variant is a way in which some kernel encodes its table.
type variant struct {
	name   string
	word   int
	order  byteOrder
	long   bool // lengths over 127 take two bytes
	addrs  string
	percpu bool // per-CPU symbols are offsets
	split  bool // the last two offsets begin a page
}

var variants = []variant{
	{name: "x86_64 6.0", word: 8, order: binary.LittleEndian, addrs: "absolute-percpu", percpu: true},
	{name: "x86_64 6.1", word: 8, order: binary.LittleEndian, long: true, addrs: "absolute-percpu", percpu: true},
	{name: "arm64 6.0", word: 8, order: binary.LittleEndian, addrs: "base-relative"},
	{name: "s390x 6.12", word: 8, order: binary.BigEndian, long: true, addrs: "base-relative"},
	{name: "x86_64 7.0", word: 8, order: binary.LittleEndian, long: true, addrs: "place-relative"},
	{name: "s390x 7.0", word: 8, order: binary.BigEndian, long: true, addrs: "place-relative"},
	{name: "ia64 6.0", word: 8, order: binary.LittleEndian, addrs: "absolute"},
	{name: "arm 6.1", word: 4, order: binary.LittleEndian, long: true, addrs: "base-relative"},
	{name: "arm 7.0", word: 4, order: binary.LittleEndian, long: true, addrs: "no base"},
	{name: "ppc 6.0", word: 4, order: binary.BigEndian, addrs: "absolute"},
}

// image is the part of kernel memory that holds the tables.
type image struct {
	base  uint64
	bytes []byte
	info  strings.Builder
}

// ReadVirt reads the image, whose last page is filled up with zeros.
func (m *image) ReadVirt(p []byte, addr mem.VirtAddr) error {
	off, size := uint64(addr)-m.base, uint64(len(m.bytes)+4095)&^4095
	if uint64(addr) < m.base || off > size || uint64(len(p)) > size-off {
		return fmt.Errorf("%v: %w", addr, mem.ErrNotMapped)
	}
	clear(p)
	if off < uint64(len(m.bytes)) {
		copy(p, m.bytes[off:])
	}
	return nil
}

// put adds a table to the image and to VMCOREINFO, and returns its address.
func (m *image) put(name string, b []byte) uint64 {
	for len(m.bytes)%8 != 0 {
		m.bytes = append(m.bytes, 0xff)
	}
	addr := m.base + uint64(len(m.bytes))
	m.bytes = append(m.bytes, b...)
	fmt.Fprintf(&m.info, "SYMBOL(%s)=%x\n", name, addr)
	return addr
}

func (m *image) vmcoreinfo(t testing.TB) *vmcoreinfo.Info {
	t.Helper()
	info, err := vmcoreinfo.Parse([]byte(m.info.String()))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// build makes the image of a kernel of variant v that has the symbols.
func build(v variant, symbols []Symbol) *image {
	m := &image{base: image64}
	if v.word == 4 {
		m.base = image32
	}
	fmt.Fprintf(&m.info, "OSRELEASE=6.1.0\nPAGESIZE=4096\nOFFSET(list_head.prev)=%d\n", v.word)
	m.put("kallsyms_num_syms", v.order.AppendUint32(nil, uint32(len(symbols))))
	m.put("kallsyms_names", encodeNames(v, symbols))
	var table, index []byte
	for i := range 256 {
		index = v.order.AppendUint16(index, uint16(len(table)))
		table = append(append(table, token(i)...), 0)
	}
	m.put("kallsyms_token_table", table)
	m.put("kallsyms_token_index", index)
	for _, s := range symbols {
		if s.Name == anchor {
			fmt.Fprintf(&m.info, "SYMBOL(%s)=%x\n", anchor, uint64(s.Addr))
		}
	}
	putAddrs(m, v, symbols)
	return m
}

// token returns token i: printable ASCII stands for itself, the rest for words.
func token(i int) string {
	if i > ' ' && i < 0x7f {
		return string(rune(i))
	}
	return fmt.Sprintf("tok%d_", i)
}

func encodeNames(v variant, symbols []Symbol) []byte {
	var names []byte
	for _, s := range symbols {
		text := string(s.Type) + s.Name
		var numbers []byte
	next:
		for len(text) > 0 {
			for i := 255; i >= 0; i-- {
				if rest, ok := strings.CutPrefix(text, token(i)); ok {
					numbers, text = append(numbers, byte(i)), rest
					continue next
				}
			}
		}
		switch {
		case len(numbers) < 0x80:
			names = append(names, byte(len(numbers)))
		default:
			names = append(names, byte(len(numbers))|0x80, byte(len(numbers)>>7))
		}
		names = append(names, numbers...)
	}
	return names
}

func putAddrs(m *image, v variant, symbols []Symbol) {
	const base = 0x1000000 // below the image
	for v.split && len(m.bytes)%4096 != 4096-4*(len(symbols)-2) {
		m.bytes = append(m.bytes, 0)
	}
	at := m.base + uint64(len(m.bytes)+7)&^7
	var b []byte
	for i, s := range symbols {
		addr := uint64(s.Addr)
		switch v.addrs {
		case "absolute":
			if v.word == 4 {
				b = v.order.AppendUint32(b, uint32(addr))
			} else {
				b = v.order.AppendUint64(b, addr)
			}
			continue
		case "absolute-percpu":
			if addr >= m.base-base {
				addr = m.base - base - 1 - addr
			}
		case "base-relative":
			addr -= m.base - base
		case "place-relative":
			addr -= at + 4*uint64(i)
		}
		b = v.order.AppendUint32(b, uint32(addr))
	}
	if v.addrs == "absolute" {
		m.put("kallsyms_addresses", b)
		return
	}
	m.put("kallsyms_offsets", b)
	if v.addrs == "place-relative" || v.addrs == "no base" {
		return
	}
	var word []byte
	if v.word == 4 {
		word = v.order.AppendUint32(nil, uint32(m.base-base))
	} else {
		word = v.order.AppendUint64(nil, m.base-base)
	}
	m.put("kallsyms_relative_base", word)
}

// symbolsFor returns symbols as a kernel of variant v may have them.
func symbolsFor(v variant) []Symbol {
	base := mem.VirtAddr(image64)
	if v.word == 4 {
		base = image32
	}
	var symbols []Symbol
	if v.percpu {
		symbols = []Symbol{{"fixed_percpu_data", 'D', 0}, {"tok1_cpu_number", 'D', 0x1f00}}
	}
	long := strings.Repeat("x", 120)
	if v.long {
		long = strings.Repeat("long", 100)
	}
	return append(symbols,
		Symbol{"_text", 'T', base - 0x400000},
		Symbol{anchor, 'T', base - 0x3ff000},
		Symbol{"tok200_tok201_open", 't', base - 0x3fe000},
		Symbol{long, 't', base - 0x3fd000},
		Symbol{"do_one", 't', base - 0x3fc000},
		Symbol{"do_one", 't', base - 0x3fb000},
		Symbol{"__start_BTF", 'R', base + 0x1000},
		Symbol{"_end", 'B', base + 0x3000000},
	)
}

func TestVariants(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			want := symbolsFor(v)
			m := build(v, want)
			table, err := Open(m.vmcoreinfo(t), m, v.order)
			if err != nil {
				t.Fatalf("Open: %v", err)
			}
			if table.Len() != len(want) {
				t.Errorf("Len() = %d, want %d", table.Len(), len(want))
			}
			var got []Symbol
			if err := table.Each(func(s Symbol) bool { got = append(got, s); return true }); err != nil {
				t.Errorf("Each: %v", err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("Each gave\n%v, want\n%v", got, want)
			}
			found, err := table.Find("__start_BTF", "none", "do_one")
			wantFound := []Symbol{want[len(want)-2], {}, want[len(want)-4]}
			if err != nil || !slices.Equal(found, wantFound) {
				t.Errorf("Find = %v, %v, want %v", found, err, wantFound)
			}
		})
	}
}

func TestEachStops(t *testing.T) {
	v := variants[0]
	m := build(v, symbolsFor(v))
	table, err := Open(m.vmcoreinfo(t), m, v.order)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := table.Each(func(Symbol) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("Each called f %d times, %v, want 3", n, err)
	}
}

func TestOpenErrors(t *testing.T) {
	v := variants[4]
	for _, test := range []struct {
		name   string
		change func(m *image, info string) string // returns VMCOREINFO
		want   string
	}{
		{"kernel before 6.0", func(m *image, info string) string {
			return strings.ReplaceAll(info, "SYMBOL(kallsyms", "SYMBOL(other")
		}, "no SYMBOL(kallsyms_num_syms)"},
		{"no offsets", func(m *image, info string) string {
			return strings.ReplaceAll(info, "kallsyms_offsets", "other")
		}, "no SYMBOL(kallsyms_offsets)"},
		{"no anchor", func(m *image, info string) string {
			return strings.ReplaceAll(info, anchor, "other")
		}, "no SYMBOL(_stext)"},
		{"other anchor", func(m *image, info string) string {
			return strings.ReplaceAll(info, "SYMBOL(_stext)=f", "SYMBOL(_stext)=e")
		}, "as the address of _stext"},
		{"no symbols", func(m *image, info string) string {
			clear(m.bytes[:4])
			return info
		}, "kallsyms_num_syms is 0"},
		{"too many symbols", func(m *image, info string) string {
			m.bytes[3] = 0xff
			return info
		}, "kallsyms_num_syms is 4278190088"},
		{"more symbols than there are", func(m *image, info string) string {
			m.bytes[0] = 0xff
			return strings.ReplaceAll(info, "SYMBOL(_stext)=f", "SYMBOL(_stext)=e")
		}, "as the address of _stext"},
		{"unmapped", func(m *image, info string) string {
			m.bytes = nil
			return info
		}, "kallsyms_num_syms: "},
		{"empty name", func(m *image, info string) string {
			m.bytes[8] = 0
			return info
		}, "symbol 0 has no name"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := build(v, symbolsFor(v))
			text := test.change(m, m.info.String())
			info, err := vmcoreinfo.Parse([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Open(info, m, v.order)
			if !errors.Is(err, ErrUnknownLayout) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Open: %v, want %v with %q", err, ErrUnknownLayout, test.want)
			}
		})
	}
}

// TestLostPage has a table of offsets that can be read only in part: the
// symbols of the rest are left out.
func TestLostPage(t *testing.T) {
	v := variants[4]
	v.split = true
	symbols := symbolsFor(v)
	m := build(v, symbols)
	m.bytes = m.bytes[:len(m.bytes)&^4095] // kallsyms_offsets comes last
	table, err := Open(m.vmcoreinfo(t), m, v.order)
	if err != nil {
		t.Fatal(err)
	}
	var got []Symbol
	if err := table.Each(func(s Symbol) bool { got = append(got, s); return true }); err != nil {
		t.Errorf("Each: %v", err)
	}
	if want := symbols[:len(symbols)-2]; !slices.Equal(got, want) {
		t.Errorf("Each gave\n%v, want\n%v", got, want)
	}
	found, err := table.Find("_end")
	if want := []Symbol{{Name: "_end", Type: 'B'}}; err != nil || !slices.Equal(found, want) {
		t.Errorf("Find = %v, %v, want %v", found, err, want)
	}
}

func FuzzOpen(f *testing.F) {
	for _, v := range variants {
		m := build(v, symbolsFor(v))
		f.Add(v.order == binary.LittleEndian, v.word == 4, m.info.String(), m.bytes)
	}
	f.Fuzz(func(t *testing.T, little, is32 bool, text string, memory []byte) {
		info, err := vmcoreinfo.Parse([]byte(text))
		if err != nil {
			t.Skip(err)
		}
		m := &image{base: image64, bytes: memory}
		if is32 {
			m.base = image32
		}
		var order binary.ByteOrder = binary.BigEndian
		if little {
			order = binary.LittleEndian
		}
		table, err := Open(info, m, order)
		if (err == nil) != (table != nil) {
			t.Fatalf("Open = %v, %v", table, err)
		}
		if err != nil {
			return
		}
		want, _ := info.Symbol(anchor)
		found, err := table.Find(anchor)
		if err != nil || found[0].Addr != want {
			t.Fatalf("Find(%s) = %v, %v, want %v: Open should have refused", anchor, found, err, want)
		}
		n := 0
		table.Each(func(s Symbol) bool {
			n++
			if s.Name == "" {
				t.Fatal("symbol without a name")
			}
			return true
		})
		if n > table.Len() {
			t.Fatalf("Each gave %d symbols of %d", n, table.Len())
		}
	})
}
