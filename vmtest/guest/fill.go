// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// fill fills about size MiB of memory. A step that the kernel cannot do is said
// and left out: kernels differ, and the tests look at what is there.
func fill(size int) {
	start := time.Now()
	share := size * mib / 16
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"page cache, read from ext4", func() error { return readFiles(2 * share) }},
		{"page cache with buffer heads, written to ext4", func() error { return writeFiles("/var", share) }},
		{"tmpfs", func() error { return writeFiles("/tmp", 3*share) }},
		{"slab", func() error { return manyFiles(share / 2048) }},
		{"anonymous memory", func() error { return anonymous(5*share, unix.MADV_NOHUGEPAGE) }},
		{"transparent huge pages", func() error { return anonymous(2*share, unix.MADV_HUGEPAGE) }},
		{"hugetlb pages", func() error { return hugetlb(2 * share) }},
		{"poisoned pages", poison},
		{"processes", processes},
		{"holes among the free pages", func() error { return fragment(share) }},
	} {
		if err := step.do(); err != nil {
			say("this kernel has no %s: %v", step.name, err)
		}
	}
	say("memory filled in %.1f s", time.Since(start).Seconds())
}

// contents are the kinds of data that memory is filled with, by compressibility.
var contents = []struct {
	name string
	fill func(page []byte)
}{
	{"zero", func(page []byte) { clear(page) }},
	{"text", func(page []byte) {
		var number [8]byte
		line := []byte("0123456789abcdef the quick brown fox jumps over the lazy dog\n")
		for n := 0; n < len(page); {
			_, _ = random.Read(number[:])
			hex.Encode(line, number[:]) // formatting takes far longer on an emulated CPU
			n += copy(page[n:], line)
		}
	}},
	{"random", func(page []byte) { _, _ = random.Read(page) }},
}

var random = rand.NewChaCha8([32]byte{})

// fillPages fills p, a page at a time, with all kinds of contents in turn.
func fillPages(p []byte) {
	for i := 0; i*4096 < len(p); i++ {
		contents[i%len(contents)].fill(p[i*4096 : min(len(p), (i+1)*4096)])
	}
}

func readFiles(size int) error {
	budget := int64(size)
	return filepath.WalkDir("/lib/modules/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		if budget < 0 {
			return fs.SkipAll
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		n, err := io.Copy(io.Discard, file)
		budget -= n
		return err
	})
}

// writeFiles writes a file of each kind of contents, size bytes together.
func writeFiles(dir string, size int) error {
	block := make([]byte, mib)
	for _, kind := range contents {
		for i := 0; i < len(block); i += 4096 {
			kind.fill(block[i : i+4096])
		}
		if err := writeRepeated(filepath.Join(dir, kind.name), block, size/len(contents)/len(block)); err != nil {
			return err
		}
	}
	return nil
}

func writeRepeated(path string, block []byte, times int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for range times {
		if _, err := file.Write(block); err != nil {
			return err
		}
	}
	return nil
}

// manyFiles makes many inodes and directory entries.
func manyFiles(n int) error {
	for i := range n {
		dir := fmt.Sprintf("/run/small/%d", i%100)
		if i < 100 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(fmt.Sprintf("%s/%d", dir, i), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func mapAnonymous(size, flags int) ([]byte, error) {
	return unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|flags)
}

func anonymous(size, advice int) error {
	p, err := mapAnonymous(size, 0)
	if err != nil {
		return err
	}
	if err := unix.Madvise(p, advice); err != nil {
		return err
	}
	fillPages(p)
	return nil
}

// hugetlb reserves huge pages and touches half of them.
func hugetlb(size int) error {
	const hugePage = 2 * mib
	if err := os.WriteFile("/proc/sys/vm/nr_hugepages", []byte(strconv.Itoa(size/hugePage)), 0); err != nil {
		return err
	}
	p, err := mapAnonymous(size/hugePage/2*hugePage, unix.MAP_HUGETLB)
	if err != nil {
		return err
	}
	fillPages(p)
	return nil
}

// poison makes the kernel treat two pages as broken: one small page, and one in
// the middle of a huge page.
func poison() error {
	small, err := mapAnonymous(mib, 0)
	if err != nil {
		return err
	}
	fillPages(small)
	if err := poisonPage(small[:4096]); err != nil {
		return err
	}
	huge, err := mapAnonymous(2*mib, unix.MAP_HUGETLB)
	if err != nil {
		return err
	}
	fillPages(huge)
	return poisonPage(huge[mib : mib+4096])
}

// poisonPage survives the SIGBUS that newer kernels send to who owns the page:
// it comes out of madvise, and only from a raw system call can Go recover.
func poisonPage(page []byte) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			say("poisoned: %v", fault)
		}
	}()
	addr := uintptr(unsafe.Pointer(&page[0]))
	if _, _, errno := unix.RawSyscall(unix.SYS_MADVISE, addr, uintptr(len(page)), unix.MADV_HWPOISON); errno != 0 {
		return errno
	}
	return nil
}

// processes starts some that only sleep.
func processes() error {
	for range 8 {
		if err := exec.Command("/proc/self/exe", "sleeper").Start(); err != nil {
			return err
		}
	}
	return nil
}

func sleeper() {
	p, err := mapAnonymous(4*mib, 0)
	if err == nil {
		fillPages(p)
	}
	for {
		_ = unix.Pause()
	}
}

// fragment frees every other page of a mapping.
func fragment(size int) error {
	p, err := mapAnonymous(size, 0)
	if err != nil {
		return err
	}
	if err := unix.Madvise(p, unix.MADV_NOHUGEPAGE); err != nil {
		return err
	}
	fillPages(p)
	for i := 0; i < len(p); i += 8192 {
		if err := unix.Madvise(p[i:i+4096], unix.MADV_DONTNEED); err != nil {
			return err
		}
	}
	return nil
}
