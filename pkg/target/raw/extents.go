// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package raw

// freeAt returns how many chunks are free from pos on. If pos is in use, it
// returns 0 and where the extent there ends.
func (h *header) freeAt(pos, chunks uint32) (n, end uint32) {
	n = chunks - pos
	for _, e := range h.extents {
		if e.start <= pos && pos < e.end() {
			return 0, e.end()
		}
		if e.start > pos {
			n = min(n, e.start-pos)
		}
	}
	return n, pos
}

// grow gives a file up to n chunks more and returns how many; 0 if the slot, or
// its table of extents, is full.
func (h *header) grow(file int, n, chunks uint32) uint32 {
	last := h.lastExtent(file)
	if last >= 0 {
		if end := h.extents[last].end(); end < chunks {
			if room, _ := h.freeAt(end, chunks); room > 0 {
				n = min(n, room)
				h.extents[last].count += n
				return n
			}
		}
	}
	if len(h.extents) == maxExtents {
		return 0
	}
	for pos := uint32(0); pos < chunks; {
		room, end := h.freeAt(pos, chunks)
		if room > 0 {
			n = min(n, room)
			h.extents = append(h.extents, extent{file, pos, n})
			return n
		}
		pos = end
	}
	return 0
}

// lastExtent returns the place of a file's last extent; -1 if it has none.
func (h *header) lastExtent(file int) int {
	for i := len(h.extents) - 1; i >= 0; i-- {
		if h.extents[i].file == file {
			return i
		}
	}
	return -1
}

// trim takes all chunks of a file but the first n.
func (h *header) trim(file int, n uint32) {
	kept := h.extents[:0]
	for _, e := range h.extents {
		if e.file == file {
			e.count = min(e.count, n)
			n -= e.count
		}
		if e.count > 0 {
			kept = append(kept, e)
		}
	}
	h.extents = kept
}

// chunksOf returns how many chunks a file has.
func (h *header) chunksOf(file int) uint32 {
	n := uint32(0)
	for _, e := range h.extents {
		if e.file == file {
			n += e.count
		}
	}
	return n
}

// locate returns the chunk in which chunk n of a file lies, and how many of the
// file follow it directly, with itself.
func (h *header) locate(file int, n uint32) (chunk, run uint32) {
	for _, e := range h.extents {
		if e.file != file {
			continue
		}
		if n < e.count {
			return e.start + n, e.count - n
		}
		n -= e.count
	}
	return 0, 0
}

// room returns how many chunks are free, or can be had: of files that are neither
// complete nor live.
func (h *header) room(chunks uint32, live map[int]bool) uint32 {
	for _, e := range h.extents {
		if live[e.file] || h.files[e.file].complete {
			chunks -= e.count
		}
	}
	return chunks
}
