// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

// Package vmlinux serves cores that do not say what their kernel is like. What
// VMCOREINFO would have said comes from the kernel's ELF file, vmlinux as the
// kernel's build and the distributions' debug packages have it: from its symbol
// table and its type information (.BTF), never from DWARF.
//
// ReadInfo makes the text, in the format of VMCOREINFO, of what holds for every
// boot of the kernel; makedumpfile -g writes such texts, too. Relocate fits one
// to a core: it finds out where that machine's kernel was in virtual and in
// physical memory, and how many levels its page tables had.
//
// It is for the host: the capture kernel's /proc/vmcore always has VMCOREINFO.
package vmlinux

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/ukdump/ukdump/pkg/btf"
	"github.com/ukdump/ukdump/pkg/elfcore"
	"github.com/ukdump/ukdump/pkg/kstruct"
	"github.com/ukdump/ukdump/pkg/mem"
)

// ErrFormat is wrapped by every error about the contents of a kernel file.
var ErrFormat = errors.New("not a usable kernel file")

// pageSize is that of x86_64 kernels in bytes. There is no address translation
// for others yet, so that their files are refused.
const pageSize = 4096

// ReadInfo returns what the kernel file at path says, in the format of
// VMCOREINFO. Addresses are those that the kernel was linked to; what is only
// known at run time is missing. Errors about the contents wrap ErrFormat.
func ReadInfo(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := readInfo(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return text, nil
}

func readInfo(file io.ReaderAt) ([]byte, error) {
	object, err := elf.NewFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if object.Machine != elf.EM_X86_64 || object.Class != elf.ELFCLASS64 {
		return nil, fmt.Errorf("%w: it is for %v, only x86_64 is supported", ErrFormat, object.Machine)
	}
	table, err := readSymbols(object, symbols)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	types, err := openTypes(object)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	w := writer{object: object, symbols: table, kernel: kstruct.FromTypes(types)}
	if err := w.write(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return []byte(w.text.String()), nil
}

// openTypes opens the section .BTF.
func openTypes(object *elf.File) (*btf.Types, error) {
	s := object.Section(".BTF")
	if s == nil || s.Type != elf.SHT_PROGBITS {
		return nil, errors.New("it has no section .BTF (CONFIG_DEBUG_INFO_BTF, Linux 5.2 and later)")
	}
	const base = 4096 // any address but 0
	return btf.Open(sectionMemory{s, base}, base, base+mem.VirtAddr(s.Size), object.ByteOrder)
}

// sectionMemory reads a section as if it lay in memory at base.
type sectionMemory struct {
	*elf.Section
	base mem.VirtAddr
}

// ReadVirt implements mem.VirtReader.
func (s sectionMemory) ReadVirt(p []byte, addr mem.VirtAddr) error {
	if err := readAt(s.Section, p, uint64(addr-s.base)); err != nil {
		return fmt.Errorf("%w: %w", mem.ErrUnreadable, err)
	}
	return nil
}

// readAt fills p with what is at off in a section.
func readAt(s *elf.Section, p []byte, off uint64) error {
	if s.ReaderAt == nil {
		return errors.New("section is compressed")
	}
	_, err := s.ReadAt(p, int64(off))
	return err
}

// writer writes the text.
type writer struct {
	object  *elf.File
	symbols map[string]symbol
	kernel  *kstruct.Kernel
	text    strings.Builder
}

func (w *writer) line(key, format string, value any) {
	fmt.Fprintf(&w.text, key+"="+format+"\n", value)
}

func (w *writer) write() error {
	release, err := w.release()
	if err != nil {
		return err
	}
	w.line("OSRELEASE", "%s", release)
	if id := buildID(w.object); id != "" {
		w.line("BUILD-ID", "%s", id)
	}
	w.line("PAGESIZE", "%d", pageSize)
	for _, name := range symbols {
		if s, ok := w.symbols[name]; ok {
			w.line("SYMBOL("+name+")", "%x", s.addr)
		}
	}
	for _, name := range sizes {
		if n, ok := w.kernel.Size(name); ok {
			w.line("SIZE("+name+")", "%d", n)
		}
	}
	for _, name := range offsets {
		if n, ok := w.kernel.Offset(name); ok {
			w.line("OFFSET("+name+")", "%d", n)
		}
	}
	w.lengths()
	for _, name := range numbers {
		if n, ok := w.kernel.Number(name); ok {
			w.line("NUMBER("+name+")", "%d", n)
		}
	}
	return nil
}

// lengths writes the lengths of arrays. Of those that are variables, the size of
// the symbol tells; mem_section is a pointer since 4.15, with SPARSEMEM_EXTREME.
func (w *writer) lengths() {
	const pointer = 8
	if s := w.symbols["mem_section"]; s.size > pointer {
		if n, ok := w.kernel.Size("mem_section"); ok && n > 0 {
			w.line("LENGTH(mem_section)", "%d", s.size/n)
		}
	}
	if s := w.symbols["node_data"]; s.size > 0 {
		w.line("LENGTH(node_data)", "%d", s.size/pointer)
	}
	for _, name := range lengths {
		if n, ok := w.kernel.Length(name); ok {
			w.line("LENGTH("+name+")", "%d", n)
		}
	}
}

// release returns the kernel's release, out of init_uts_ns.
func (w *writer) release() (string, error) {
	s, ok := w.symbols["init_uts_ns"]
	name, known := w.kernel.Offset("uts_namespace.name")
	if !ok || !known || name > s.size {
		return "", errors.New("no init_uts_ns: it is no Linux kernel")
	}
	field, err := readData(w.object, s.addr+name+releaseOffset, utsField)
	if err != nil {
		return "", fmt.Errorf("init_uts_ns: %w", err)
	}
	release, ok := utsString(field)
	if !ok {
		return "", fmt.Errorf("init_uts_ns: %.70q is no release", field)
	}
	return release, nil
}

// struct new_utsname (include/uapi/linux/utsname.h) is six strings in fields of
// utsField bytes, of which the third is the release.
const (
	utsField      = 65
	releaseOffset = 2 * utsField
)

// utsString returns the string in a field of struct new_utsname; not ok if
// there is none, or if it is not printable.
func utsString(field []byte) (string, bool) {
	s, _, terminated := strings.Cut(string(field), "\x00")
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return "", false
		}
	}
	return s, terminated && s != ""
}

// readData returns n bytes of the kernel's initialised data at addr.
func readData(object *elf.File, addr, n uint64) ([]byte, error) {
	for _, s := range object.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || addr < s.Addr || addr-s.Addr >= s.Size || n > s.Size-(addr-s.Addr) {
			continue
		}
		if s.Type == elf.SHT_NOBITS {
			return nil, errors.New("the file has symbols without data (the debug information of a kernel, split off)")
		}
		b := make([]byte, n)
		return b, readAt(s, b, addr-s.Addr)
	}
	return nil, fmt.Errorf("address %#x lies in no section", addr)
}

// maxNotes bounds the section .notes, in bytes. Kernels have some 500.
const maxNotes = 64 << 10

// buildID returns the kernel's build ID in hexadecimal, "" if it has none.
func buildID(object *elf.File) string {
	s := object.Section(".notes")
	if s == nil || s.Type == elf.SHT_NOBITS || s.Size > maxNotes {
		return ""
	}
	b := make([]byte, s.Size)
	if readAt(s, b, 0) != nil {
		return ""
	}
	const typeBuildID = 3 // NT_GNU_BUILD_ID
	notes, _ := elfcore.ParseNotes(b, object.ByteOrder)
	for _, n := range notes {
		if n.Name == "GNU" && n.Type == typeBuildID {
			return fmt.Sprintf("%x", n.Desc)
		}
	}
	return ""
}
