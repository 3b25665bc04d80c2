// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package zstdpage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// sizes are page sizes, and what is near a limit of the format or of a block.
var sizes = []int{1, 2, 31, 32, 33, 100, 255, 256, 257, 1000, 4095, 4096, 4097, 16 << 10, 64<<10 - 1, 64 << 10,
	64<<10 + 1, 64<<10 + 255, 64<<10 + 256, 70000, 256 << 10}

// incompressible are samples that need not become smaller, at any size.
var incompressible = []string{"noise", "half noise", "skewed", "mixed"}

// samples returns pages of a size: those that memory holds, and odd ones.
func samples(size int) map[string][]byte {
	r := rand.New(rand.NewPCG(1, uint64(size)))
	fill := func(f func() byte) []byte {
		page := make([]byte, size)
		for i := range page {
			page[i] = f()
		}
		return page
	}
	among := func(n int) []byte { return fill(func() byte { return byte(37 * r.IntN(n)) }) }
	last := make([]byte, size)
	last[size-1] = 1
	halfNoise := among(256)
	clear(halfNoise[size/2:])
	skewed := fill(func() byte { return byte(r.ExpFloat64() * 20) })
	twice := slices.Concat(skewed[:size/2], skewed[:size-size/2])
	rare := among(2)
	for i := range 256 {
		rare[r.IntN(size)] = byte(i)
	}
	next := byte(0)
	return map[string][]byte{
		"zeros":         make([]byte, size),
		"ones":          bytes.Repeat([]byte{0xff}, size),
		"last byte":     last,
		"two symbols":   among(2),
		"three symbols": among(3),
		"many rare":     rare,
		"count":         fill(func() byte { next++; return next }),
		"noise":         among(256),
		"half noise":    halfNoise,
		"skewed":        skewed,
		"twice":         twice,
		"text":          bytes.Repeat([]byte("usb 1-1: new high-speed USB device number 2\n"), size/44+1)[:size],
		"structures":    structures(r, size),
		"mixed":         mixed(r, size),
	}
}

// structures is like an array of structures: of each word, the value or the kind
// of value stays.
func structures(r *rand.Rand, size int) []byte {
	kinds := make([]int, 4+r.IntN(30))
	for i := range kinds {
		kinds[i] = r.IntN(5)
	}
	var page []byte
	for i := 0; len(page) < size; i++ {
		var v uint64
		switch kinds[i%len(kinds)] {
		case 1:
			v = 0x17ffffc0000000
		case 2:
			v = 0xffffea0000000000 + uint64(i/len(kinds))*64
		case 3:
			v = 0xffff888000000000 + uint64(r.IntN(1<<20))<<6
		case 4:
			v = uint64(r.IntN(4))
		}
		page = binary.LittleEndian.AppendUint64(page, v)
	}
	return page[:size]
}

// mixed has noise and repetitions of all lengths and from all distances.
func mixed(r *rand.Rand, size int) []byte {
	page := []byte{1}
	longest := 1 << (2 + r.IntN(12))
	for len(page) < size {
		n := 1 + r.IntN(longest)
		if r.IntN(2) == 0 {
			page = repeat(page, 1+r.IntN(len(page)), n)
			continue
		}
		for range n/4 + 1 {
			page = append(page, byte(r.IntN(256)))
		}
	}
	return page[:size]
}

// repeat appends n bytes of page to it, from offset bytes before its end on.
func repeat(page []byte, offset, n int) []byte {
	for range n {
		page = append(page, page[len(page)-offset])
	}
	return page
}

func newDecoder(t testing.TB) *zstd.Decoder {
	t.Helper()
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// compress checks what Append promises, and returns the frame, or nil if it
// would not be smaller.
func compress(t testing.TB, e *Encoder, page []byte) []byte {
	t.Helper()
	prefix := []byte("before")
	out, smaller := e.Append(prefix, page)
	if !bytes.HasPrefix(out, prefix) {
		t.Fatalf("Append changed what was in front: %q", out[:6])
	}
	frame := out[len(prefix):]
	if !smaller && len(frame) != 0 {
		t.Fatalf("Append gives %d bytes that it says are not smaller", len(frame))
	}
	if !smaller {
		return nil
	}
	if len(frame) >= len(page) {
		t.Fatalf("Append gives %d bytes for %d and says that they are smaller", len(frame), len(page))
	}
	return frame
}

func checkFrame(t testing.TB, d *zstd.Decoder, frame, page []byte) {
	t.Helper()
	var header zstd.Header
	if err := header.Decode(frame); err != nil {
		t.Fatal(err)
	}
	if header.FrameContentSize != uint64(len(page)) || !header.SingleSegment || header.HasCheckSum {
		t.Errorf("frame header = %+v, want a size of %d, a single segment, no checksum", header, len(page))
	}
	got, err := d.DecodeAll(frame, make([]byte, 0, len(page)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, page) {
		t.Error("the library decodes another page")
	}
}

func TestRoundTrip(t *testing.T) {
	e, d := NewEncoder(), newDecoder(t)
	for _, size := range sizes {
		for name, page := range samples(size) {
			t.Run(fmt.Sprintf("%d/%s", size, name), func(t *testing.T) {
				frame := compress(t, e, page)
				if frame != nil {
					checkFrame(t, d, frame, page)
				} else if size >= 1000 && !slices.Contains(incompressible, name) {
					t.Error("not compressed")
				}
				if again := compress(t, NewEncoder(), page); !bytes.Equal(again, frame) {
					t.Error("a new encoder gives another frame")
				}
			})
		}
	}
}

// manyPages calls f with all samples and with made up pages of all sizes.
func manyPages(f func(page []byte)) {
	for _, size := range sizes {
		for _, page := range samples(size) {
			f(page)
		}
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 1000 {
		size := minPage + r.IntN(6000)
		f(mixed(r, size))
		f(structures(r, size))
	}
}

func TestManyPages(t *testing.T) {
	e, d := NewEncoder(), newDecoder(t)
	manyPages(func(page []byte) {
		if frame := compress(t, e, page); frame != nil {
			checkFrame(t, d, frame, page)
		}
	})
}

// TestLibzstd has the library that makedumpfile, crash and drgn link decode each
// frame in one call, as these do.
func TestLibzstd(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3: ", err)
	}
	if err := exec.Command(python, "-c", libzstdScript, "probe").Run(); err != nil {
		t.Skip("no libzstd: ", err)
	}
	var frames, pages []byte
	e := NewEncoder()
	manyPages(func(page []byte) {
		if frame := compress(t, e, page); frame != nil {
			frames = append(binary.LittleEndian.AppendUint32(frames, uint32(len(frame))), frame...)
			pages = append(pages, page...)
		}
	})
	if got := pipe(t, frames, python, "-c", libzstdScript); !bytes.Equal(got, pages) {
		t.Error("ZSTD_decompress gives other pages")
	}
}

// libzstdScript decodes frames, each of which has its length in front.
const libzstdScript = `
import ctypes, struct, sys
lib = ctypes.CDLL("libzstd.so.1")
lib.ZSTD_decompress.restype = lib.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
if "probe" in sys.argv: sys.exit()
src, at = sys.stdin.buffer.read(), 0
while at < len(src):
    n, = struct.unpack_from("<I", src, at)
    frame = src[at + 4:at + 4 + n]
    size = lib.ZSTD_getFrameContentSize(frame, ctypes.c_size_t(n))
    dst = ctypes.create_string_buffer(size)
    got = lib.ZSTD_decompress(dst, ctypes.c_size_t(size), frame, ctypes.c_size_t(n))
    if got != size: sys.exit("frame at %d: ZSTD_decompress = %d, want %d" % (at, got, size))
    sys.stdout.buffer.write(dst.raw)
    at += 4 + n
`

// TestZstdTool has the zstd command decode the frames as a stream.
func TestZstdTool(t *testing.T) {
	tool, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("no zstd tool: ", err)
	}
	var frames, pages []byte
	e := NewEncoder()
	manyPages(func(page []byte) {
		if frame := compress(t, e, page); frame != nil {
			frames, pages = append(frames, frame...), append(pages, page...)
		}
	})
	if got := pipe(t, frames, tool, "-d", "-c"); !bytes.Equal(got, pages) {
		t.Error("zstd -d gives other pages")
	}
}

// pipe runs a program with in as its input and returns its output.
func pipe(t *testing.T, in []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNoAllocation(t *testing.T) {
	e := NewEncoder()
	for name, page := range samples(4096) {
		dst := make([]byte, 0, len(page)+64)
		if n := testing.AllocsPerRun(20, func() { e.Append(dst, page) }); n > 0 {
			t.Errorf("Append(%s) allocates %v times", name, n)
		}
	}
}

// TestSpread compares the enumeration of states with spreading them one by one.
func TestSpread(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 2000 {
		counts := make([]uint16, 2+r.IntN(52))
		total := 1
		counts[r.IntN(len(counts))]++
		for i := range counts {
			n := max(0, int(r.ExpFloat64()*50)-20)
			counts[i] += uint16(n)
			total += n
		}
		var d distribution
		d.make(counts, total)
		var used, shares []int8 // the used symbols are numbered for predefine
		sum := 0
		for s, n := range counts {
			if n > 0 {
				used = append(used, int8(s))
			}
		}
		for i, share := range d.shares[:d.n] {
			if int(d.symbols[i]) != int(used[i]) || share == 0 {
				t.Fatalf("shares of %v are %v for %v", counts, d.shares[:d.n], d.symbols[:d.n])
			}
			shares = append(shares, int8(share))
			sum += int(share)
		}
		if d.n != len(used) || sum != fseSize {
			t.Fatalf("shares of %v are %v: %d in all, want %d", counts, shares, sum, fseSize)
		}
		var got, want fseTable
		got.spread(&d)
		want.predefine(shares, fseLog)
		if !slices.Equal(got.states[:fseSize], want.states[:fseSize]) {
			t.Fatalf("states for %v = %v, want %v", shares, got.states, want.states)
		}
		for i, s := range used {
			if got.symbols[s] != want.symbols[i] {
				t.Fatalf("transition for %v to %d = %v, want %v", shares, i, got.symbols[s], want.symbols[i])
			}
		}
	}
}

// TestCodeLengths checks that the codes are complete and about as good as
// Huffman's.
func TestCodeLengths(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	allSize, allBest := 0, 0
	for range 2000 {
		var h huffman
		h.n = 2 + r.IntN(255)
		uses := h.uses[:h.n]
		steep, total := r.Float64()*30, 0
		for i := range uses {
			uses[i] = 1 + uint32(r.ExpFloat64()*steep)
			if r.IntN(20) == 0 {
				uses[i] *= 1 + uint32(r.IntN(20))
			}
			total += int(uses[i])
		}
		h.chooseLengths(total)
		sum := 0
		for _, length := range h.lengths[:h.n] {
			if length < 1 || length > maxLength {
				t.Fatalf("lengths for %v are %v", uses, h.lengths[:h.n])
			}
			sum += 1 << (maxLength - length)
		}
		if sum != 1<<maxLength {
			t.Fatalf("codes for %v take %d of %d", uses, sum, 1<<maxLength)
		}
		size, best := h.measure(), huffmanSize(uses)
		if float64(size) > 1.1*float64(best) {
			t.Errorf("size with codes for %v = %d bits, Huffman's have %d", uses, size, best)
		}
		allSize, allBest = allSize+size, allBest+best
	}
	if float64(allSize) > 1.01*float64(allBest) {
		t.Errorf("size = %d bits, Huffman's codes have %d", allSize, allBest)
	}
}

// huffmanSize returns the size in bits with Huffman's codes, without a limit of
// their length: the sum of all inner nodes of the tree.
func huffmanSize(uses []uint32) (size int) {
	nodes := slices.Clone(uses)
	for len(nodes) > 1 {
		slices.Sort(nodes)
		nodes[1] += nodes[0]
		size += int(nodes[1])
		nodes = nodes[1:]
	}
	return size
}

func FuzzRoundTrip(f *testing.F) {
	for _, page := range samples(700) {
		f.Add(page)
	}
	e, d := NewEncoder(), newDecoder(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, page := range [][]byte{in, unfold(in)} {
			frame := compress(t, e, page)
			if frame != nil {
				checkFrame(t, d, frame, page)
			}
			if again := compress(t, e, page); !bytes.Equal(again, frame) {
				t.Error("the second frame differs")
			}
		}
	})
}

// unfold makes a longer page with repetitions out of a few bytes: four of them
// say how many that follow to take, and how many to repeat then and from where.
func unfold(in []byte) []byte {
	page := []byte{0}
	for len(in) >= 4 && len(page) < 70000 {
		literals, offset, n := int(in[0])%32, int(binary.LittleEndian.Uint16(in[1:])), int(in[3])
		in = in[4:]
		literals = min(literals, len(in))
		page = append(page, in[:literals]...)
		in = in[literals:]
		page = repeat(page, 1+offset%len(page), n)
	}
	return page
}

// BenchmarkAppend compresses pages of 4 KiB, made up or from the file that
// UKDUMP_PAGES names, and does the same with the library for comparison. It
// reports the size of the output, too, in percent of the pages.
func BenchmarkAppend(b *testing.B) {
	const size = 4096
	var pages []byte
	if name := os.Getenv("UKDUMP_PAGES"); name != "" {
		var err error
		if pages, err = os.ReadFile(name); err != nil {
			b.Fatal(err)
		}
		pages = pages[:len(pages)/size*size]
	} else {
		r := rand.New(rand.NewPCG(11, 12))
		for range 512 {
			pages = append(pages, structures(r, size)...)
		}
	}
	e := NewEncoder()
	library, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(size), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, pack func(dst, page []byte) int) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(pages)))
			b.ReportAllocs()
			dst := make([]byte, 0, 2*size)
			total := 0
			for b.Loop() {
				total = 0
				for i := 0; i < len(pages); i += size {
					total += min(pack(dst, pages[i:i+size]), size)
				}
			}
			b.ReportMetric(float64(total)*100/float64(len(pages)), "%")
		})
	}
	run("zstdpage", func(dst, page []byte) int {
		out, smaller := e.Append(dst, page)
		if !smaller {
			return size
		}
		return len(out)
	})
	run("library", func(dst, page []byte) int { return len(library.EncodeAll(page, dst)) })
}
