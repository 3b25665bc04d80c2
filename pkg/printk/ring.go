// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package printk

import (
	"errors"
	"fmt"

	"github.com/ukdump/ukdump/pkg/mem"
)

// The printk_ringbuffer (kernel/printk/printk_ringbuffer.[ch], Linux 5.10) is
// two rings. The descriptor ring has 2^count_bits slots, each a descriptor (in
// descs) and what is known of the record besides its text (in infos). The data
// ring has 2^size_bits bytes of text blocks.
//
// A descriptor is named by an id that counts up; its slot is the id modulo the
// number of slots. The log is the ids from tail_id to head_id, both included.
// Slot and sequence number of a record agree modulo the number of slots, too.
// state_var has the id and, in its two highest bits, the state.
//
// A text block is an unsigned long (the id again), the text, and padding to a
// multiple of an unsigned long. It spans the logical positions [begin, next),
// which count up without end; the place in the ring is the position modulo its
// size. A block that would cross the ring's end has its id there and lies,
// with its id again, at the ring's start. Whether it does is to be asked of its
// last byte: since 6.19 (67e1b0052f6b) a block may end exactly at the ring's
// end, next being the position behind that.
const (
	descReserved  = 0 // a writer is at it
	descCommitted = 1 // complete, may still be appended to
	descFinalized = 2 // complete
	descReusable  = 3 // given up, its text may be overwritten
)

// emptyLine is begin and next of a record that has no text because it needs
// none (NO_LPOS, EMPTY_LINE_LPOS). Any other odd pair (FAILED_LPOS) says that
// the kernel found no room for the text.
const emptyLine = 3

// Bounds of what the kernel makes: log_buf_len is at most 2 GiB (LOG_BUF_LEN_MAX)
// and has a descriptor for every 32 bytes (PRB_AVGBITS).
const (
	maxSizeBits  = 31
	maxCountBits = maxSizeBits - 5
)

// ring is the printk_ringbuffer of one core.
type ring struct {
	*reader
	ringLayout
	descs, infos, data *mem.Window
	slots              uint64 // number of descriptors, a power of two
	sizeBits           uint64
	idMask             uint64 // the bits of state_var that are the id
	tail, head         uint64 // ids
	clearSeq           uint64 // records before it are not wanted
}

// ringLayout says where things are in the structures of the ring.
type ringLayout struct {
	descSize, infoSize uint64
	state, begin, next field // of a descriptor
	ts, textLen        field // of an info
	seq, callerID      field // of an info; of width 0 if not known, or not wanted

	// Of the printk_ringbuffer itself.
	rbSize                               uint64
	countBits, descsPtr, infosPtr        field
	headID, tailID, sizeBitsAt, textsPtr field
}

// writeRing writes the log of a kernel that has a printk_ringbuffer.
func (r *reader) writeRing() error {
	g := ring{reader: r, idMask: 1<<(r.word*8-2) - 1}
	if err := g.findLayout(); err != nil {
		return err
	}
	if err := g.open(); err != nil {
		return err
	}
	if r.opt.SinceClear && g.seq.width != 0 {
		var err error
		if g.clearSeq, err = r.readClearSeq(); err != nil {
			return err
		}
	}
	if !g.plausible() {
		r.stats.Salvaged = true
		if err := g.salvage(); err != nil {
			return err
		}
	}
	last := (g.head - g.tail) & g.idMask
	for i := uint64(0); i <= last; i++ {
		if err := g.record((g.tail + i) & g.idMask); err != nil {
			return err
		}
	}
	return nil
}

// findLayout looks up the layout.
func (g *ring) findLayout() error {
	l, word := layouts{kernel: g.kernel}, g.word
	desc := l.structure("prb_desc")
	g.descSize = desc.size
	g.state = l.field(desc, word, "state_var", "atomic_long_t.counter")
	g.begin = l.field(desc, word, "text_blk_lpos", "prb_data_blk_lpos.begin")
	g.next = l.field(desc, word, "text_blk_lpos", "prb_data_blk_lpos.next")

	info := l.structure("printk_info")
	g.infoSize = info.size
	g.seq = l.optional(info, 8, "seq") // what makedumpfile -g writes lacks it
	g.ts = l.field(info, 8, "ts_nsec")
	g.textLen = l.field(info, 2, "text_len")
	if g.opt.Caller {
		g.callerID = l.optional(info, 4, "caller_id")
	}

	rb := l.structure("printk_ringbuffer")
	g.rbSize = rb.size
	g.countBits = l.field(rb, 4, "desc_ring", "prb_desc_ring.count_bits")
	g.descsPtr = l.field(rb, word, "desc_ring", "prb_desc_ring.descs")
	g.infosPtr = l.field(rb, word, "desc_ring", "prb_desc_ring.infos")
	g.headID = l.field(rb, word, "desc_ring", "prb_desc_ring.head_id", "atomic_long_t.counter")
	g.tailID = l.field(rb, word, "desc_ring", "prb_desc_ring.tail_id", "atomic_long_t.counter")
	g.sizeBitsAt = l.field(rb, 4, "text_data_ring", "prb_data_ring.size_bits")
	g.textsPtr = l.field(rb, word, "text_data_ring", "prb_data_ring.data")
	if l.err != nil {
		return g.unknown(l.err)
	}
	return nil
}

// open reads the printk_ringbuffer and opens windows onto its rings.
func (g *ring) open() error {
	prb, err := g.variable("prb", g.word)
	if err != nil {
		return err
	}
	b := make([]byte, g.rbSize)
	if err := g.mem.ReadVirt(b, mem.VirtAddr(prb)); err != nil {
		return fmt.Errorf("printk_ringbuffer: %w", err)
	}
	get := func(f field) uint64 { return g.uint(f.of(b)) }

	bits := get(g.countBits)
	if bits == 0 || bits > maxCountBits {
		return fmt.Errorf("printk_ringbuffer: count_bits %d is not between 1 and %d", bits, maxCountBits)
	}
	g.slots = 1 << bits
	g.sizeBits = get(g.sizeBitsAt)
	if g.sizeBits < 4 || g.sizeBits > maxSizeBits {
		return fmt.Errorf("printk_ringbuffer: size_bits %d is not between 4 and %d", g.sizeBits, maxSizeBits)
	}
	g.head, g.tail = get(g.headID)&g.idMask, get(g.tailID)&g.idMask

	window := func(name string, ptr field, size uint64, buffer int) *mem.Window {
		w, e := mem.NewWindow(g.mem, mem.VirtAddr(get(ptr)), size, buffer)
		if e != nil && err == nil {
			err = fmt.Errorf("printk_ringbuffer: %s: %w", name, e)
		}
		return w
	}
	g.descs = window("descs", g.descsPtr, g.slots*g.descSize, 16<<10)
	g.infos = window("infos", g.infosPtr, g.slots*g.infoSize, 16<<10)
	g.data = window("data", g.textsPtr, 1<<g.sizeBits, textWindow)
	return err
}

// readClearSeq returns the sequence number of the first record after the
// last clear; 0 if the kernel does not say.
func (r *reader) readClearSeq() (uint64, error) {
	r.kernel.Need("SYMBOL(clear_seq)", "OFFSET(latched_seq.val)")
	addr, ok := r.kernel.Symbol("clear_seq")
	if !ok {
		return 0, nil
	}
	// Since 5.13 (7d7a23a91c91) it is a pair of values behind a counter, whose
	// lowest bit says which of the two is not being written.
	if val, ok := r.kernel.Offset("latched_seq.val"); ok {
		latch, err := r.variable("clear_seq", 4)
		if err != nil {
			return 0, err
		}
		addr += mem.VirtAddr(val + latch&1*8)
	}
	var buf [8]byte
	if err := r.mem.ReadVirt(buf[:], addr); err != nil {
		return 0, fmt.Errorf("clear_seq: %w", err)
	}
	return r.uint(buf[:]), nil
}

// plausible reports whether head and tail can be those of this ring: not
// further apart than it has slots, at least one of them in its slot (the head
// need not be, for a moment), no complete record before and none after them.
func (g *ring) plausible() bool {
	if (g.head-g.tail)&g.idMask >= g.slots {
		return false
	}
	_, tail := g.holds(g.tail)
	_, head := g.holds(g.head)
	before, _ := g.holds((g.tail - 1) & g.idMask)
	_, after := g.holds((g.head + 1) & g.idMask)
	return (tail || head) && !before && !after
}

// holds reports whether the record id is in its slot, and whether it is complete.
func (g *ring) holds(id uint64) (complete, there bool) {
	d, err := g.desc(id)
	there = err == nil && d.id == id
	return there && d.complete(), there
}

// salvage sets head and tail so that every record in the ring lies between
// them, ending with the one of the highest sequence number.
func (g *ring) salvage() error {
	if g.seq.width == 0 {
		return errors.New("printk_ringbuffer: head_id or tail_id is damaged, and the kernel does not tell OFFSET(printk_info.seq)")
	}
	var highest uint64
	found := false
	for slot := range g.slots {
		d, err := g.desc(slot)
		if err != nil || d.id%g.slots != slot || !d.complete() {
			continue
		}
		b, err := g.infos.Read(slot*g.infoSize, g.infoSize)
		if err != nil {
			continue
		}
		if seq := g.uint(g.seq.of(b)); seq%g.slots == slot && seq >= highest {
			found, highest, g.head = true, seq, d.id
		}
	}
	if !found {
		return errors.New("printk_ringbuffer: head_id or tail_id is damaged, and there is no record in it")
	}
	g.tail = (g.head - g.slots + 1) & g.idMask
	return nil
}

// desc is a descriptor.
type desc struct {
	id, state   uint64
	begin, next uint64 // logical positions of the text block
}

// complete reports whether the record's writer was done with it and its text
// is there.
func (d desc) complete() bool { return d.state == descCommitted || d.state == descFinalized }

// desc reads the descriptor in the slot of id.
func (g *ring) desc(id uint64) (desc, error) {
	slot := id % g.slots
	b, err := g.descs.Read(slot*g.descSize, g.descSize)
	if err != nil {
		return desc{}, err
	}
	state := g.uint(g.state.of(b))
	return desc{
		id:    state & g.idMask,
		state: state >> (g.word*8 - 2),
		begin: g.uint(g.begin.of(b)),
		next:  g.uint(g.next.of(b)),
	}, nil
}

// record writes the record id, or counts why it cannot. The error is one of
// writing.
func (g *ring) record(id uint64) error {
	d, err := g.desc(id)
	if err != nil {
		g.stats.damage("descriptor %d: %w", id%g.slots, err)
		return nil
	}
	if d.id != id {
		g.otherID(d, id)
		return nil
	}
	switch d.state {
	case descReserved:
		g.stats.Unfinished++
		return nil
	case descReusable:
		return nil
	}
	return g.complete(d)
}

// otherID counts a slot that should hold the record id and does not. A writer
// moves head_id before it puts its id into the slot, which until then has what
// was there one round earlier or, in the first round, zero.
func (g *ring) otherID(d desc, id uint64) {
	switch {
	case g.stats.Salvaged:
		// The tail is a guess: this is where the log begins.
	case d.id == (id-g.slots)&g.idMask, d == desc{}:
		g.stats.Unfinished++
	default:
		g.stats.damage("descriptor %d: has id %#x instead of %#x", id%g.slots, d.id, id)
	}
}

// complete writes a complete record.
func (g *ring) complete(d desc) error {
	slot := d.id % g.slots
	b, err := g.infos.Read(slot*g.infoSize, g.infoSize)
	if err != nil {
		g.stats.damage("info %d: %w", slot, err)
		return nil
	}
	if g.clearSeq > 0 && g.uint(g.seq.of(b)) < g.clearSeq {
		return nil
	}
	if d.begin&1 == 1 && d.next&1 == 1 && d.begin != emptyLine {
		g.stats.Dropped++
		return nil
	}
	text, err := g.text(d, g.uint(g.textLen.of(b)))
	if err != nil {
		g.stats.damage("text of descriptor %d: %w", slot, err)
		return nil
	}
	g.stats.Records++
	g.out.begin(g.uint(g.ts.of(b)))
	if g.callerID.width != 0 {
		g.out.caller(uint32(g.uint(g.callerID.of(b))))
	}
	return g.out.end(text)
}

// text returns the n bytes of text of d, or as many as its block has room for.
func (g *ring) text(d desc, n uint64) ([]byte, error) {
	if d.begin == emptyLine && d.next == emptyLine {
		return nil, nil
	}
	start, end, ok := g.block(d)
	if !ok {
		return nil, fmt.Errorf("block from %#x to %#x is none of a ring of %#x bytes", d.begin, d.next, uint64(1)<<g.sizeBits)
	}
	start += g.word // the id
	if n > end-start {
		n = end - start
		g.stats.Torn++
	}
	return g.data.Read(start, n)
}

// block returns where in the data ring the block of d lies; not ok if the
// positions are none that a writer makes.
func (g *ring) block(d desc) (start, end uint64, ok bool) {
	if (d.begin|d.next)%g.word != 0 {
		return 0, 0, false
	}
	positions := ^uint64(0) >> (64 - 8*g.word) // they are unsigned longs and overflow as those do
	last := (d.next - 1) & positions
	rounds := (last>>g.sizeBits - d.begin>>g.sizeBits) & (positions >> g.sizeBits)
	if rounds > 1 {
		return 0, 0, false
	}
	inRing := uint64(1)<<g.sizeBits - 1
	if rounds == 0 {
		start = d.begin & inRing
	}
	end = last&inRing + 1
	return start, end, end >= start+g.word
}
