// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// checkFuzzed runs Write over m and checks what holds for any memory at all.
func checkFuzzed(t *testing.T, m *machine, info string, maxRecords uint64) {
	parsed, err := vmcoreinfo.Parse([]byte(info))
	if err != nil {
		t.Skip(err)
	}
	for _, opt := range []Options{{}, {Caller: true, SinceClear: true}} {
		var out bytes.Buffer
		stats, err := Write(&out, kstruct.New(parsed, m, m.order), m, m.order, opt)
		for _, c := range out.Bytes() {
			if c != '\n' && c != '\t' && (c < ' ' || c > '~') {
				t.Fatalf("byte %#x in the output", c)
			}
		}
		if stats.Records > maxRecords {
			t.Fatalf("%d records, want at most %d", stats.Records, maxRecords)
		}
		if stats.Records == 0 && stats.Damaged > 0 && err == nil {
			t.Fatal("no record could be read, and no error")
		}
	}
}

func FuzzRing(f *testing.F) {
	for _, test := range ringTests {
		for _, word := range []int{8, 4} {
			b := newRingBuilder(word, binary.LittleEndian, 3, 8, false, 0)
			b.run(f, test.spec)
			b.build()
			f.Add(word == 4, b.info.String(), b.pieces[addrRing], b.descs, b.infos, b.data)
		}
	}
	f.Fuzz(func(t *testing.T, is32 bool, info string, ring, descs, infos, data []byte) {
		m := newMachine(8, binary.LittleEndian)
		if is32 {
			m.word, m.base = 4, base32
		}
		if len(ring) < 4 || m.order.Uint32(ring)&31 > 12 {
			t.Skip("slow: a ring of that many slots")
		}
		m.variable("prb", addrPrb, m.word, m.base+addrRing)
		m.variable("clear_seq", addrClearSeq, 8, 1)
		m.pieces[addrRing], m.pieces[addrDescs], m.pieces[addrInfos], m.pieces[addrData] = ring, descs, infos, data
		checkFuzzed(t, &m, info, 1<<12)
	})
}

func FuzzRecords(f *testing.F) {
	b := newRecordBuilder(8, binary.LittleEndian, 512)
	for i := range 30 {
		b.log(uint64(i)*1e9, 7, "usb 1-1: new\nsecond", "SUBSYSTEM=usb")
	}
	b.build("printk_log")
	f.Add(b.info.String(), b.buf, uint32(512), uint32(b.first), uint32(b.next))
	f.Add(b.info.String(), b.buf, uint32(512), uint32(0), uint32(1<<31))
	f.Fuzz(func(t *testing.T, info string, buf []byte, size, first, next uint32) {
		if size > 1<<20 {
			t.Skip("slow: a buffer of that size")
		}
		m := newMachine(8, binary.LittleEndian)
		m.pieces[addrLogBuf] = buf
		m.variable("log_buf", addrLogBufVar, 8, m.base+addrLogBuf)
		m.variable("log_buf_len", addrLogBufLen, 4, uint64(size))
		m.variable("log_first_idx", addrFirstIdx, 4, uint64(first))
		m.variable("log_next_idx", addrNextIdx, 4, uint64(next))
		m.variable("clear_idx", addrClearIdx, 4, uint64(next/2))
		checkFuzzed(t, &m, info, uint64(size))
	})
}
