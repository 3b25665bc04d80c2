// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

const (
	addrLogBuf    = 0x10000
	addrLogBufVar = 0x100
	addrLogBufLen = 0x200
	addrFirstIdx  = 0x300
	addrNextIdx   = 0x400
	addrClearIdx  = 0x500
)

// recordBuilder logs as the kernel did from 3.5 to 5.9.
type recordBuilder struct {
	machine
	buf                []byte
	header             int
	first, next, clear int
	ats                []int // where the records in the buffer begin
}

func newRecordBuilder(word int, order binary.ByteOrder, size int) *recordBuilder {
	return &recordBuilder{machine: newMachine(word, order), buf: make([]byte, size), header: 20}
}

// log adds a record as log_store does: room first, then the wrap if need be.
func (b *recordBuilder) log(ts uint64, caller uint32, text, dict string) {
	n := (b.header + len(text) + len(dict) + 3) &^ 3
	for !b.room(n) {
		b.dropFirst()
	}
	if b.next+n+b.header > len(b.buf) {
		clear(b.buf[b.next:][:b.header])
		b.next = 0
	}
	h := b.buf[b.next:]
	b.put(h, 0, 8, ts)
	b.put(h, 8, 2, uint64(n))
	b.put(h, 10, 2, uint64(len(text)))
	b.put(h, 12, 2, uint64(len(dict)))
	b.put(h, 16, 4, uint64(caller))
	copy(h[b.header:], text+dict)
	b.ats = append(b.ats, b.next)
	b.next += n
}

func (b *recordBuilder) room(n int) bool {
	if len(b.ats) == 0 || b.next > b.first {
		return max(len(b.buf)-b.next, b.first) >= n+b.header
	}
	return b.first-b.next >= n+b.header
}

func (b *recordBuilder) dropFirst() {
	b.ats = b.ats[1:]
	b.first = b.next
	if len(b.ats) > 0 {
		b.first = b.ats[0]
	}
}

func (b *recordBuilder) build(name string) {
	b.pieces[addrLogBuf] = b.buf
	b.variable("log_buf", addrLogBufVar, b.word, b.base+addrLogBuf)
	b.variable("log_buf_len", addrLogBufLen, 4, uint64(len(b.buf)))
	b.variable("log_first_idx", addrFirstIdx, 4, uint64(b.first))
	b.variable("log_next_idx", addrNextIdx, 4, uint64(b.next))
	b.variable("clear_idx", addrClearIdx, 4, uint64(b.clear))
	b.key("SIZE(%s)=%d\nOFFSET(%[1]s.ts_nsec)=0\nOFFSET(%[1]s.len)=8\nOFFSET(%[1]s.text_len)=10\n", name, b.header)
	b.key("OFFSET(%s.caller_id)=16\n", name)
}

func TestRecords(t *testing.T) {
	for _, test := range []struct {
		name  string
		build func(b *recordBuilder) // of 512 bytes
		opt   Options
		want  string
		stats Stats
	}{
		{
			name: "plain, with dictionaries",
			build: func(b *recordBuilder) {
				b.log(0, 0, "Linux version 5.4", "")
				b.log(1.5e9, 7, "usb 1-1: new\nsecond", "SUBSYSTEM=usb\x00DEVICE=c189:1")
				b.log(2e9, 7, "", "")
				b.log(3e9, 7, "a\x1b", "")
			},
			want: "[    0.000000] Linux version 5.4\n[    1.500000] usb 1-1: new\n               second\n" +
				"[    2.000000] \n[    3.000000] a\\x1b\n",
			stats: Stats{Records: 4},
		},
		{
			name: "callers",
			opt:  Options{Caller: true},
			build: func(b *recordBuilder) {
				b.log(1e9, 7, "a", "")
				b.log(2e9, 1<<31|3, "b", "")
			},
			want:  "[    1.000000] [      T7] a\n[    2.000000] [      C3] b\n",
			stats: Stats{Records: 2},
		},
		{
			name: "since clear",
			opt:  Options{SinceClear: true},
			build: func(b *recordBuilder) {
				b.log(1e9, 7, "a", "")
				b.clear = b.next
				b.log(2e9, 7, "b", "")
			},
			want:  "[    2.000000] b\n",
			stats: Stats{Records: 1},
		},
		{
			name: "a damaged length costs one record",
			build: func(b *recordBuilder) {
				b.log(1e9, 7, "a", "")
				at := b.next
				b.log(2e9, 7, "looks like text, not like a header: \x00\x00\x00\x00\x08\x00\x08\x00", "")
				b.put(b.buf, at+8, 2, 3)
				b.log(3e9, 7, "c", "")
				b.log(4e9, 7, "d", "")
			},
			want:  "[    1.000000] a\n[    3.000000] c\n[    4.000000] d\n",
			stats: Stats{Records: 3, Damaged: 1},
		},
		{
			name: "absurd indexes",
			build: func(b *recordBuilder) {
				b.log(1e9, 7, "a", "")
				b.log(2e9, 7, "b", "")
				b.next = 1 << 30
			},
			want:  "[    1.000000] a\n[    2.000000] b\n",
			stats: Stats{Records: 2, Salvaged: true},
		},
		{name: "nothing logged yet", build: func(*recordBuilder) {}},
	} {
		for _, name := range []string{"printk_log", "log"} {
			forEachMachine(t, test.name+"/"+name, func(t *testing.T, word int, order binary.ByteOrder) {
				b := newRecordBuilder(word, order, 512)
				test.build(b)
				b.build(name)
				got, stats, err := write(t, &b.machine, test.opt)
				if err != nil {
					t.Fatalf("Write: %v", err)
				}
				if got != test.want {
					t.Errorf("Write wrote\n%swant\n%s", got, test.want)
				}
				if stats.Err = nil; stats != test.stats {
					t.Errorf("Stats = %+v, want %+v", stats, test.stats)
				}
			})
		}
	}
}

// TestRecordsWrap logs until the buffer has been round many times, and stops
// after each record to compare with what must be there.
func TestRecordsWrap(t *testing.T) {
	b := newRecordBuilder(8, binary.LittleEndian, 400)
	var lines []string
	wrapped := 0
	for i := range 500 {
		text := strings.Repeat("y", i*7%60)
		b.log(uint64(i)*1e9, 0, text, "")
		lines = append(lines, fmt.Sprintf("[%5d.000000] %s\n", i, text))
		lines = lines[len(lines)-len(b.ats):]
		if b.next < b.first {
			wrapped++
		}
		now := *b
		now.machine = newMachine(8, binary.LittleEndian)
		now.build("printk_log")
		got, stats, err := write(t, &now.machine, Options{})
		if want := strings.Join(lines, ""); err != nil || got != want {
			t.Fatalf("after %d records Write wrote, with error %v,\n%swant\n%s", i+1, err, got, want)
		}
		if stats != (Stats{Records: uint64(len(lines))}) {
			t.Fatalf("after %d records Stats = %+v, want %d records only", i+1, stats, len(lines))
		}
	}
	if wrapped == 0 {
		t.Error("the buffer never wrapped: the test tests nothing")
	}
}

func TestChars(t *testing.T) {
	const size = 64
	all := strings.Repeat("<6>line\n", 20) + "<4>\x1b[31mend\n"
	for _, test := range []struct {
		name   string
		log    string
		logged int
		opt    Options
		want   string
	}{
		{"not full", "<6>one\n<6>two\n", 5, Options{}, "<6>one\n<6>two\n"},
		{"full, wrapped", all, 5, Options{}, strings.Replace(all[len(all)-size:], "\x1b", `\x1b`, 1)},
		{"since clear", all, 7, Options{SinceClear: true}, "31mend\n"},
		{"empty", "", 0, Options{}, ""},
	} {
		forEachMachine(t, test.name, func(t *testing.T, word int, order binary.ByteOrder) {
			m := newMachine(word, order)
			buf := make([]byte, size)
			for i := range len(test.log) {
				buf[i%size] = test.log[i]
			}
			m.pieces[addrLogBuf] = buf
			m.variable("log_buf", addrLogBufVar, word, m.base+addrLogBuf)
			m.variable("log_buf_len", addrLogBufLen, 4, size)
			m.variable("log_end", addrNextIdx, 4, uint64(len(test.log)))
			m.variable("logged_chars", addrClearIdx, 4, uint64(test.logged))
			got, _, err := write(t, &m, test.opt)
			if err != nil || got != test.want {
				t.Errorf("Write = %q, %v, want %q", got, err, test.want)
			}
		})
	}
}

func TestBufErrors(t *testing.T) {
	for _, test := range []struct {
		name, edit string
		damage     func(b *recordBuilder)
		want       string
	}{
		{name: "no log_next_idx", edit: "SYMBOL(log_next_idx)", want: "no SYMBOL(log_next_idx)"},
		{name: "no log_buf", edit: "SYMBOL(log_buf)", want: "no SYMBOL(log_buf)"},
		{name: "no size", edit: "SIZE(printk_log)", want: "no SIZE(printk_log)"},
		{name: "no text_len", edit: "OFFSET(printk_log.text_len)", want: "no OFFSET(printk_log.text_len)"},
		{name: "unreadable", damage: func(b *recordBuilder) { delete(b.pieces, addrLogBuf) }, want: "log_buf+0x0: "},
		{name: "unmapped variable", damage: func(b *recordBuilder) { delete(b.pieces, addrLogBufLen) }, want: "log_buf_len: "},
		{name: "length 0", damage: func(b *recordBuilder) { clear(b.pieces[addrLogBufLen]) }, want: "log_buf_len 0"},
		{name: "null", damage: func(b *recordBuilder) { clear(b.pieces[addrLogBufVar]) }, want: "log_buf: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newRecordBuilder(8, binary.LittleEndian, 512)
			b.log(1e9, 0, "a", "")
			b.build("printk_log")
			if test.damage != nil {
				test.damage(b)
			}
			got, _, err := write(t, &b.machine, Options{}, test.edit)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("Write = %q, %v; want an error of one line with %q", got, err, test.want)
			}
		})
	}
}
