// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmlinux

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/ukdump/ukdump/pkg/coretest"
)

// kernelFile is the kernel file of a core that coretest makes: linked to
// coretest.KernelLink, with the types that the core's VMCOREINFO speaks of. Its
// BTF is written by cilium/ebpf.
type kernelFile struct {
	info    string // VMCOREINFO of the core
	release string
	buildID string // "" for none
	symbols []elf.Symbol
	// change alters the section headers, and data the contents, by name.
	change func(name string, s *elf.Section64)
	data   func(name string, b []byte) []byte
	header func(h *elf.Header64)
}

// Where coretest has things in the image, in bytes from its start.
const (
	atUts     = 0x0000
	atRoot    = 0x1000
	atPointer = 0x2000
	atSME     = 0x2040
)

const link = uint64(coretest.KernelLink)

// newKernelFile returns the kernel file of a core with a VMCOREINFO.
func newKernelFile(release, info string) *kernelFile {
	object := func(name string, at, size uint64) elf.Symbol {
		return elf.Symbol{Name: name, Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_OBJECT), Section: 1, Value: link + at, Size: size}
	}
	local := object("init_top_pgt", 0x3000, 8)
	local.Info = elf.ST_INFO(elf.STB_LOCAL, elf.STT_OBJECT)
	undefined := object("swapper_pg_dir", 0x1000, 8)
	undefined.Section = elf.SHN_UNDEF
	return &kernelFile{info: info, release: release, symbols: []elf.Symbol{
		local, undefined,
		object("_stext", 0, 0), object("_text", 0, 0), object("init_uts_ns", atUts, 4096),
		object("init_top_pgt", atRoot, 4096), object("mem_section", atPointer, 8),
		object("sme_me_mask", atSME, 8), object("a_symbol_that_nobody_asks_for", 0, 8),
	}}
}

// bytes returns the file.
func (k *kernelFile) bytes(t testing.TB) []byte {
	t.Helper()
	data := make([]byte, 3*4096)
	name, _ := strconv.Atoi(k.value("OFFSET(uts_namespace.name)", "4"))
	copy(data[atUts+name:], "Linux")
	copy(data[atUts+name+releaseOffset:], k.release)
	var notes []byte
	if k.buildID != "" {
		notes = coretest.Note(binary.LittleEndian, "GNU", 3, []byte(k.buildID))
	}
	names, symbols := k.symbolTable()
	alloc := uint64(elf.SHF_ALLOC)
	return k.link([]section{
		{"", elf.Section64{}, nil},
		{".data", elf.Section64{Type: uint32(elf.SHT_PROGBITS), Flags: alloc, Addr: link}, data},
		{".notes", elf.Section64{Type: uint32(elf.SHT_NOTE), Flags: alloc, Addr: link + 0x4000}, notes},
		{".BTF", elf.Section64{Type: uint32(elf.SHT_PROGBITS), Flags: alloc, Addr: link + 0x5000}, k.types(t)},
		{".symtab", elf.Section64{Type: uint32(elf.SHT_SYMTAB), Link: 5, Entsize: elf.Sym64Size}, symbols},
		{".strtab", elf.Section64{Type: uint32(elf.SHT_STRTAB)}, names},
	})
}

type section struct {
	name   string
	header elf.Section64
	data   []byte
}

// link puts the sections into a file.
func (k *kernelFile) link(sections []section) []byte {
	const headerSize = 64
	var names []byte
	sections = append(sections, section{".shstrtab", elf.Section64{Type: uint32(elf.SHT_STRTAB)}, nil})
	for i := range sections {
		sections[i].header.Name = uint32(len(names))
		names = append(append(names, sections[i].name...), 0)
	}
	sections[len(sections)-1].data = names
	var contents []byte
	var headers bytes.Buffer
	for _, s := range sections {
		if k.data != nil {
			s.data = k.data(s.name, s.data)
		}
		s.header.Off, s.header.Size = uint64(headerSize+len(contents)), uint64(len(s.data))
		if k.change != nil {
			k.change(s.name, &s.header)
		}
		contents = append(contents, s.data...)
		binary.Write(&headers, binary.LittleEndian, s.header)
	}
	h := elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Ehsize: headerSize,
		Shoff: uint64(headerSize + len(contents)), Shentsize: 64,
		Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1),
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	if k.header != nil {
		k.header(&h)
	}
	var file bytes.Buffer
	binary.Write(&file, binary.LittleEndian, h)
	return slices.Concat(file.Bytes(), contents, headers.Bytes())
}

// symbolTable returns the contents of .strtab and .symtab.
func (k *kernelFile) symbolTable() (names, table []byte) {
	var b bytes.Buffer
	binary.Write(&b, binary.LittleEndian, elf.Sym64{})
	names = []byte{0}
	for _, s := range k.symbols {
		binary.Write(&b, binary.LittleEndian, elf.Sym64{
			Name: uint32(len(names)), Info: s.Info, Shndx: uint16(s.Section), Value: s.Value, Size: s.Size,
		})
		names = append(append(names, s.Name...), 0)
	}
	return names, b.Bytes()
}

// value returns the value of a key of the core's VMCOREINFO.
func (k *kernelFile) value(key, otherwise string) string {
	for line := range strings.Lines(k.info) {
		if found, value, _ := strings.Cut(strings.TrimSpace(line), "="); found == key {
			return value
		}
	}
	return otherwise
}

// types returns the contents of .BTF: a structure for each that VMCOREINFO has
// an offset in, and enumerations for its numbers.
func (k *kernelFile) types(t testing.TB) []byte {
	t.Helper()
	word, u32 := &btf.Int{Name: "unsigned long", Size: 8}, &btf.Int{Name: "unsigned int", Size: 4}
	structs := map[string]*btf.Struct{}
	structure := func(name string) *btf.Struct {
		if structs[name] == nil {
			size, _ := strconv.Atoi(k.value("SIZE("+name+")", "512"))
			structs[name] = &btf.Struct{Name: name, Size: uint32(size)}
		}
		return structs[name]
	}
	flags, types := &btf.Enum{Name: "pageflags", Size: 4}, &btf.Enum{Name: "pagetype", Size: 4}
	dtors := &btf.Enum{Name: "compound_dtor_id", Size: 4}
	member := func(name string, value uint64) {
		owner, field, _ := strings.Cut(name, ".")
		m := btf.Member{Name: field, Type: word, Offset: btf.Bits(value * 8)}
		if n, err := strconv.Atoi(k.value("LENGTH("+name+")", "")); err == nil {
			m.Type = &btf.Array{Index: u32, Type: word, Nelems: uint32(n)}
		}
		structure(owner).Members = append(structure(owner).Members, m)
	}
	for line := range strings.Lines(k.info + "OFFSET(uts_namespace.name)=" + k.value("OFFSET(uts_namespace.name)", "4")) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		kind, name, _ := strings.Cut(strings.TrimSuffix(key, ")"), "(")
		number, _ := strconv.ParseInt(value, 10, 64)
		flag, isFlag := strings.CutPrefix(name, "PG_")
		pageType, isType := strings.CutSuffix(name, "_MAPCOUNT_VALUE")
		switch {
		case kind == "SIZE":
			structure(name)
		case kind == "OFFSET":
			member(name, uint64(number))
		case kind != "NUMBER":
		case isFlag && flag == "head_mask":
			flags.Values = append(flags.Values, btf.EnumValue{Name: "PG_head", Value: uint64(bits.TrailingZeros64(uint64(number)))})
		case isFlag:
			flags.Values = append(flags.Values, btf.EnumValue{Name: name, Value: uint64(number)})
		case isType && uint32(number)<<8 == 0: // since 6.12 the top byte
			pageType = "PGTY_" + strings.ToLower(strings.TrimPrefix(pageType, "PAGE_"))
			types.Values = append(types.Values, btf.EnumValue{Name: pageType, Value: uint64(uint32(number) >> 24)})
		case isType: // a macro
			if !slices.ContainsFunc(structure("page").Members, func(m btf.Member) bool { return m.Name == "page_type" }) {
				member("page.page_type", 48)
			}
		case name == "HUGETLB_PAGE_DTOR":
			dtors.Values = []btf.EnumValue{{Name: "COMPOUND_PAGE_DTOR", Value: 1}, {Name: name, Value: uint64(number)}}
		}
	}
	all := []btf.Type{word, u32}
	for _, e := range []*btf.Enum{flags, types, dtors} {
		if len(e.Values) > 0 {
			all = append(all, e)
		}
	}
	for _, s := range structs {
		all = append(all, s)
	}
	b, err := btf.NewBuilder(all, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.Marshal(nil, &btf.MarshalOptions{Order: binary.LittleEndian})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
