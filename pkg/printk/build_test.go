// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/mem"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// memory is kernel memory for tests: pieces, less the pages in holes. Their
// addresses are relative to base.
type memory struct {
	base   uint64
	pieces map[uint64][]byte
	holes  map[uint64]bool
}

// Where base is: memory that is mapped directly, on x86_64 and on x86.
const (
	base64 = 0xffff888000000000 + basePhys
	base32 = 0xc0000000 + basePhys

	basePhys = 2 << 20
)

func (m *memory) ReadVirt(p []byte, addr mem.VirtAddr) error {
	a, n := uint64(addr)-m.base, uint64(len(p))
	for base, b := range m.pieces {
		if a < base || a-base > uint64(len(b)) || n > uint64(len(b))-(a-base) {
			continue
		}
		for page := a &^ (4096 - 1); page < a+n; page += 4096 {
			if m.holes[page] {
				return fmt.Errorf("%v: %w", addr, mem.ErrUnreadable)
			}
		}
		copy(p, b[a-base:])
		return nil
	}
	return fmt.Errorf("%v: %w", addr, mem.ErrNotMapped)
}

// machine is what the builders of all layouts share: word size, byte order,
// memory and VMCOREINFO.
type machine struct {
	memory
	order binary.ByteOrder
	word  int
	info  *strings.Builder // lines of VMCOREINFO
}

func newMachine(word int, order binary.ByteOrder) machine {
	m := machine{order: order, word: word, info: new(strings.Builder)}
	m.memory = memory{base: base64, pieces: map[uint64][]byte{}, holes: map[uint64]bool{}}
	if word == 4 {
		m.base = base32
	}
	m.key("OSRELEASE=6.1.0\nPAGESIZE=4096\nOFFSET(list_head.prev)=%d\n", word)
	return m
}

func (m *machine) key(format string, args ...any) { fmt.Fprintf(m.info, format, args...) }

func (m *machine) put(b []byte, off, width int, v uint64) {
	switch width {
	case 1:
		b[off] = byte(v)
	case 2:
		m.order.PutUint16(b[off:], uint16(v))
	case 4:
		m.order.PutUint32(b[off:], uint32(v))
	case 8:
		m.order.PutUint64(b[off:], v)
	}
}

// variable makes a variable of the kernel at addr with a SYMBOL of its own.
func (m *machine) variable(name string, addr uint64, width int, v uint64) {
	m.pieces[addr] = make([]byte, width)
	m.put(m.pieces[addr], 0, width, v)
	m.key("SYMBOL(%s)=%x\n", name, m.base+addr)
}

// vmcoreinfo returns the machine's VMCOREINFO after the edits: "KEY" drops a
// key, "KEY=VALUE" changes its value.
func (m *machine) vmcoreinfo(t testing.TB, edits ...string) *vmcoreinfo.Info {
	t.Helper()
	var text strings.Builder
	for line := range strings.Lines(m.info.String()) {
		key, _, _ := strings.Cut(line, "=")
		for _, edit := range edits {
			if edit == key {
				line = ""
			} else if strings.HasPrefix(edit, key+"=") {
				line = edit + "\n"
			}
		}
		text.WriteString(line)
	}
	info, err := vmcoreinfo.Parse([]byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// Where the ring builder puts things.
const (
	addrPrb      = 0x1000
	addrClearSeq = 0x1800
	addrRing     = 0x2000
	addrDescs    = 0x100000
	addrInfos    = 0x200800
	addrData     = 0x300100
)

// ringBuilder logs as the kernel does, one writer at a time. What it keeps of
// each record is only what the kernel keeps.
type ringBuilder struct {
	machine
	countBits, sizeBits int
	exact               bool // blocks may end at the ring's end (6.19 and later)
	pad                 int  // bytes before the first member of every structure

	head, tail         uint64 // ids
	seq                uint64 // of the next record
	headLpos, tailLpos uint64
	blocks             []builtBlock // from tailLpos to headLpos
	descs, infos, data []byte
	wantSeq            uint64 // clear_seq
}

type builtBlock struct{ id, next uint64 }

func newRingBuilder(word int, order binary.ByteOrder, countBits, sizeBits int, exact bool, pad int) *ringBuilder {
	b := &ringBuilder{
		machine:   newMachine(word, order),
		countBits: countBits, sizeBits: sizeBits, exact: exact, pad: pad,
	}
	b.descs = make([]byte, b.descSize()<<countBits)
	b.infos = make([]byte, b.infoSize()<<countBits)
	b.data = make([]byte, 1<<sizeBits)
	// As the kernel's static initialisers: positions and ids that overflow soon.
	b.head = (1<<(8*word-2) - 1) & -(1<<countBits + 1)
	b.tail = b.head
	b.headLpos = b.ulong(-(1 << sizeBits))
	b.tailLpos = b.headLpos
	b.setDesc(b.head, descReusable, 1, 1)
	return b
}

func (b *ringBuilder) ulong(v int64) uint64 { return uint64(v) & (^uint64(0) >> (64 - 8*b.word)) }
func (b *ringBuilder) nextID(id uint64) uint64 {
	return (id + 1) & (1<<(8*b.word-2) - 1)
}
func (b *ringBuilder) slot(id uint64) int { return int(id & (1<<b.countBits - 1)) }

// Layouts of printk_ringbuffer.h in Linux 6.1, but for pad.
func (b *ringBuilder) descSize() int { return b.pad + 3*b.word }
func (b *ringBuilder) infoSize() int { return b.pad + 88 }

func (b *ringBuilder) setDesc(id uint64, state int, begin, next uint64) {
	d := b.descs[b.slot(id)*b.descSize():]
	b.put(d, b.pad, b.word, uint64(state)<<(8*b.word-2)|id)
	b.put(d, b.pad+b.word, b.word, begin)
	b.put(d, b.pad+2*b.word, b.word, next)
}

func (b *ringBuilder) setState(id uint64, state int) {
	b.put(b.descs[b.slot(id)*b.descSize():], b.pad, b.word, uint64(state)<<(8*b.word-2)|id)
}

func (b *ringBuilder) setInfo(id, seq, ts uint64, textLen int, caller uint32) {
	i := b.infos[b.slot(id)*b.infoSize():]
	b.put(i, b.pad, 8, seq)
	b.put(i, b.pad+8, 8, ts)
	b.put(i, b.pad+16, 2, uint64(textLen))
	b.put(i, b.pad+20, 4, uint64(caller))
}

// reserve takes the next id, giving up the oldest record if need be.
func (b *ringBuilder) reserve() uint64 {
	id := b.nextID(b.head)
	if b.slot(id) == b.slot(b.tail) {
		b.giveUp(b.tail)
		b.tail = b.nextID(b.tail)
	}
	b.head = id
	return id
}

// giveUp makes a record reusable, along with all whose text lies before its text.
func (b *ringBuilder) giveUp(id uint64) {
	for i, blk := range b.blocks {
		if blk.id != id {
			continue
		}
		for _, gone := range b.blocks[:i+1] {
			b.setState(gone.id, descReusable)
			b.tailLpos = gone.next
		}
		b.blocks = b.blocks[i+1:]
		return
	}
	b.setState(id, descReusable)
}

// alloc places text in the data ring.
func (b *ringBuilder) alloc(id uint64, text string) (begin, next uint64) {
	ring := uint64(1) << b.sizeBits
	size := uint64(b.word+len(text)+b.word-1) / uint64(b.word) * uint64(b.word)
	begin = b.headLpos
	next = b.ulong(int64(begin + size))
	last := next
	if b.exact {
		last = b.ulong(int64(next - 1))
	}
	at := begin % ring
	wraps := begin>>b.sizeBits != last>>b.sizeBits
	if wraps {
		next = b.ulong(int64(last&^(ring-1) + size))
	}
	for len(b.blocks) > 0 && b.ulong(int64(next-b.tailLpos)) > ring {
		b.giveUp(b.blocks[0].id)
	}
	b.put(b.data, int(at), b.word, id)
	if wraps {
		at = 0
		b.put(b.data, 0, b.word, id)
	}
	copy(b.data[at+uint64(b.word):], text)
	b.headLpos = next
	b.blocks = append(b.blocks, builtBlock{id, next})
	return begin, next
}

// log writes a record and leaves it in state.
func (b *ringBuilder) log(state int, ts uint64, caller uint32, text string) uint64 {
	id := b.reserve()
	begin, next := uint64(emptyLine), uint64(emptyLine)
	if text != "" {
		begin, next = b.alloc(id, text)
	}
	b.setDesc(id, state, begin, next)
	b.setInfo(id, b.seq, ts, len(text), caller)
	b.seq++
	return id
}

// build puts the ring into memory and describes it in VMCOREINFO.
func (b *ringBuilder) build() {
	w, pad := b.word, b.pad
	ring := make([]byte, pad+11*w)
	b.put(ring, pad, 4, uint64(b.countBits))
	b.put(ring, pad+w, w, b.base+addrDescs)
	b.put(ring, pad+2*w, w, b.base+addrInfos)
	b.put(ring, pad+3*w, w, b.head)
	b.put(ring, pad+4*w, w, b.tail)
	b.put(ring, pad+6*w, 4, uint64(b.sizeBits))
	b.put(ring, pad+7*w, w, b.base+addrData)
	b.pieces[addrRing] = ring
	b.pieces[addrDescs], b.pieces[addrInfos], b.pieces[addrData] = b.descs, b.infos, b.data
	b.variable("prb", addrPrb, w, b.base+addrRing)

	latch := make([]byte, 24)
	b.put(latch, 0, 4, 3)
	b.put(latch, 8, 8, 1<<40) // the value that is being written
	b.put(latch, 16, 8, b.wantSeq)
	b.pieces[addrClearSeq] = latch
	b.key("SYMBOL(clear_seq)=%x\nSIZE(latched_seq)=24\nOFFSET(latched_seq.val)=8\n", b.base+addrClearSeq)

	b.key("SIZE(atomic_long_t)=%d\nOFFSET(atomic_long_t.counter)=0\n", w)
	b.key("SIZE(printk_ringbuffer)=%d\n", len(ring))
	b.key("OFFSET(printk_ringbuffer.desc_ring)=%d\nOFFSET(printk_ringbuffer.text_data_ring)=%d\n", pad, pad+6*w)
	for i, name := range []string{"count_bits", "descs", "infos", "head_id", "tail_id"} {
		b.key("OFFSET(prb_desc_ring.%s)=%d\n", name, i*w)
	}
	b.key("OFFSET(prb_data_ring.size_bits)=0\nOFFSET(prb_data_ring.data)=%d\n", w)
	b.key("SIZE(prb_desc)=%d\nOFFSET(prb_desc.state_var)=%d\n", b.descSize(), pad)
	b.key("OFFSET(prb_desc.text_blk_lpos)=%d\n", pad+w)
	b.key("OFFSET(prb_data_blk_lpos.begin)=0\nOFFSET(prb_data_blk_lpos.next)=%d\n", w)
	b.key("SIZE(printk_info)=%d\n", b.infoSize())
	for i, name := range []string{"seq", "ts_nsec", "text_len"} {
		b.key("OFFSET(printk_info.%s)=%d\n", name, pad+8*i)
	}
	b.key("OFFSET(printk_info.caller_id)=%d\n", pad+20)
}

// run writes lines of a test's spec into the ring, one operation a line:
//
//	log TIME CALLER TEXT       a finished record; TEXT may be quoted; empty: an empty line
//	committed, reserved, reusable TIME CALLER TEXT    a record in that state
//	failed TIME CALLER         a record for which there was no room
//	racing                     a writer that moved head_id and no more
//	id -N ID                   the record N before the last gets another id
//	len -N LEN                 … another text_len
//	begin -N LPOS, next -N LPOS                       … another position
//	head ID, tail ID           head_id, tail_id become ID
//	clear SEQ                  dmesg --clear before the record SEQ
//	hole AREA PAGE             page PAGE of descs, infos or data cannot be read
func (b *ringBuilder) run(t testing.TB, spec string) {
	t.Helper()
	states := map[string]int{"log": descFinalized, "committed": descCommitted, "reserved": descReserved, "reusable": descReusable}
	for line := range strings.Lines(spec) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 4)
		op, arg := words[0], append(words[1:], "", "", "")
		if op == "" {
			continue
		}
		if state, ok := states[op]; ok {
			b.log(state, nanoseconds(t, arg[0]), callerID(t, arg[1]), unquote(t, arg[2]))
			continue
		}
		n, _ := strconv.ParseInt(arg[0], 0, 64)
		v, _ := strconv.ParseInt(arg[1], 0, 64)
		back := (b.head + uint64(n)) & (1<<(8*b.word-2) - 1)
		switch op {
		case "failed":
			id := b.log(descFinalized, nanoseconds(t, arg[0]), callerID(t, arg[1]), "")
			b.setDesc(id, descFinalized, 1, 1)
		case "racing":
			b.reserve()
		case "id":
			b.put(b.descs[b.slot(back)*b.descSize():], b.pad, b.word, uint64(descFinalized)<<(8*b.word-2)|uint64(v))
		case "begin":
			b.put(b.descs[b.slot(back)*b.descSize():], b.pad+b.word, b.word, uint64(v))
		case "next":
			b.put(b.descs[b.slot(back)*b.descSize():], b.pad+2*b.word, b.word, uint64(v))
		case "len":
			b.put(b.infos[b.slot(back)*b.infoSize():], b.pad+16, 2, uint64(v))
		case "head":
			b.head = uint64(n)
		case "tail":
			b.tail = uint64(n)
		case "clear":
			b.wantSeq = uint64(n)
		case "hole":
			area := map[string]uint64{"descs": addrDescs, "infos": addrInfos, "data": addrData}[arg[0]]
			b.holes[area&^(4096-1)+uint64(v)*4096] = true
		default:
			t.Fatalf("spec: %q", line)
		}
	}
}

func nanoseconds(t testing.TB, s string) uint64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatalf("spec: %v", err)
	}
	return uint64(f * 1e9)
}

func callerID(t testing.TB, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(s[1:], 10, 31)
	if err != nil {
		t.Fatalf("spec: %v", err)
	}
	if s[0] == 'C' {
		n |= 1 << 31
	}
	return uint32(n)
}

func unquote(t testing.TB, s string) string {
	t.Helper()
	if !strings.HasPrefix(s, `"`) {
		return s
	}
	u, err := strconv.Unquote(s)
	if err != nil {
		t.Fatalf("spec: %v", err)
	}
	return u
}

// write runs Write over the machine.
func write(t testing.TB, m *machine, opt Options, edits ...string) (string, Stats, error) {
	t.Helper()
	var out bytes.Buffer
	kernel := kstruct.New(m.vmcoreinfo(t, edits...), m, m.order)
	stats, err := Write(&out, kernel, m, m.order, opt)
	return out.String(), stats, err
}
