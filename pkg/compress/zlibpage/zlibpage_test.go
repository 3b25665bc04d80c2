// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zlibpage

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"math/rand/v2"
	"testing"
)

// pages returns pages of all kinds, of the given size.
func pages(size int) map[string][]byte {
	rnd := rand.NewChaCha8([32]byte{1})
	number := func(below int) int { return int(rnd.Uint64() % uint64(below)) }
	made := map[string][]byte{}
	add := func(name string, fill func(i int) byte) {
		p := make([]byte, size)
		for i := range p {
			p[i] = fill(i)
		}
		made[name] = p
	}
	add("zero", func(int) byte { return 0 })
	add("random", func(int) byte { return byte(number(256)) })
	add("two symbols", func(int) byte { return byte(number(2)) })
	add("one byte", func(i int) byte { return byte(i / (size - 1)) })
	add("text", func(i int) byte { return "the quick brown fox jumps over the lazy dog\n"[number(10)+i%34] })
	add("all symbols as often", func(i int) byte { return byte(i * 167) })
	add("long runs", func(i int) byte { return byte(i / 700) })
	add("random, then zero", func(i int) byte { return byte(number(256)) * byte(1-2*i/size) })
	// The codes of these would be longer than deflate allows: each symbol is half
	// as frequent as the one before.
	add("skewed", func(int) byte {
		s := byte(0)
		for s < 40 && number(2) == 0 {
			s++
		}
		return s
	})
	pointers := make([]byte, size)
	for i := 0; i+8 <= size; i += 8 {
		binary.LittleEndian.PutUint64(pointers[i:], 0xffff888000000000+uint64(number(1<<26))<<6*uint64(i/8%3))
	}
	made["pointers"] = pointers
	// Copies of every length, from everywhere.
	copies := bytes.Clone(made["random"])
	for at, n := size/3, 3; at+n < size; at, n = at+n+3, (n*5)%301+3 {
		copy(copies[at:at+n], copies[number(at):])
	}
	made["copies"] = copies
	return made
}

// check compresses a page and has the standard library decompress it.
func check(t *testing.T, e *Encoder, page []byte) (size int) {
	t.Helper()
	prefix := []byte("prefix")
	out, smaller := e.Append(prefix, page)
	if !bytes.HasPrefix(out, prefix) {
		t.Fatalf("Append(%q) = %q…, want it in front", prefix, out[:min(len(out), 20)])
	}
	out = out[len(prefix):]
	if !smaller {
		if len(out) != 0 {
			t.Fatalf("Append() appended %d bytes and returned false", len(out))
		}
		return len(page)
	}
	if len(out) >= len(page) {
		t.Fatalf("Append() = %d bytes for %d, and true", len(out), len(page))
	}
	r, err := zlib.NewReader(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, page) {
		t.Fatalf("zlib's reader: %v, %d bytes, the same as the page: %v", err, len(got), bytes.Equal(got, page))
	}
	return len(out)
}

func TestAppend(t *testing.T) {
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 256 << 10} {
		e := NewEncoder(size)
		for name, page := range pages(size) {
			t.Run(fmt.Sprintf("%d KiB, %s", size>>10, name), func(t *testing.T) {
				n := check(t, e, page)
				var want bytes.Buffer
				w, err := zlib.NewWriterLevel(&want, zlib.BestSpeed)
				if err != nil {
					t.Fatal(err)
				}
				w.Write(page)
				w.Close()
				t.Logf("%d bytes, the standard library's fastest has %d", n, want.Len())
				if n > want.Len()+want.Len()/8+64 {
					t.Errorf("%d bytes, want not much more than the %d of the standard library", n, want.Len())
				}
			})
		}
	}
}

// TestShort compresses what is shorter than a page, down to nothing.
func TestShort(t *testing.T) {
	e := NewEncoder(4096)
	for name, page := range pages(4096) {
		t.Run(name, func(t *testing.T) {
			for n := range 600 {
				check(t, e, page[:n])
			}
		})
	}
}

func TestAllocations(t *testing.T) {
	e := NewEncoder(4096)
	page := pages(4096)["text"]
	dst := make([]byte, 0, 8192)
	if n := testing.AllocsPerRun(100, func() { e.Append(dst, page) }); n != 0 {
		t.Errorf("%v allocations for a page, want 0", n)
	}
}

// TestHuffman holds the codes against what they must be: none the beginning of
// another, all of them together every sequence of bits, none too long, and, where
// length is no matter, no better ones.
func TestHuffman(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	h := &huffman{}
	for round := range 2000 {
		n, limit := 2+rnd.IntN(symbols-1), 9+rnd.IntN(4)
		clear(h.freq[:])
		used := 0
		for s := range n {
			switch round % 4 {
			case 0:
				h.freq[s] = uint16(rnd.IntN(65536))
			case 1:
				h.freq[s] = uint16(rnd.IntN(3))
			case 2:
				h.freq[s] = uint16(1 << rnd.IntN(16))
			case 3: // the deepest tree that there is
				h.freq[s] = []uint16{1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987}[s%16]
			}
			if h.freq[s] != 0 {
				used++
			}
		}
		h.build(n, limit)
		cost, longest := checkCodes(t, h, n, limit, used)
		if best := leastCost(h.freq[:n]); used > 1 && longest < limit && cost != best {
			t.Fatalf("codes of up to %d bits for %v: %d bits together, want %d", longest, h.freq[:n], cost, best)
		}
	}
}

func checkCodes(t *testing.T, h *huffman, n, limit, used int) (cost, longest int) {
	t.Helper()
	space := 0
	seen := map[string]bool{}
	for s := range n {
		length := int(h.lengths[s])
		if (length == 0) != (h.freq[s] == 0) || length > limit {
			t.Fatalf("symbol %d that comes %d times has a code of %d bits, limit %d", s, h.freq[s], length, limit)
		}
		if length == 0 {
			continue
		}
		space += 1 << (limit - length)
		cost += length * int(h.freq[s])
		longest = max(longest, length)
		if h.codes[s].len() != uint(length) {
			t.Fatalf("symbol %d has a code of %d bits, and length %d", s, h.codes[s].len(), length)
		}
		seen[fmt.Sprintf("%064b", bits.Reverse64(uint64(h.codes[s])>>(64-length)))[:length]] = true
	}
	if len(seen) != used || used > 1 && space != 1<<limit {
		t.Fatalf("%d different codes for %d symbols, which take %d of %d", len(seen), used, space, 1<<limit)
	}
	for c := range seen {
		for k := 1; k < len(c); k++ {
			if seen[c[:k]] {
				t.Fatalf("the code %s begins with the code %s", c, c[:k])
			}
		}
	}
	return cost, longest
}

// leastCost adds up a Huffman tree in the simplest way that there is.
func leastCost(freq []uint16) (cost int) {
	var nodes []int
	for _, f := range freq {
		if f != 0 {
			nodes = append(nodes, int(f))
		}
	}
	takeLeast := func() int {
		least := 0
		for i := range nodes {
			if nodes[i] < nodes[least] {
				least = i
			}
		}
		v := nodes[least]
		nodes[least] = nodes[len(nodes)-1]
		nodes = nodes[:len(nodes)-1]
		return v
	}
	for len(nodes) > 1 {
		sum := takeLeast() + takeLeast()
		cost += sum
		nodes = append(nodes, sum)
	}
	return cost
}

func FuzzAppend(f *testing.F) {
	for _, page := range pages(4096) {
		f.Add(page)
	}
	e := NewEncoder(1 << 17)
	f.Fuzz(func(t *testing.T, page []byte) {
		if len(page) <= 1<<17 {
			check(t, e, page)
		}
	})
}
