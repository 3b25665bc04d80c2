// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/mem"
)

var dots = strings.Repeat(".", 61)

// fill is 14 records of 70 bytes: the last three are in the ring of the tests.
var fill = func() string {
	var s strings.Builder
	for i := range 14 {
		fmt.Fprintf(&s, "log %d T1 filler %02d%s\n", i, i, dots)
	}
	return s.String()
}()

var ringTests = []struct {
	name string
	spec string // for a ring of 8 descriptors and 256 bytes of text
	opt  Options
	want string
	// What Stats has, besides Records.
	stats Stats
}{
	{
		name: "plain",
		spec: `log 0 T0 Linux version 6.1
			log 1.5 T1 one
			committed 12345.678901 C3 two
			log 100000.000001 T1 wide`,
		want: `[    0.000000] Linux version 6.1
[    1.500000] one
[12345.678901] two
[100000.000001] wide
`,
	},
	{
		name: "callers",
		opt:  Options{Caller: true},
		spec: `log 1 T0 boot
			log 2 C12 "first\nsecond"
			log 3 T12345678 wide`,
		want: `[    1.000000] [      T0] boot
[    2.000000] [     C12] first
                          second
[    3.000000] [T12345678] wide
`,
	},
	{
		name: "continuation lines are indented",
		spec: `log 1 T0 "a\nb\n\nc"
			log 123456 T0 "a\nb"`,
		want: "[    1.000000] a\n               b\n               \n               c\n" +
			"[123456.000000] a\n                b\n",
	},
	{
		name: "hostile text",
		spec: `log 1 T0 "\x1b]0;owned\a\x1b[2J \r\v\f\x00\x7f\u00e9\t|"`,
		want: `[    1.000000] \x1b]0;owned\x07\x1b[2J \x0d\x0b\x0c\x00\x7f\xc3\xa9` + "\t|\n",
	},
	{
		name: "empty lines are lines, records without room are none",
		spec: `log 1 T0 a
			log 2 T0
			failed 3 T0
			log 4 T0 b`,
		want:  "[    1.000000] a\n[    2.000000] \n[    4.000000] b\n",
		stats: Stats{Dropped: 1},
	},
	{
		name: "states",
		spec: `reusable 1 T0 gone
			log 2 T0 a
			reserved 3 T0 half a
			log 4 T0 b
			racing`,
		want:  "[    2.000000] a\n[    4.000000] b\n",
		stats: Stats{Unfinished: 2},
	},
	{
		name: "a writer racing in a ring that has been round",
		spec: fill + "racing",
		want: "[   11.000000] filler 11" + dots + "\n" +
			"[   12.000000] filler 12" + dots + "\n" +
			"[   13.000000] filler 13" + dots + "\n",
		stats: Stats{Unfinished: 1},
	},
	{
		name: "another id in the slot",
		spec: `log 1 T0 a
			log 2 T0 b
			log 3 T0 c
			id -1 4711`,
		want:  "[    1.000000] a\n[    3.000000] c\n",
		stats: Stats{Damaged: 1},
	},
	{
		name: "text longer than its block",
		spec: `log 1 T0 abc
			len 0 65535
			log 2 T0 d`,
		want:  "[    1.000000] abc\\x00\\x00\\x00\\x00\\x00\n[    2.000000] d\n",
		stats: Stats{Torn: 1},
	},
	{
		name: "positions that no writer makes",
		spec: `log 1 T0 a
			log 2 T0 b
			next 0 0x7000
			log 3 T0 c
			begin 0 0x13
			log 4 T0 d
			next 0 2
			log 5 T0 e`,
		want:  "[    1.000000] a\n[    5.000000] e\n",
		stats: Stats{Damaged: 3},
	},
	{
		name: "since clear",
		opt:  Options{SinceClear: true},
		spec: `log 1 T0 a
			log 2 T0 b
			log 3 T0 c
			clear 1`,
		want: "[    2.000000] b\n[    3.000000] c\n",
	},
	{
		name: "head out of this world",
		spec: `log 1 T0 a
			log 2 T0 b
			head 0x123456`,
		want:  "[    1.000000] a\n[    2.000000] b\n",
		stats: Stats{Salvaged: true},
	},
	{
		name: "head and tail zero, ring been round",
		spec: fill + "head 0\ntail 0",
		want: "[   11.000000] filler 11" + dots + "\n" +
			"[   12.000000] filler 12" + dots + "\n" +
			"[   13.000000] filler 13" + dots + "\n",
		stats: Stats{Salvaged: true},
	},
	{
		name: "salvage with one record lost",
		spec: `log 1 T0 a
			log 2 T0 b
			id 0 99
			log 3 T0 c
			tail 0x55`,
		want:  "[    1.000000] a\n[    3.000000] c\n",
		stats: Stats{Salvaged: true},
	},
	{name: "nothing logged yet"},
}

func TestRing(t *testing.T) {
	for _, test := range ringTests {
		forEachMachine(t, test.name, func(t *testing.T, word int, order binary.ByteOrder) {
			b := newRingBuilder(word, order, 3, 8, false, 0)
			b.run(t, test.spec)
			b.build()
			got, stats, err := write(t, &b.machine, test.opt)
			if err != nil {
				t.Fatalf("Write: %v", err)
			}
			want := test.want
			if word == 4 {
				want = strings.ReplaceAll(want, `abc\x00\x00\x00\x00\x00`, `abc\x00`) // padded to a word
			}
			if got != want {
				t.Errorf("Write wrote\n%swant\n%s", got, want)
			}
			if (stats.Err != nil) != (stats.Damaged > 0) {
				t.Errorf("Err = %v with %d damaged", stats.Err, stats.Damaged)
			}
			stats.Err, stats.Records = nil, 0
			if stats != test.stats {
				t.Errorf("Stats = %+v, want %+v", stats, test.stats)
			}
		})
	}
}

func forEachMachine(t *testing.T, name string, f func(*testing.T, int, binary.ByteOrder)) {
	for _, word := range []int{8, 4} {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			t.Run(fmt.Sprintf("%s/%d-bit %v", name, word*8, order), func(t *testing.T) { f(t, word, order) })
		}
	}
}

// TestRingWraps logs at random and compares with what must still be there: the
// records that the builder, which gives up records as the kernel does, has not
// given up. Lengths are such that blocks often end exactly at the ring's end.
func TestRingWraps(t *testing.T) {
	for _, exact := range []bool{false, true} {
		for _, pad := range []int{0, 8} {
			forEachMachine(t, fmt.Sprintf("exact=%v pad=%d", exact, pad), func(t *testing.T, word int, order binary.ByteOrder) {
				rnd := rand.New(rand.NewSource(1))
				atEnd, wrapped := 0, 0
				for range 300 {
					b := newRingBuilder(word, order, 4, 9, exact, pad)
					texts := map[uint64]string{}
					for i := range rnd.Intn(60) {
						text := fmt.Sprintf("%d:%s", i, strings.Repeat("x", rnd.Intn(10)*8))
						before := b.headLpos
						texts[b.log(descFinalized, uint64(i)*1e9, 0, text)] = fmt.Sprintf("[%5d.000000] %s\n", i, text)
						if (b.headLpos-1)>>b.sizeBits != before>>b.sizeBits {
							wrapped++
						} else if b.headLpos%(1<<b.sizeBits) == 0 {
							atEnd++
						}
					}
					want := ""
					for _, blk := range b.blocks {
						want += texts[blk.id]
					}
					b.build()
					got, stats, err := write(t, &b.machine, Options{})
					if err != nil {
						t.Fatalf("Write: %v", err)
					}
					if got != want {
						t.Fatalf("Write wrote\n%swant\n%s", got, want)
					}
					if n := uint64(len(b.blocks)); stats != (Stats{Records: n}) {
						t.Fatalf("Stats = %+v, want %d records only", stats, n)
					}
				}
				if wrapped == 0 || exact != (atEnd > 0) {
					t.Errorf("%d blocks wrapped, %d ended at the ring's end: the test tests nothing", wrapped, atEnd)
				}
			})
		}
	}
}

// TestRingHoles has pages that cannot be read in each of the rings.
func TestRingHoles(t *testing.T) {
	const records = 512
	for _, test := range []struct {
		area string
		lost string // what of the log a hole in page 1 of the area costs
	}{
		// 24 bytes a descriptor: page 1 has bytes of those from 170 to 341.
		{"descs", "170-341"},
		// 88 bytes an info, from 0x800 in page 0 on: 23 to 69.
		{"infos", "23-69"},
		// 16 bytes a block, from 0x100 in page 0 on: 240 to 495; the text lies
		// behind the id, in the last 8 bytes.
		{"data", "240-495"},
	} {
		t.Run(test.area, func(t *testing.T) {
			b := newRingBuilder(8, binary.LittleEndian, 9, 14, false, 0)
			b.run(t, strings.Repeat("log 1 T0 r\n", records))
			for i := range records {
				b.setInfo((b.head-records+1+uint64(i))&(1<<62-1), uint64(i), uint64(i)*1e9, 1, 0)
			}
			b.run(t, "hole "+test.area+" 1")
			b.build()

			var first, last, want int
			fmt.Sscanf(test.lost, "%d-%d", &first, &last)
			got, stats, err := write(t, &b.machine, Options{})
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for i := range records {
				if i < first || i > last {
					fmt.Fprintf(&text, "[%5d.000000] r\n", i)
					want++
				}
			}
			if got != text.String() {
				t.Errorf("Write wrote\n%swant\n%s", got, text.String())
			}
			if stats.Records != uint64(want) || stats.Damaged != uint64(records-want) || !errors.Is(stats.Err, mem.ErrUnreadable) {
				t.Errorf("Stats = %+v, want %d records, %d damaged, Err %v", stats, want, records-want, mem.ErrUnreadable)
			}
		})
	}
}

// TestRingOptional leaves out what a log can be read without.
func TestRingOptional(t *testing.T) {
	b := newRingBuilder(8, binary.LittleEndian, 3, 8, false, 0)
	b.run(t, "log 1 T5 a\nlog 2 T6 b\nclear 1")
	b.build()
	for _, test := range []struct {
		edits []string // of VMCOREINFO
		want  string
	}{
		{nil, "[    2.000000] [      T6] b\n"},
		{[]string{"OFFSET(printk_info.caller_id)"}, "[    2.000000] b\n"},
		{[]string{"OFFSET(printk_info.seq)"}, "[    1.000000] [      T5] a\n[    2.000000] [      T6] b\n"},
		{[]string{"SYMBOL(clear_seq)"}, "[    1.000000] [      T5] a\n[    2.000000] [      T6] b\n"},
	} {
		got, _, err := write(t, &b.machine, Options{Caller: true, SinceClear: true}, test.edits...)
		if got != test.want || err != nil {
			t.Errorf("without %q Write = %v, wrote\n%swant\n%s", test.edits, err, got, test.want)
		}
	}
}

func TestRingErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		edit   string // of VMCOREINFO
		damage func(b *ringBuilder)
		opt    Options
		want   string // part of the error
	}{
		{name: "no log at all", edit: "SYMBOL(prb)", want: "SYMBOL(prb)"},
		{name: "no size", edit: "SIZE(prb_desc)", want: "no SIZE(prb_desc)"},
		{name: "no offset", edit: "OFFSET(prb_desc_ring.tail_id)", want: "no OFFSET(prb_desc_ring.tail_id)"},
		{name: "no nested offset", edit: "OFFSET(atomic_long_t.counter)", want: "no OFFSET(atomic_long_t.counter)"},
		{name: "no sequence number to salvage by", edit: "OFFSET(printk_info.seq)", damage: func(b *ringBuilder) { b.pieces[addrRing][32] ^= 0x40 }, want: "OFFSET(printk_info.seq)"},
		{name: "huge size", edit: "SIZE(printk_info)=99999", want: "SIZE(printk_info)=99999"},
		{name: "size 0", edit: "SIZE(prb_desc)=0", want: "SIZE(prb_desc)=0"},
		{name: "offset outside", edit: "OFFSET(printk_info.text_len)=87", want: "OFFSET(printk_info.text_len)=87"},
		{name: "offset that overflows", edit: "OFFSET(prb_data_ring.data)=18446744073709551608", want: "OFFSET(prb_data_ring.data)"},
		{name: "no prb", damage: func(b *ringBuilder) { delete(b.pieces, addrPrb) }, want: "prb: "},
		{name: "no ring", damage: func(b *ringBuilder) { delete(b.pieces, addrRing) }, want: "printk_ringbuffer: "},
		{name: "null descs", damage: func(b *ringBuilder) { b.put(b.pieces[addrRing], 8, 8, 0) }, want: "descs: "},
		{name: "count_bits 0", damage: func(b *ringBuilder) { b.pieces[addrRing][0] = 0 }, want: "count_bits 0"},
		{name: "count_bits 255", damage: func(b *ringBuilder) { b.pieces[addrRing][0] = 255 }, want: "count_bits 255"},
		{name: "size_bits 64", damage: func(b *ringBuilder) { b.pieces[addrRing][48] = 64 }, want: "size_bits 64"},
		{name: "no record readable", damage: func(b *ringBuilder) { delete(b.pieces, addrInfos) }, want: "info 0: "},
		{name: "no descriptor readable", damage: func(b *ringBuilder) { delete(b.pieces, addrDescs) }, want: "no record in it"},
		{name: "no clear_seq", damage: func(b *ringBuilder) { delete(b.pieces, addrClearSeq) }, opt: Options{SinceClear: true}, want: "clear_seq: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newRingBuilder(8, binary.LittleEndian, 3, 8, false, 0)
			b.run(t, "log 1 T0 a")
			b.build()
			if test.damage != nil {
				test.damage(b)
			}
			got, _, err := write(t, &b.machine, test.opt, test.edit)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Write = %q, %v; want an error of one line with %q", got, err, test.want)
			}
		})
	}
}
