// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package compress

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

var codecs = []Codec{None, Zlib, LZO, Snappy, Zstd}

// samples returns pages of the kinds that memory holds.
func samples(size int) map[string][]byte {
	random := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, size)
	random.Read(noise)

	text := bytes.Repeat([]byte("usb 1-1: new high-speed USB device number 2 using xhci_hcd\n"), size/59+1)[:size]

	// Like an array of struct page: a few words that change in each.
	array := make([]byte, size)
	for i := 0; i+64 <= size; i += 64 {
		binary.LittleEndian.PutUint64(array[i:], 0x17ffffc0000000)
		binary.LittleEndian.PutUint64(array[i+8:], 0xffffea0000000000+uint64(i)*64)
		binary.LittleEndian.PutUint32(array[i+48:], uint32(noise[i]))
	}
	half := bytes.Clone(noise)
	clear(half[size/2:])
	// The same bytes at all distances that there are instructions for.
	far := bytes.Clone(noise)
	for _, d := range []int{1 << 10, 2 << 10, 3 << 10, 16 << 10, 16<<10 + 1, 48<<10 - 1, 48 << 10} {
		if d < size {
			copy(far[d:], noise[:300])
		}
	}
	lastByte := make([]byte, size)
	lastByte[size-1] = 1
	return map[string][]byte{
		"zeros": make([]byte, size), "noise": noise, "text": text, "array": array,
		"half": half, "far": far, "last byte": lastByte, "ones": bytes.Repeat([]byte{0xff}, size),
	}
}

func newEncoder(t testing.TB, c Codec, size int) Encoder {
	t.Helper()
	e, err := NewEncoder(c, size)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// eachPage calls f with every sample, compressed, at the page sizes there are and
// a larger one, which the encoders of LZO and snappy leave as it is.
func eachPage(t *testing.T, c Codec, f func(t *testing.T, page, packed []byte)) {
	for _, size := range []int{4 << 10, 16 << 10, 64 << 10, 256 << 10} {
		enc := newEncoder(t, c, size)
		for name, page := range samples(size) {
			t.Run(fmt.Sprintf("%v/%d/%s", c, size, name), func(t *testing.T) {
				prefix := []byte("before")
				out, smaller := enc.Append(prefix, page)
				if !bytes.HasPrefix(out, prefix) {
					t.Fatalf("Append changed what was in front: %q", out[:6])
				}
				packed := out[len(prefix):]
				if !smaller {
					if len(packed) != 0 {
						t.Fatalf("%d bytes of output, but not smaller", len(packed))
					}
					incompressible := name == "noise" || name == "far" && c != LZO || (c == LZO || c == Snappy) && size > greedyPage
					if c != None && !incompressible {
						t.Errorf("not compressed")
					}
					return
				}
				if len(packed) >= len(page) {
					t.Fatalf("%d bytes for a page of %d said to be smaller", len(packed), size)
				}
				f(t, page, packed)
			})
		}
	}
}

func TestRoundTrip(t *testing.T) {
	for _, c := range codecs {
		var dec Decoder
		eachPage(t, c, func(t *testing.T, page, packed []byte) {
			got := make([]byte, len(page))
			if err := dec.Decode(got, packed, c); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, page) {
				t.Error("page differs")
			}
		})
	}
}

func TestZlibOfOthers(t *testing.T) {
	eachPage(t, Zlib, func(t *testing.T, page, packed []byte) {
		r, err := zlib.NewReader(bytes.NewReader(packed))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, page) {
			t.Errorf("package compress/zlib reads %d bytes, %v", len(got), err)
		}
		var theirs bytes.Buffer
		w, _ := zlib.NewWriterLevel(&theirs, 9)
		w.Write(page)
		w.Close()
		var dec Decoder
		got := make([]byte, len(page))
		if err := dec.Decode(got, theirs.Bytes(), Zlib); err != nil || !bytes.Equal(got, page) {
			t.Errorf("reading its output: %v", err)
		}
	})
}

func TestZstdOfOthers(t *testing.T) {
	tool, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("no zstd tool: ", err)
	}
	eachPage(t, Zstd, func(t *testing.T, page, packed []byte) {
		if got := filter(t, packed, tool, "-d", "-c"); !bytes.Equal(got, page) {
			t.Error("zstd -d gives another page")
		}
		for _, arg := range []string{"-1", "-19", "--no-check"} {
			var dec Decoder
			got := make([]byte, len(page))
			// From a pipe the frame says neither its size nor a small window.
			theirs := filter(t, page, tool, arg, "-c")
			if err := dec.Decode(got, theirs, Zstd); err != nil || !bytes.Equal(got, page) {
				t.Errorf("reading the output of zstd %s: %v", arg, err)
			}
		}
	})
}

// TestLibraries uses the C libraries that crash, libkdumpfile and makedumpfile
// link.
func TestLibraries(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3: ", err)
	}
	for _, c := range []Codec{LZO, Snappy} {
		if out, err := exec.Command(python, "-c", libraryScript, c.String(), "probe").CombinedOutput(); err != nil {
			t.Logf("no C library for %v: %s", c, out)
			continue
		}
		eachPage(t, c, func(t *testing.T, page, packed []byte) {
			if got := filter(t, packed, python, "-c", libraryScript, c.String(), "unpack"); !bytes.Equal(got, page) {
				t.Error("the library unpacks another page")
			}
			theirs := filter(t, page, python, "-c", libraryScript, c.String(), "pack")
			var dec Decoder
			got := make([]byte, len(page))
			if err := dec.Decode(got, theirs, c); err != nil || !bytes.Equal(got, page) {
				t.Errorf("reading the library's output: %v", err)
			}
		})
	}
}

const libraryScript = `
import ctypes, sys
codec, step = sys.argv[1:]
lib = ctypes.CDLL({"lzo": "liblzo2.so.2", "snappy": "libsnappy.so.1"}[codec])
if step == "probe": sys.exit()
src = sys.stdin.buffer.read()
size = ctypes.c_size_t(1 << 20)
dst = ctypes.create_string_buffer(size.value)
args = [src, ctypes.c_size_t(len(src)), dst, ctypes.byref(size)]
if codec == "lzo":
    f = lib.lzo1x_1_compress if step == "pack" else lib.lzo1x_decompress_safe
    args.append(ctypes.create_string_buffer(1 << 18))
else:
    f = lib.snappy_compress if step == "pack" else lib.snappy_uncompress
status = f(*args)
if status != 0: sys.exit("status %d" % status)
sys.stdout.buffer.write(dst.raw[:size.value])
`

// filter runs a program with in as its input and returns its output.
func filter(t *testing.T, in []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", filepath.Base(name), err)
	}
	return out
}

// TestSnappyFormat has a block made by hand from the format description
// (format_description.txt of google/snappy): the length as a varint, a literal
// of 4 bytes, and copies with a 2-byte offset of 4 for the rest, 64 bytes each
// but the last.
func TestSnappyFormat(t *testing.T) {
	block := []byte{0x80, 0x20, 3 << 2, 'a', 'b', 'c', 'd'}
	for left := 4092; left > 0; left -= 64 {
		n := min(left, 64)
		block = append(block, byte(n-1)<<2|2, 4, 0)
	}
	page := make([]byte, 4096)
	var dec Decoder
	if err := dec.Decode(page, block, Snappy); err != nil {
		t.Fatal(err)
	}
	if want := bytes.Repeat([]byte("abcd"), 1024); !bytes.Equal(page, want) {
		t.Errorf("page begins with %q", page[:16])
	}
}

func TestDecodeRefuses(t *testing.T) {
	const size = 4096
	for _, c := range codecs {
		for _, other := range []int{size - 1, size + 1, 2 * size, 1} {
			enc := newEncoder(t, c, other)
			page := bytes.Repeat([]byte{7}, other)
			packed, smaller := enc.Append(nil, page)
			if !smaller {
				packed = page
			}
			checkRefused(t, fmt.Sprintf("%v of %d bytes", c, other), packed, c)
		}
		packed, _ := newEncoder(t, c, size).Append(nil, samples(size)["array"])
		for n := range packed {
			checkRefused(t, fmt.Sprintf("%v cut after %d bytes", c, n), packed[:n], c)
		}
	}
	checkRefused(t, "unknown codec", make([]byte, size), 0x40)
	checkRefused(t, "two codecs", make([]byte, size), Zlib|Zstd)
}

func checkRefused(t *testing.T, name string, src []byte, c Codec) {
	t.Helper()
	var dec Decoder
	if err := dec.Decode(make([]byte, 4096), src, c); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Decode(%s) = %v, want ErrCorrupt", name, err)
	}
}

func TestNames(t *testing.T) {
	// The values are those of makedumpfile's diskdump_mod.h.
	for name, want := range map[string]Codec{"none": 0, "zlib": 1, "lzo": 2, "snappy": 4, "zstd": 0x20} {
		c, err := Parse(name)
		if err != nil || c != want || c.String() != name {
			t.Errorf("Parse(%q) = %#x (%v), %v", name, uint32(c), c, err)
		}
	}
	for _, name := range []string{"", "lz4", "ZLIB"} {
		if c, err := Parse(name); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", name, c)
		}
	}
	if _, err := NewEncoder(0x40, 4096); err == nil {
		t.Error("NewEncoder of an unknown codec succeeds")
	}
}

func TestNoAllocation(t *testing.T) {
	if testing.Short() {
		t.Skip("make test-race says -short: under the race detector, pools forget what they have")
	}
	const size = 4096
	for _, c := range codecs {
		enc := newEncoder(t, c, size)
		var dec Decoder
		for name, page := range samples(size) {
			dst := make([]byte, 0, Bound(size))
			enc.Append(dst, page)
			if n := testing.AllocsPerRun(50, func() { enc.Append(dst, page) }); n > 0 {
				t.Errorf("%v.Append(%s) allocates %v times", c, name, n)
			}
			packed, smaller := enc.Append(dst, page)
			if !smaller {
				continue
			}
			got := make([]byte, size)
			dec.Decode(got, packed, c)
			if n := testing.AllocsPerRun(50, func() { dec.Decode(got, packed, c) }); n > 0 {
				t.Errorf("Decode(%v, %s) allocates %v times", c, name, n)
			}
		}
	}
}

// Small pages keep the fuzzer quick, and a decoder that stays shows whether bad
// input harms what comes after it.
const fuzzPage = 512

func FuzzDecode(f *testing.F) {
	for _, c := range codecs {
		enc := newEncoder(f, c, fuzzPage)
		for _, page := range samples(fuzzPage) {
			packed, _ := enc.Append(nil, page)
			f.Add(uint32(c), packed)
		}
	}
	var dec Decoder
	f.Fuzz(func(t *testing.T, c uint32, src []byte) {
		page := make([]byte, fuzzPage, fuzzPage+1)
		page[:fuzzPage+1][fuzzPage] = 0xa5
		if err := dec.Decode(page, src, Codec(c)); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("Decode = %v, want ErrCorrupt", err)
		}
		if page[:fuzzPage+1][fuzzPage] != 0xa5 {
			t.Error("wrote behind the page")
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	for _, page := range samples(fuzzPage) {
		f.Add(page)
	}
	encs := map[Codec]Encoder{}
	for _, c := range codecs {
		encs[c] = newEncoder(f, c, 64<<10)
	}
	var dec Decoder
	f.Fuzz(func(t *testing.T, in []byte) {
		small, page, unfolded := make([]byte, fuzzPage), make([]byte, 4096), unfold(in)
		copy(small, in)
		copy(page, unfolded)
		for _, page := range [][]byte{small, page, unfolded} {
			for c, enc := range encs {
				checkPage(t, &dec, enc, c, page)
			}
		}
	})
}

func checkPage(t *testing.T, dec *Decoder, enc Encoder, c Codec, page []byte) {
	t.Helper()
	packed, smaller := enc.Append(nil, page)
	if !smaller {
		return
	}
	got := make([]byte, len(page))
	if err := dec.Decode(got, packed, c); err != nil || !bytes.Equal(got, page) {
		t.Errorf("%v: %v", c, err)
	}
	if again, _ := enc.Append(nil, page); !bytes.Equal(again, packed) {
		t.Errorf("%v: the same page is compressed in another way when it comes again", c)
	}
}

// unfold makes a longer page with repetitions out of a few bytes: four of them
// say how many that follow to take, and how many to repeat then and from where.
func unfold(in []byte) []byte {
	page := []byte{0}
	for len(in) >= 4 && len(page) < 60<<10 {
		literals, distance, n := int(in[0])%64, int(binary.LittleEndian.Uint16(in[1:])), int(in[3])
		in = in[4:]
		literals = min(literals, len(in))
		page = append(page, in[:literals]...)
		in = in[literals:]
		for range n {
			page = append(page, page[len(page)-1-distance%len(page)])
		}
	}
	return page
}

// TestDecodeMemory decodes a zstd frame that asks for a window of 512 MiB.
func TestDecodeMemory(t *testing.T) {
	frame := []byte{
		0x28, 0xb5, 0x2f, 0xfd, // magic number
		0x00,             // window descriptor follows, no content size
		19 << 3,          // window of 1<<(10+19) bytes
		0x03, 0x80, 0x00, // last block, RLE, of 4096 bytes
		7,
	}
	page := make([]byte, 4096)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var dec Decoder
	err := dec.Decode(page, frame, Zstd)
	runtime.ReadMemStats(&after)
	if err != nil || !bytes.Equal(page, bytes.Repeat([]byte{7}, 4096)) {
		t.Errorf("Decode = %v", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("Decode allocated %d bytes", n)
	}
}

// BenchmarkAppend compresses pages of each kind, and those of the file that
// UKDUMP_PAGES names, if it is set. It reports the size of the output, too, in
// percent of the pages.
func BenchmarkAppend(b *testing.B) {
	const size = 4096
	pages := samples(size)
	if name := os.Getenv("UKDUMP_PAGES"); name != "" {
		memory, err := os.ReadFile(name)
		if err != nil {
			b.Fatal(err)
		}
		pages = map[string][]byte{"file": memory[:len(memory)/size*size]}
	}
	for _, c := range codecs[1:] {
		for name, memory := range pages {
			b.Run(fmt.Sprintf("%v/%s", c, name), func(b *testing.B) {
				enc := newEncoder(b, c, size)
				dst := make([]byte, 0, Bound(size))
				b.SetBytes(int64(len(memory)))
				b.ReportAllocs()
				total := 0
				for b.Loop() {
					total = 0
					for at := 0; at < len(memory); at += size {
						out, smaller := enc.Append(dst, memory[at:at+size])
						if !smaller {
							out = memory[:size]
						}
						total += len(out)
					}
				}
				b.ReportMetric(float64(total)*100/float64(len(memory)), "%")
			})
		}
	}
}
