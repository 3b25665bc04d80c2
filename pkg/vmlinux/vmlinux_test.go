// Copyright 2026 The ukdump Authors. BSD-3-Clause, see LICENSE.

package vmlinux

import (
	"bytes"
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ukdump/ukdump/pkg/coretest"
	"github.com/ukdump/ukdump/pkg/vmcoreinfo"
)

// eras are kernels that mark pages differently. 6.11's page types were an
// enumeration of another form, which kstruct's tests are about.
func eras() []*coretest.Era {
	return []*coretest.Era{coretest.Linux5_4(), coretest.Linux6_1(), coretest.Linux6_7(), coretest.Linux6_9(), coretest.Linux6_12(), coretest.Linux7_2()}
}

// TestReadInfo reads kernel files and compares with the VMCOREINFO of cores of
// such kernels.
func TestReadInfo(t *testing.T) {
	for _, era := range eras() {
		t.Run(era.Release, func(t *testing.T) {
			want := coretest.Kernel{Era: era, Model: coretest.Pointer}.Build().Info
			k := newKernelFile(era.Release, want)
			k.buildID = "\x01\x23\xab"
			text, err := readInfo(bytes.NewReader(k.bytes(t)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := vmcoreinfo.Parse(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			for key, value := range map[string]string{"OSRELEASE": era.Release, "PAGESIZE": "4096", "BUILD-ID": "0123ab"} {
				if v, _ := got.Value(key); v != value {
					t.Errorf("%s=%s, want %s", key, v, value)
				}
			}
			for line := range strings.Lines(want) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				if v, ok := got.Value(key); v != value && !ofOneBoot[key] && !notInFile(key) {
					t.Errorf("%s=%s, %v, want %s", key, v, ok, value)
				}
			}
		})
	}
}

// notInFile says of which keys a kernel file knows nothing.
func notInFile(key string) bool {
	return slices.Contains([]string{
		"LENGTH(mem_section)",                                   // the array is allocated; LENGTH is only known if it is not
		"NUMBER(SECTION_SIZE_BITS)", "NUMBER(MAX_PHYSMEM_BITS)", // macros
		"NUMBER(NR_FREE_PAGES)", // of no structure that the builder makes
	}, key)
}

// TestStaticSections has the memory sections in an array, as without
// SPARSEMEM_EXTREME.
func TestStaticSections(t *testing.T) {
	k := newKernelFile("6.12.0", coretest.Kernel{Era: coretest.Linux6_12(), Model: coretest.Static}.Build().Info)
	for i := range k.symbols {
		if k.symbols[i].Name == "mem_section" {
			k.symbols[i].Size = 16 * 2048
		}
	}
	text, err := readInfo(bytes.NewReader(k.bytes(t)))
	if err != nil || !bytes.Contains(text, []byte("\nLENGTH(mem_section)=2048\n")) {
		t.Errorf("ReadInfo() = %v, want LENGTH(mem_section)=2048 in\n%s", err, text)
	}
}

func TestReadInfoBad(t *testing.T) {
	good := func() *kernelFile {
		return newKernelFile("6.1.0", coretest.Kernel{Era: coretest.Linux6_1(), Model: coretest.Pointer}.Build().Info)
	}
	file := good().bytes(t)
	with := func(name string, change func(*elf.Section64)) []byte {
		k := good()
		k.change = func(n string, s *elf.Section64) {
			if n == name {
				change(s)
			}
		}
		return k.bytes(t)
	}
	without := func(symbol string) []byte {
		k := good()
		k.symbols = slices.DeleteFunc(k.symbols, func(s elf.Symbol) bool { return s.Name == symbol })
		return k.bytes(t)
	}
	release := func(s string) []byte {
		k := good()
		k.release = s
		return k.bytes(t)
	}
	for _, test := range []struct {
		name string
		file []byte
		want string // part of the error
	}{
		{"empty", nil, "EOF"},
		{"text", []byte("Lorem ipsum dolor sit amet, consectetur adipisici elit"), "magic"},
		{"half", file[:len(file)/2], ""},
		{"a core", coretest.Kernel{Era: coretest.Linux6_1()}.Build().File, "stripped"},
		{"another architecture", func() []byte {
			k := good()
			k.header = func(h *elf.Header64) { h.Machine = uint16(elf.EM_AARCH64) }
			return k.bytes(t)
		}(), "EM_AARCH64"},
		{"stripped", with(".symtab", func(s *elf.Section64) { s.Type = uint32(elf.SHT_PROGBITS) }), "stripped"},
		{"symbols without names", with(".symtab", func(s *elf.Section64) { s.Link = 1 }), "names"},
		{"names nowhere", with(".symtab", func(s *elf.Section64) { s.Link = 99 }), ""},
		{"half a symbol", with(".symtab", func(s *elf.Section64) { s.Size -= 5 }), "symbol table"},
		{"endless symbols", with(".symtab", func(s *elf.Section64) { s.Size = 1 << 62 }), ""},
		{"endless names", with(".strtab", func(s *elf.Section64) { s.Size = 1 << 40 }), "names"},
		{"no BTF", with(".BTF", func(s *elf.Section64) { s.Name++ }), ".BTF"},
		{"BTF split off", with(".BTF", func(s *elf.Section64) { s.Type = uint32(elf.SHT_NOBITS) }), ".BTF"},
		{"BTF compressed", with(".BTF", func(s *elf.Section64) { s.Flags |= uint64(elf.SHF_COMPRESSED) }), ""},
		{"data compressed", with(".data", func(s *elf.Section64) { s.Flags |= uint64(elf.SHF_COMPRESSED) }), ""},
		{"BTF cut off", with(".BTF", func(s *elf.Section64) { s.Size = 100 }), "BTF"},
		{"endless BTF", with(".BTF", func(s *elf.Section64) { s.Size = 1 << 62 }), "BTF"},
		{"BTF of something else", with(".BTF", func(s *elf.Section64) { s.Off -= 4 }), "BTF"},
		{"data split off", with(".data", func(s *elf.Section64) { s.Type = uint32(elf.SHT_NOBITS) }), "without data"},
		{"no data", with(".data", func(s *elf.Section64) { s.Addr += 1 << 30 }), "in no section"},
		{"no init_uts_ns", without("init_uts_ns"), "init_uts_ns"},
		{"no release", release(""), "init_uts_ns"},
		{"binary release", release("6.1\x1b[2J"), "init_uts_ns"},
		{"release of two lines", release("6.1\nPAGESIZE=64"), "init_uts_ns"},
		{"endless release", release(strings.Repeat("6", 100)), "init_uts_ns"},
	} {
		_, err := readInfo(bytes.NewReader(test.file))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), test.want) || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%s: ReadInfo() = %v, want one line that wraps %v and names %q", test.name, err, ErrFormat, test.want)
		}
	}

	path := filepath.Join(t.TempDir(), "vmlinux")
	if _, err := ReadInfo(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadInfo of nothing = %v, want %v", err, fs.ErrNotExist)
	}
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadInfo(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("ReadInfo of a text = %v, want an error that names the file", err)
	}
}

func FuzzReadInfo(f *testing.F) {
	for _, era := range eras() {
		k := newKernelFile(era.Release, coretest.Kernel{Era: era, Model: coretest.Pointer}.Build().Info)
		k.buildID = "\x01\x23\xab"
		f.Add(k.bytes(f))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		text, err := readInfo(bytes.NewReader(file))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Errorf("error %v does not wrap %v", err, ErrFormat)
			}
			return
		}
		if _, err := vmcoreinfo.Parse(text); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	})
}
