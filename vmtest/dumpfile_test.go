// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmtest

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// The readers in this file know dumps and cores of x86_64 only, and trust them.
// They share no code with what they test.

const pageSize = 4096

// rawCore is an ELF core, mapped.
type rawCore struct {
	data  []byte
	loads []elf.ProgHeader
}

func openRawCore(t testing.TB, path string) *rawCore {
	t.Helper()
	file, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	core := &rawCore{data: mapFile(t, path)}
	for _, p := range file.Progs {
		if p.Type == elf.PT_LOAD {
			core.loads = append(core.loads, p.ProgHeader)
		}
	}
	return core
}

// page returns the page frame's contents, nil if the core lacks it.
func (c *rawCore) page(pfn int) []byte {
	addr := uint64(pfn) * pageSize
	for _, p := range c.loads {
		if addr >= p.Paddr && addr+pageSize <= p.Paddr+p.Filesz {
			off := p.Off + addr - p.Paddr
			return c.data[off : off+pageSize]
		}
	}
	return nil
}

// dumpFile is a kdump-compressed dump, mapped. The layout is that of
// diskdump_mod.h and diskdump.h in the crash utility.
type dumpFile struct {
	data      []byte
	ram, kept []byte // bitmap 1 and 2
	maxPFN    int
	descs     []byte // 24 bytes for every bit that is set in kept
}

func openDump(t testing.TB, path string) *dumpFile {
	t.Helper()
	d := &dumpFile{data: mapFile(t, path)}
	if !bytes.HasPrefix(d.data, []byte("KDUMP   ")) {
		t.Fatalf("%s: no kdump-compressed dump", path)
	}
	u32 := func(off int) int { return int(binary.LittleEndian.Uint32(d.data[off:])) }
	if version, size := u32(8), u32(428); version != 6 || size != pageSize {
		t.Fatalf("%s: header version %d and block size %d, want 6 and %d", path, version, size, pageSize)
	}
	subHeaderBlocks, bitmapBlocks := u32(432), u32(436)
	d.maxPFN = int(binary.LittleEndian.Uint64(d.data[pageSize+96:]))
	bitmaps := d.data[(1+subHeaderBlocks)*pageSize:]
	half := bitmapBlocks / 2 * pageSize
	d.ram, d.kept, d.descs = bitmaps[:half], bitmaps[half:2*half], bitmaps[2*half:]
	return d
}

func bit(bitmap []byte, pfn int) bool { return bitmap[pfn/8]&(1<<(pfn%8)) != 0 }

// errMissing is what an empty descriptor says: the page was lost.
var errMissing = errors.New("missing")

// eachPage calls f with every page frame that the dump keeps and its contents,
// or the error of reading them.
func (d *dumpFile) eachPage(f func(pfn int, page []byte, err error)) {
	unpack := newUnpacker()
	for pfn := range d.maxPFN {
		if !bit(d.kept, pfn) {
			continue
		}
		desc := d.descs[:24]
		d.descs = d.descs[24:]
		off := binary.LittleEndian.Uint64(desc)
		size, flags := binary.LittleEndian.Uint32(desc[8:]), binary.LittleEndian.Uint32(desc[12:])
		if off == 0 {
			f(pfn, nil, errMissing)
			continue
		}
		if off+uint64(size) > uint64(len(d.data)) {
			f(pfn, nil, fmt.Errorf("data at %#x+%d lies outside of the file", off, size))
			continue
		}
		page, err := unpack.page(d.data[off:off+uint64(size)], flags)
		if err == nil && len(page) != pageSize {
			err = fmt.Errorf("%d bytes", len(page))
		}
		f(pfn, page, err)
	}
}

// unpacker decompresses pages, each into the same buffer.
type unpacker struct {
	buf  []byte
	zlib io.ReadCloser
	zstd *zstd.Decoder
}

func newUnpacker() *unpacker {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	return &unpacker{buf: make([]byte, 2*pageSize), zstd: decoder}
}

func (u *unpacker) page(data []byte, flags uint32) (page []byte, err error) {
	switch flags {
	case 0:
		return data, nil
	case 1:
		if u.zlib == nil {
			u.zlib, err = zlib.NewReader(bytes.NewReader(data))
		} else {
			err = u.zlib.(zlib.Resetter).Reset(bytes.NewReader(data), nil)
		}
		if err != nil {
			return nil, err
		}
		n, err := io.ReadFull(u.zlib, u.buf)
		if err == io.ErrUnexpectedEOF {
			err = nil // the buffer is larger than a page
		}
		return u.buf[:n], err
	case 4:
		return snappy.Decode(u.buf, data)
	case 0x20:
		return u.zstd.DecodeAll(data, u.buf[:0])
	}
	return nil, fmt.Errorf("page flags %#x", flags)
}

func mapFile(t testing.TB, path string) []byte {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	data, err := unix.Mmap(int(file.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	t.Cleanup(func() { _ = unix.Munmap(data) })
	return data
}
