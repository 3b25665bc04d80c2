// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zlibpage

import "math/bits"

const (
	// maxCode is the length in bits of the longest code of a literal, copy length
	// or distance that is made. Deflate allows 15; with this, four fit into a
	// word.
	maxCode = 12
	// symbols is how many symbols a code has at most: literals and lengths.
	symbols     = 286
	symbolBits  = 9
	symbolsMask = 1<<symbolBits - 1
)

// code is a symbol's code: its bits at the top, in the order of the stream from
// the lowest up, and their number at the bottom.
type code uint64

func (c code) len() uint { return uint(c) & 63 }

// huffman makes codes for symbols.
type huffman struct {
	freq  [symbols]uint16 // how often each symbol comes: set by the user
	codes [symbolsMask + 1]code

	lengths       [symbols]uint8
	sorted, other [symbols]uint32 // the symbols that come: frequency << symbolBits | symbol
	tree          [symbols]uint32
}

// build makes codes, of up to limit bits, for the first n symbols and returns
// how many of these there are up to the last that comes.
func (h *huffman) build(n, limit int) int {
	used := h.collect(n)
	if len(used) < 2 {
		return h.trivial(used)
	}
	used = h.sort(used)
	tree := h.tree[:len(used)]
	for i, s := range used {
		tree[i] = s >> symbolBits
	}
	depths(tree)
	var count [16]int // of codes by length
	for _, d := range tree {
		count[min(int(d), limit)]++
	}
	shorten(&count, limit)
	// The symbols that come most often are last and get the shortest codes.
	i, last := len(used), 0
	for length, k := range count {
		for range k {
			i--
			s := int(used[i] & symbolsMask)
			h.lengths[s] = uint8(length)
			last = max(last, s)
		}
	}
	h.number(last+1, &count)
	return last + 1
}

// trivial makes codes for one symbol, which takes a bit all the same, or none.
func (h *huffman) trivial(used []uint32) int {
	if len(used) == 0 {
		return 0
	}
	s := used[0] & symbolsMask
	h.lengths[s], h.codes[s] = 1, 1
	return int(s) + 1
}

// collect returns the symbols that come, among the first n.
func (h *huffman) collect(n int) []uint32 {
	clear(h.lengths[:])
	used := 0
	for s, f := range h.freq[:n] {
		h.sorted[used] = uint32(f)<<symbolBits | uint32(s)
		used += int(uint32(f)+0xffff) >> 16 // 1 if f is not 0
	}
	return h.sorted[:used]
}

// sort returns the symbols sorted by frequency.
func (h *huffman) sort(used []uint32) []uint32 {
	const digitBits = 6
	to, all := h.other[:len(used)], uint32(0)
	for _, s := range used {
		all |= s
	}
	for shift := symbolBits; all>>shift != 0; shift += digitBits {
		var start [1 << digitBits]int
		for _, s := range used {
			start[s>>shift%(1<<digitBits)]++
		}
		at := 0
		for digit, k := range start {
			start[digit] = at
			at += k
		}
		for _, s := range used {
			p := &start[s>>shift%(1<<digitBits)]
			to[*p] = s
			*p++
		}
		used, to = to, used
	}
	return used
}

// depths replaces two or more frequencies, in ascending order, by the lengths of
// the best codes, in place: Moffat and Katajainen, "In-Place Calculation of
// Minimum-Redundancy Codes", 1995.
func depths(a []uint32) {
	n := len(a)
	// From the left, pairs become nodes, which take the place of what is used
	// up: first weights, then, once used themselves, numbers of their parents.
	root, leaf := 0, 0
	for node := 0; node < n-1; node++ {
		weight := uint32(0)
		for range 2 {
			if leaf >= n || root < node && a[root] < a[leaf] {
				weight += a[root]
				a[root] = uint32(node)
				root++
			} else {
				weight += a[leaf]
				leaf++
			}
		}
		a[node] = weight
	}
	// From the right, parents become depths of nodes.
	a[n-2] = 0
	for node := n - 3; node >= 0; node-- {
		a[node] = a[a[node]] + 1
	}
	// At each depth, what is not a node is a leaf.
	places, node, next := 1, n-2, n-1
	for depth := uint32(0); places > 0; depth++ {
		nodes := 0
		for node >= 0 && a[node] == depth {
			nodes++
			node--
		}
		for ; places > nodes; places-- {
			a[next] = depth
			next--
		}
		places = 2 * nodes
	}
}

// shorten makes a code possible again after those longer than limit were cut
// off, by making others longer.
func shorten(count *[16]int, limit int) {
	total := 0
	for length, k := range count[:limit+1] {
		total += k << (limit - length)
	}
	for ; total > 1<<limit; total-- {
		length := limit - 1
		for count[length] == 0 {
			length--
		}
		// One code becomes longer, and one of the longest takes the place
		// beside it.
		count[length]--
		count[length+1] += 2
		count[limit]--
	}
}

// number gives the first n symbols their codes (RFC 1951, 3.2.2), of which there
// are count of each length.
func (h *huffman) number(n int, count *[16]int) {
	var next [16]uint64 // by length, at the top of the word
	for length, at := 1, uint64(0); length < 16; length++ {
		next[length] = at
		at += uint64(count[length]) << (64 - length)
	}
	for s, length := range h.lengths[:n] {
		length &= 15
		c := bits.Reverse64(next[length]) << (64 - length) // 0 if there is no length
		h.codes[s] = code(c | uint64(length))
		next[length] += 1 << (64 - length)
	}
}
